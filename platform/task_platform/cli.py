"""`task-platform`: one command for each process."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import NoReturn

import typer
import uvloop

from task_platform import service
from task_platform.errors import ConfigurationError, DatabaseUnavailable, TaskPlatformError
from task_platform.settings import PREFIX, Settings, load_settings
from task_platform.storage.migrate import migrate as apply_migrations
from task_platform.tools import dlq

app = typer.Typer(
    name="task-platform",
    help="Durable asynchronous tasks. Configured by TASK_PLATFORM_* variables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(dlq.app)


def _run(name: str, work: Callable[[service.Service], Awaitable[None]], *, ops: bool) -> None:
    settings = load_settings()
    uvloop.run(service.run(name, settings, work, ops=ops))
    if any(not thread.daemon for thread in threading.enumerate()[1:]):
        # A handler in a thread cannot be stopped, and Python would wait for it. Its task was given
        # back, everything else is done.
        sys.stderr.flush()
        os._exit(0)


@app.command()
def api() -> None:
    """Serve the HTTP API."""
    from task_platform.api.app import run_api  # noqa: PLC0415 - each process loads only its part

    _run("api", run_api, ops=False)


@app.command()
def worker() -> None:
    """Run tasks."""
    from task_platform.worker.process import run_worker  # noqa: PLC0415

    _run("worker", run_worker, ops=True)


@app.command()
def relay() -> None:
    """Announce what was committed, and bring back what was lost."""
    from task_platform.relay.process import run_relay  # noqa: PLC0415

    _run("relay", run_relay, ops=True)


@app.command()
def migrate() -> None:
    """Bring the database schema up to date."""
    settings: Settings = load_settings()
    applied = asyncio.run(apply_migrations(settings.database_url.get_secret_value()))
    typer.echo("\n".join(f"applied {name}" for name in applied) or "nothing to apply")


def main() -> NoReturn:
    """Entry point.

    Exit codes: 0 fine, 1 unavailable or partly done, 64 usage, 78 wrong configuration, 130 aborted.
    """
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except typer.TyperException as error:
        if said := error.format_message():
            print(f"task-platform: {said}", file=sys.stderr)  # noqa: T201
        sys.exit(64)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except ConfigurationError as error:
        print(f"task-platform: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(78)
    except DatabaseUnavailable as error:
        print(f"task-platform: {_without_database(error)}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except TaskPlatformError as error:
        print(f"task-platform: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


def _without_database(error: DatabaseUnavailable) -> str:
    """What to look at; the variable's name only, as a password may be in its value."""
    variable = f"{PREFIX}DATABASE_URL"
    if variable in os.environ:
        return f"cannot use the database that {variable} names: {error}"
    return f"cannot use the default database, as {variable} is not set: {error}"


if __name__ == "__main__":
    main()
