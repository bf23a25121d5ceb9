"""The peer: how fast PgQueuer drains the same work from the same Postgres.

PgQueuer is a queue in Python that needs nothing but Postgres. It is run by its best documented
setting that is durable, so that the comparison is fair to it:

- `durability` durable, its default: every table is logged. The server's fsync and
  synchronous_commit are as for everybody else here: on.
- asyncpg, through a pool ("for high-throughput deployments"), and uvloop.
- batches of 100. Its log of outcomes is flushed by the batch, too, or ten times a second.
- `pgq autovac` after the installation, as its checklist says, and one ANALYZE once the queue is
  full, which autovacuum would do within a minute of such a change: without it the planner believes
  the queue to be empty, and PgQueuer drains about a fifth less.

Larger batches (up to 1,000), one connection in place of the pool, and several of its managers in
one process are not faster beyond what the machine varies by.

Less durable or known than with the platform: nothing is kept of a job but that it succeeded; its
row is deleted and its result is kept nowhere. A completion is not tied to the claim that it belongs
to (no fence). There is one store and no broker, so nothing else has to agree.

The clock is the one that all drains here go by, from the release of a warm worker that stood still
before the full queue to the last job that succeeded, as PgQueuer's log has it by the server's
clock: the start of the transaction that logged it, so its commit is not counted.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import msgspec

from task_lab.bench.drained import Drained
from task_lab.errors import LabError, NotReadyInTime, ProgramFailed, RuntimeUnavailable
from task_lab.runtime.process import log_tail

DEADLINE_S = 120.0
# What the drain's process may take to clean up behind a drain that came to no end.
_GRACE_S = 15.0


class MissingPgQueuer(RuntimeUnavailable):
    """The optional packages that only the bench needs are not installed."""

    def __init__(self) -> None:
        super().__init__("not installed: PgQueuer, the peer; `make bench-setup` installs it")


class PeerFailed(LabError):
    """Some jobs did not succeed, or not once: what was measured is not the same work."""

    def __init__(self, tasks: int, told: Told) -> None:
        self.told = told
        super().__init__(
            f"PgQueuer: of {tasks:,} jobs {told.enqueued:,} were enqueued, {told.succeeded:,} "
            f"succeeded ({told.successes:,} times), {told.others:,} ended otherwise, "
            f"{told.queued:,} are still queued"
        )


class Told(msgspec.Struct, frozen=True):
    """What a drain's process saw. released_at, ended_at: unix seconds; None if none succeeded.

    successes: how often a job succeeded; others: how often one ended otherwise.
    """

    enqueued: int
    succeeded: int
    successes: int
    others: int
    queued: int
    released_at: float
    ended_at: float | None


def pgqueuer_version() -> str:
    """The version that is installed. Raises MissingPgQueuer."""
    try:
        return metadata.version("pgqueuer")
    except metadata.PackageNotFoundError:
        raise MissingPgQueuer from None


def drain_pgqueuer(database_url: str, tasks: int, *, scratch: Path) -> Drained:
    """Let one worker of PgQueuer's drain so many jobs; takes some 5 s for 20,000.

    database_url: where a schema of its own is made, and removed in the end. The server should be
    otherwise idle. scratch: receives its log. Raises MissingPgQueuer, PeerFailed, ProgramFailed or
    NotReadyInTime.
    """
    pgqueuer_version()
    log = scratch / "pgqueuer.log"
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "task_lab.bench.pgqueuer_drain", str(tasks)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=variables(os.environ, database_url),
            # One group with its worker, which may stand still when it has to be ended.
            start_new_session=True,
        )
    try:
        printed, _ = process.communicate(timeout=DEADLINE_S + _GRACE_S)
    except subprocess.TimeoutExpired:
        raise NotReadyInTime("PgQueuer's drain", DEADLINE_S, log_tail(log)) from None
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode != 0:
        raise ProgramFailed("PgQueuer's drain", process.returncode, log_tail(log), log)
    return drained(tasks, msgspec.json.decode(printed, type=Told))


def variables(environment: dict[str, str] | os._Environ[str], database_url: str) -> dict[str, str]:
    """The environment of the drain: nothing of the caller's own PgQueuer settings is in it."""
    inherited = {
        name: value for name, value in environment.items() if not name.startswith("PGQUEUER_")
    }
    return inherited | {
        "BENCH_DATABASE_URL": database_url,
        "PGQUEUER_SCHEMA": "task_lab_pgqueuer",
        "PGQUEUER_DURABILITY": "durable",
    }


def drained(tasks: int, told: Told) -> Drained:
    """The drain, if every job succeeded exactly once; raises PeerFailed otherwise."""
    counts = (told.enqueued, told.succeeded, told.successes, told.others, told.queued)
    if counts != (tasks, tasks, tasks, 0, 0) or told.ended_at is None:
        raise PeerFailed(tasks, told)
    return Drained(tasks, told.released_at, told.ended_at)
