"""Forward-only migrations, safe with many processes starting at once on an empty database."""

from __future__ import annotations

from importlib.resources import files

import asyncpg

from task_platform.errors import ConfigurationError
from task_platform.storage.pool import translated_errors
from task_platform.storage.queries import sql

# Any constant works, as long as every process of this platform takes the same one.
_LOCK = 7_240_131_001


def known_migrations() -> list[tuple[int, str, str]]:
    """(version, name, SQL) of every migration, in order."""
    folder = files("task_platform.storage") / "migrations"
    found = [
        (int(file.name.split("_", 1)[0]), file.name, file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    ]
    return sorted(found)


async def migrate(database_url: str) -> list[str]:
    """Apply what is missing and return the names. Raises DatabaseUnavailable, ConfigurationError.

    A database that is newer than this code is refused: old code must not guess at new tables.
    """
    migrations = known_migrations()
    with translated_errors():
        connection = await asyncpg.connect(database_url, timeout=10)
        try:
            # Session-level, so that the lock also covers creating the table of versions.
            await connection.execute(sql("lock_migrations"), _LOCK)
            await connection.execute(sql("create_schema_migrations"))
            rows = await connection.fetch(sql("applied_migrations"))
            applied = {row["version"] for row in rows}
            unknown = applied - {version for version, _, _ in migrations}
            if unknown:
                raise ConfigurationError(
                    f"the database has migrations {sorted(unknown)} that this version lacks"
                )
            done = []
            for version, name, text in migrations:
                if version in applied:
                    continue
                async with connection.transaction():
                    await connection.execute(text)
                    await connection.execute(sql("record_migration"), version, name)
                done.append(name)
            return done
        finally:
            await connection.close(timeout=5)


async def is_current(pool: asyncpg.Pool) -> bool:
    """Whether every migration this code knows has been applied."""
    newest = known_migrations()[-1][0]
    try:
        rows = await pool.fetch(sql("applied_migrations"))
    except asyncpg.UndefinedTableError:
        return False
    return any(row["version"] >= newest for row in rows)
