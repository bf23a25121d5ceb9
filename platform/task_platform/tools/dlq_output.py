"""What `task-platform dlq` says: tables for people, one line of JSON for programs."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from typing import Any

import typer

from task_platform.storage.dead_letters import DeadLetter, Detail, Outcome, Page
from task_platform.tools.dlq_bulk import Report
from task_platform.tools.text import as_json as json_line
from task_platform.tools.text import cut, printable, shortened, table, time_text

_WHY_NOT = {
    Outcome.RESOLVED_BEFORE: "was replayed or purged before",
    Outcome.NO_TASK: "has no dead task to replay: it can only be purged",
    Outcome.NOT_FOUND: "is no dead letter",
}
_MOST_REASONS = 20


def say_page(page: Page, *, with_resolved: bool, as_json: bool) -> None:
    """Print a part of the list: one line for each, cut to the terminal if there is one.

    with_resolved: it may contain some that are not open any more.
    """
    if as_json:
        letters = [_letter(letter) for letter in page.letters]
        typer.echo(json_line({"dead_letters": letters, "next_before": page.next_before}))
        return
    if not page.letters:
        typer.echo("no dead letters")
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    # Ids and times are worth nothing when they are cut, so types and reasons share what is left.
    most_of_type = None if width is None else max(8, width // 10)
    rows = [["task", "failed at (UTC)", *(["status"] if with_resolved else []), "type", "reason"]]
    for letter in page.letters:
        status = _status(letter) if width is None else letter.resolution or "open"
        rows.append(
            [
                str(letter.task_id),
                time_text(letter.failed_at, "minutes").replace("T", " ").removesuffix("Z"),
                *([status] if with_resolved else []),
                cut(printable(letter.task_type or "-"), most_of_type),
                printable(_reason(letter)),
            ]
        )
    for line in table(rows, width=width):
        typer.echo(line)
    if page.next_before is not None:
        typer.echo(f"more: --before {page.next_before}")


def say_detail(detail: Detail, *, as_json: bool) -> None:
    """Print everything about one dead letter."""
    if as_json:
        typer.echo(json_line(_detail(detail)))
        return
    letter = detail.letter
    facts = {
        "task": str(letter.task_id),
        "type": letter.task_type or "-",
        "tenant": letter.tenant or "-",
        "status": _status(letter),
        "failed at": time_text(letter.failed_at),
        "reason": shortened(_reason(letter), 2_000),
        "attempts": "-"
        if letter.attempts is None
        else f"{letter.attempts} charged, {letter.max_retries} retries allowed",
        "repeats": str(letter.replay_of or "-"),
        "in tasks.dlq": _in_queue(detail),
        "payload": shortened(detail.payload or "-", 2_000),
    }
    rows = list(facts.items())
    for failure in detail.failures:
        ended = time_text(failure.ended_at, "milliseconds")
        error = f"{failure.error_type}: {failure.message}"
        said = f"{ended} {failure.outcome} on {failure.worker}: {error}"
        rows.append((f"attempt {failure.attempt}", said))
    # Not cut: a terminal goes on in the next line, and what is copied from there is whole.
    for line in table([(name, printable(value)) for name, value in rows], width=None):
        typer.echo(line)


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
    return f"{error['type']}: {error['message']}"


def _in_queue(detail: Detail) -> str:
    """What can be said of its message without asking the broker: the relay keeps the two agreed."""
    if detail.letter.resolution is not None:
        return f"no more: the relay removes the message of what was {detail.letter.resolution}"
    if detail.is_unannounced:
        return "not yet: its message waits for the broker"
    return "sent; the relay sends it again, should it be missing there"
