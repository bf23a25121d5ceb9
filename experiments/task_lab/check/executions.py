"""How executions ended that came to no success, and which tasks were run twice for it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from task_platform.domain.task import State

from task_lab.check.histories_ledger import Ledger

Ending = Literal["retried", "redelivered", "run_twice", "dead_lettered"]
ENDINGS: tuple[Ending, ...] = ("retried", "redelivered", "run_twice", "dead_lettered")


@dataclass(frozen=True, slots=True)
class Ended:
    """One such end, at unix seconds of the database's clock.

    retried: it failed, to be tried again. redelivered: its claim was lost with the worker or given
    back, so that the task was delivered once more; run_twice, as well: its handler had begun, and
    began again. dead_lettered: it failed for good.
    """

    task_id: str
    how: Ending
    at: float


def endings_of(witness: Ledger) -> Iterator[Ended]:
    """Every such end, in the order in which the witness saw them.

    Only tasks of type `effect` tell that their handler began.
    """
    outcome = {(one.task_id, one.fence): one.outcome for one in witness.failures}
    begun: dict[str, set[int]] = {}
    for one in witness.effect_log:
        if one.kind == "started":
            begun.setdefault(one.task_id, set()).add(one.fence)
    for step in witness.transitions:
        if step.before is not State.PROCESSING:
            continue
        if step.after is State.FAILED:
            yield Ended(step.task_id, "dead_lettered", step.seen_at)
        elif step.after is State.QUEUED:
            was_retried = outcome.get((step.task_id, step.fence)) == "retried"
            yield Ended(step.task_id, "retried" if was_retried else "redelivered", step.seen_at)
            begins = begun.get(step.task_id, set())
            if not was_retried and step.fence in begins and max(begins) > step.fence:
                yield Ended(step.task_id, "run_twice", step.seen_at)


def count_endings(witness: Ledger) -> dict[str, int]:
    """How many of each there were in the whole run, warm-up included."""
    counts = Counter(one.how for one in endings_of(witness))
    return {how: counts[how] for how in ENDINGS}
