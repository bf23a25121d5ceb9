"""Replays and purges: a dead letter is closed by one of them alone, and says by which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from task_platform.domain.task import State

from task_lab.check.histories_index import History, answer
from task_lab.check.histories_ledger import DeadLetter, TaskRow
from task_lab.check.values import as_json, canonical
from task_lab.check.verdict import Check

_REPLAYED, _PURGED = "replayed", "purged"


def check_replays_right(history: History) -> Check:
    """A replay repeats a FAILED task as it was, alone, and is what its dead letter names."""
    replays = [row for row in history.ledger.tasks if row.replay_of is not None]
    letters = {one.task_id: one for one in history.ledger.dead_letters}
    times = Counter(row.replay_of for row in replays)
    wrong = [f"{one}: replayed {count} times" for one, count in times.items() if count > 1]
    wrong += [
        f"{row.id}: {finding}"
        for row in replays
        for finding in _replay_findings(row, history, letters.get(row.replay_of or ""))
    ]
    return answer("replays_right", wrong, f"{len(replays)} replays, each of a dead task of its own")


def _replay_findings(row: TaskRow, history: History, letter: DeadLetter | None) -> Iterator[str]:
    origin = history.rows.get(row.replay_of or "")
    if not history.permitted.replays:
        yield "a replay, and nobody replayed anything"
    if origin is None or origin.state is not State.FAILED:
        yield f"repeats {row.replay_of}, which is {origin.state if origin else 'not there'}"
    elif _submitted(row) != _submitted(origin):
        yield f"not what {origin.id} was submitted as"
    if letter is None:
        yield f"repeats {row.replay_of}, which has no dead letter"
    elif (letter.resolution, letter.replayed_as) != (_REPLAYED, row.id):
        yield f"its dead letter says {letter.resolution} as {letter.replayed_as}"


def _submitted(row: TaskRow) -> tuple[str, int, str]:
    return row.task_type, row.max_retries, canonical(as_json(row.payload))


def check_dead_letters_resolved(history: History) -> Check:
    """A dead letter is open, replayed as a task that is there, or purged; the latter if permitted.

    What is closed otherwise is lost: nobody will see it any more.
    """
    letters = history.ledger.dead_letters
    wrong = [
        f"{one.task_id}: {finding}"
        for one in letters
        if (finding := _resolution_finding(one, history)) is not None
    ]
    good = f"{sum(one.is_open for one in letters)} of {len(letters)} dead letters are open"
    return answer("dead_letters_resolved", wrong, good)


def _resolution_finding(letter: DeadLetter, history: History) -> str | None:
    if letter.is_open:
        is_clear = letter.resolution is None and letter.replayed_as is None
        return None if is_clear else f"open, yet {letter.resolution} as {letter.replayed_as}"
    if letter.resolution == _PURGED:
        return None if history.permitted.purges else "purged, and nobody purged anything"
    if letter.resolution != _REPLAYED:
        return "closed, neither replayed nor purged"
    replay = history.rows.get(letter.replayed_as or "")
    if replay is None or replay.replay_of != letter.task_id:
        return f"replayed as {letter.replayed_as}, which does not repeat it"
    return None
