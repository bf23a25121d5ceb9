"""`task-platform dlq`: look at the dead letters, replay or purge them.

The list is the database's. The queue `tasks.dlq` follows it: the relay sees to that.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, TypeVar
from uuid import UUID

import typer

from task_platform.errors import DatabaseUnavailable, NotFound
from task_platform.settings import load_settings
from task_platform.storage import dead_letters
from task_platform.storage.dead_letters import Outcome
from task_platform.storage.migrate import is_current
from task_platform.storage.pool import Pool, close_pool, open_pool
from task_platform.tools import dlq_output as output
from task_platform.tools.dlq_bulk import Report, purge, replay
from task_platform.tools.text import printable

app = typer.Typer(
    name="dlq",
    help="Dead letters: tasks that failed for good, until they are replayed or purged.",
    no_args_is_help=True,
)

T = TypeVar("T")

# What a program finds in the exit code when some of what it asked for was not done.
_EXIT_PARTLY = 1

Ids = Annotated[list[UUID] | None, typer.Argument(help="Ids of dead tasks.", show_default=False)]
Everything = Annotated[bool, typer.Option("--all", help="All that are open.")]
OfType = Annotated[str | None, typer.Option("--task-type", help="Only tasks of this type.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs, on one line.")]


@app.command("list")
def list_command(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also replayed and purged.")] = False,
    task_type: OfType = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most to show.")] = 50,
    before: Annotated[UUID | None, typer.Option(help="Continue below this id.")] = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first."""

    async def collect(pool: Pool) -> dead_letters.Page:
        found: list[dead_letters.DeadLetter] = []
        cursor = before
        while True:
            page = await dead_letters.list_dead_letters(
                pool,
                before=cursor,
                only_open=not everything,
                task_type=task_type,
                limit=limit - len(found),
            )
            found.extend(page.letters)
            cursor = page.next_before
            if cursor is None or len(found) == limit:
                return dead_letters.Page(tuple(found), cursor)

    output.say_page(_with_database(collect), with_resolved=everything, as_json=as_json)


@app.command()
def show(
    task_id: Annotated[UUID, typer.Argument(help="Id of the dead task.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter: its task, and every attempt that failed."""
    detail = _with_database(lambda pool: dead_letters.show_dead_letter(pool, task_id))
    if detail is None:
        raise NotFound(f"no dead letter {task_id}")
    output.say_detail(detail, as_json=as_json)


@app.command("replay")
def replay_command(
    ids: Ids = None,
    *,
    everything: Everything = False,
    task_type: OfType = None,
    rate: Annotated[float, typer.Option(min=0.01, max=100_000, help="Most tasks a second.")] = 50.0,
    as_json: AsJson = False,
) -> None:
    """Run dead tasks once more, each as a new task that names the dead one."""
    wanted = _wanted(ids, everything=everything, task_type=task_type)
    report = _with_database(lambda pool: replay(pool, wanted, task_type=task_type, rate=rate))
    _finish(report, as_json=as_json)


@app.command("purge")
def purge_command(
    ids: Ids = None,
    *,
    everything: Everything = False,
    task_type: OfType = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask first; needed by scripts.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take dead letters off the list for good; their tasks stay FAILED."""
    wanted = _wanted(ids, everything=everything, task_type=task_type)
    if everything and not yes:
        _ask_to_purge_all(task_type)
    report = _with_database(lambda pool: purge(pool, wanted, task_type=task_type))
    _finish(report, as_json=as_json)


def _ask_to_purge_all(task_type: str | None) -> None:
    """Come back only if the person at the terminal agrees."""
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            "nobody is there to be asked: purging all needs --yes", param_hint="--all"
        )
    kind = "" if task_type is None else f" of type {printable(task_type)}"
    if not typer.confirm(f"Purge all open dead letters{kind} for good?", err=True):
        typer.echo("nothing was purged", err=True)
        raise typer.Exit(_EXIT_PARTLY)


def _wanted(
    ids: Sequence[UUID] | None, *, everything: bool, task_type: str | None
) -> list[UUID] | None:
    """The ids that were named, each once; None for all that are open."""
    if bool(ids) == everything:
        raise typer.BadParameter("give ids, or --all", param_hint="IDS")
    if ids and task_type is not None:
        raise typer.BadParameter("goes with --all only", param_hint="--task-type")
    return list(dict.fromkeys(ids)) if ids else None


def _finish(report: Report, *, as_json: bool) -> None:
    output.say_report(report, as_json=as_json)
    if report.total != report.count(Outcome.REPLAYED) + report.count(Outcome.PURGED):
        raise typer.Exit(_EXIT_PARTLY)


def _with_database(work: Callable[[Pool], Awaitable[T]]) -> T:
    async def run() -> T:
        async with _database() as pool:
            return await work(pool)

    return asyncio.run(run())


@asynccontextmanager
async def _database() -> AsyncIterator[Pool]:
    pool = await open_pool(load_settings(), process="dlq", size=1)
    try:
        if not await is_current(pool):
            raise DatabaseUnavailable("the schema is not migrated yet: run `task-platform migrate`")
        yield pool
    finally:
        await close_pool(pool)
