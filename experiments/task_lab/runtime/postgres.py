"""A PostgreSQL server of our own: fresh cluster, one superuser with a random password."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from task_lab.errors import ProgramFailed
from task_lab.runtime.instance import Instance
from task_lab.runtime.ports import LOOPBACK
from task_lab.runtime.process import Boot, Child, until, until_ended

USER = "task_platform"

# Durability is what makes the measured rates worth something, so it is spelled out.
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "200",
    "shared_buffers": "256MB",
    # A checkpoint in the middle of a round would show as a dent that is not the platform's.
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_duration_statement": "1s",
    # Values of parameters are payloads: they stay out of the log.
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}


class Postgres:
    """One cluster on 127.0.0.1:port."""

    def __init__(
        self,
        instance: Instance,
        *,
        programs: Mapping[str, Path],
        port: int,
        logs: Path,
        user: str | None,
    ) -> None:
        self.port = port
        self._instance = instance
        self._programs = programs
        self._log = logs / "postgres.log"
        self._user = user
        self._folder = instance.subfolder("postgres", user)
        self._password = secrets.token_hex(16)
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """Process id of the server, whose sessions are its children; it must have been booted."""
        assert self._child is not None
        return self._child.pid

    def url(self, database: str) -> str:
        """Address of a database, with the password."""
        return f"postgresql://{USER}:{self._password}@{LOOPBACK}:{self.port}/{database}"

    def boot(self) -> Boot:
        """Make the cluster on the first call, then start the server."""
        data = self._folder / "data"
        if not data.exists():
            yield from self._initialise(data)
        options = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        self._child = self._start("postgres", "-D", str(data), "-c", f"port={self.port}", *options)
        yield from until(
            lambda: self._psql("postgres", "select 1").returncode == 0,
            what="PostgreSQL to answer",
            deadline_s=30,
            child=self._child,
        )

    def stop(self, *, immediate: bool = False) -> None:
        """Stop the server and break its connections; the data stays.

        immediate: as in a crash, without a checkpoint; the next start recovers from the log.
        """
        if self._child:
            self._child.end(signal.SIGQUIT if immediate else signal.SIGINT, grace_s=20)

    def create_database(self, name: str, *, template: str | None = None) -> str:
        """Make an empty database, or a copy of `template` (to which nobody may be connected).

        Returns its address.
        """
        copied = f' template "{template}"' if template else ""
        self._execute(f'create database "{name}"{copied}')
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Delete a database, cutting off whoever uses it; nothing if there is none."""
        self._execute(f'drop database if exists "{name}" with (force)')

    def _initialise(self, data: Path) -> Boot:
        password_file = self._folder / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        if self._user:
            subprocess.run(["chown", self._user, str(password_file)], check=True)
        # Not synced to disk: a cluster that is seconds old has nothing to lose.
        initdb = self._start(
            "initdb",
            f"--pgdata={data}",
            f"--username={USER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        )
        yield from until_ended(initdb, deadline_s=60)
        password_file.unlink()

    def _start(self, program: str, *arguments: str) -> Child:
        return self._instance.spawn(
            program,
            [str(self._programs[program]), *arguments],
            log=self._log,
            cwd=self._folder.parent,
            user=self._user,
        )

    def _execute(self, statement: str) -> None:
        done = self._psql("postgres", statement)
        if done.returncode != 0:
            raise ProgramFailed("psql", done.returncode, done.stderr.strip(), None)

    def _psql(self, database: str, statement: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                str(self._programs["psql"]),
                "--no-psqlrc",
                "--quiet",
                f"--host={LOOPBACK}",
                f"--port={self.port}",
                f"--username={USER}",
                f"--dbname={database}",
                f"--command={statement}",
            ],
            env=os.environ | {"PGPASSWORD": self._password, "PGCONNECT_TIMEOUT": "5"},
            capture_output=True,
            text=True,
            check=False,
        )
