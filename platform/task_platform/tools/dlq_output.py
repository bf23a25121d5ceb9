"""What `task-platform dlq` says: tables for people, one line of JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from task_platform.storage.dead_letters import DeadLetter, Detail, Outcome, Page
from task_platform.tools.dlq_bulk import Report
from task_platform.tools.text import as_json as json_line
from task_platform.tools.text import printable, shortened

_WHY_NOT = {
    Outcome.RESOLVED_BEFORE: "was replayed or purged before",
    Outcome.NO_TASK: "has no dead task to replay: it can only be purged",
    Outcome.NOT_FOUND: "is no dead letter",
}
_MOST_REASONS = 20


def say_page(page: Page, *, as_json: bool) -> None:
    """Print a part of the list."""
    if as_json:
        letters = [_letter(letter) for letter in page.letters]
        typer.echo(json_line({"dead_letters": letters, "next_before": page.next_before}))
        return
    if not page.letters:
        typer.echo("no dead letters")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("task", "type", "attempts", "failed at", "reason", "status"):
        table.add_column(column, no_wrap=column == "task", overflow="fold")
    for letter in page.letters:
        table.add_row(
            str(letter.task_id),
            _cell(letter.task_type or "-"),
            "-" if letter.attempts is None else str(letter.attempts),
            letter.failed_at.isoformat(sep=" ", timespec="seconds"),
            _cell(_reason(letter)),
            _status(letter),
        )
    Console().print(table)
    if page.next_before is not None:
        typer.echo(f"more: --before {page.next_before}")


def say_detail(detail: Detail, *, as_json: bool) -> None:
    """Print everything about one dead letter."""
    if as_json:
        typer.echo(json_line(_detail(detail)))
        return
    letter = detail.letter
    lines = {
        "task": str(letter.task_id),
        "type": letter.task_type or "-",
        "tenant": letter.tenant or "-",
        "status": _status(letter),
        "failed at": letter.failed_at.isoformat(sep=" "),
        "reason": _reason(letter),
        "attempts": "-"
        if letter.attempts is None
        else f"{letter.attempts} charged, {letter.max_retries} retries allowed",
        "repeats": str(letter.replay_of or "-"),
        "in tasks.dlq": "still to be announced" if detail.is_unannounced else "announced",
        "payload": shortened(detail.payload or "-", 2_000),
    }
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines.items():
        table.add_row(name, _cell(value))
    for failure in detail.failures:
        ended = failure.ended_at.isoformat(sep=" ", timespec="milliseconds")
        error = f"{failure.error_type}: {failure.message}"
        said = f"{ended} {failure.outcome} on {failure.worker}: {error}"
        table.add_row(f"attempt {failure.attempt}", _cell(said))
    Console().print(table)


def say_report(report: Report, *, as_json: bool) -> None:
    """Print what became of the dead letters that were asked for."""
    if as_json:
        counts = {outcome.value: report.counts[outcome] for outcome in Outcome}
        typer.echo(
            json_line(
                {
                    **counts,
                    "new_ids": {str(old): str(new) for old, new in report.new_ids.items()},
                    "not_done": {str(task): why.value for task, why in report.not_done.items()},
                }
            )
        )
        return
    for old, new in report.new_ids.items():
        typer.echo(f"{old} replayed as {new}")
    for task_id, outcome in list(report.not_done.items())[:_MOST_REASONS]:
        typer.echo(f"{task_id} {_WHY_NOT[outcome]}", err=True)
    done = report.count(Outcome.REPLAYED), report.count(Outcome.PURGED)
    typer.echo(f"{done[0]} replayed, {done[1]} purged, {report.total - sum(done)} left")


def _letter(letter: DeadLetter) -> dict[str, Any]:
    return {
        **{name: getattr(letter, name) for name in DeadLetter.__slots__},
        "error": _parsed(letter.error),
        "status": _status(letter),
    }


def _detail(detail: Detail) -> Mapping[str, Any]:
    return {
        **_letter(detail.letter),
        "payload": _parsed(detail.payload),
        "created_at": detail.created_at,
        "is_unannounced": detail.is_unannounced,
        "failures": [
            {name: getattr(failure, name) for name in type(failure).__slots__}
            for failure in detail.failures
        ],
    }


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _status(letter: DeadLetter) -> str:
    if letter.resolution is None:
        return "open"
    return (
        f"{letter.resolution} as {letter.replayed_as}" if letter.replayed_as else letter.resolution
    )


def _reason(letter: DeadLetter) -> str:
    error = _parsed(letter.error)
    if error is None:
        return letter.reason
    return shortened(f"{error['type']}: {error['message']}", 200)


def _cell(text: str) -> Text:
    # As Text, so that brackets in it are not taken for markup.
    return Text(printable(text))
