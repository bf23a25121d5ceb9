"""What the seed of the mix foretells of every submission, and where the records differ from it.

Which part of the mix a submission is, and with that its whole life, is known before it is sent:
its end, its result, its attempts, each attempt that fails, and whether it ends among the dead
letters. Pure.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from task_platform.domain.task import State

from task_lab.check.evidence import Evidence
from task_lab.check.values import as_json, canonical
from task_lab.errors import Unknown
from task_lab.load.mix import mix_of
from task_lab.spec import Part

RETRIED, DEAD = "retried", "dead"


@dataclass(frozen=True)
class Deviation:
    """One thing about one task that is not as foretold."""

    task_id: str
    part: str
    what: str
    foretold: Any
    observed: Any

    def __str__(self) -> str:
        return f"{self.task_id} ({self.part}): {self.what} {self.observed}, not {self.foretold}"


def foretold_parts(evidence: Evidence) -> dict[str, Part]:
    """The `Part` of each task that a submission is known to stand for, by the task's id.

    From the client's own record and the seed alone: a task that the ledger lost is among them.
    """
    spec = evidence.spec
    workload_of = {phase.name: spec.workload(phase.workload) for phase in evidence.phases()}
    mixes = {p.name: mix_of(workload_of[p.name], p, spec.seed) for p in evidence.phases()}
    sent = evidence.history[evidence.history["outcome"] != "rejected"].dropna(subset="task_id")
    found = {}
    for phase, index, task_id in zip(sent["phase"], sent["index"], sent["task_id"], strict=True):
        if phase in mixes:
            mix = mixes[phase]
            found[str(task_id)] = workload_of[phase].parts[mix[index] if mix else 0]
    return found


def retries_of(part: Part) -> int:
    """How many of a task's attempts end with a retry."""
    return part.attempts - 1


def failures_of(part: Part) -> list[tuple[int, str]]:
    """Number and outcome of each attempt that has to fail."""
    retried = [(number, RETRIED) for number in range(1, part.attempts)]
    return [*retried, (part.attempts, DEAD)] if part.ends == State.FAILED else retried


def deviations(evidence: Evidence) -> list[Deviation]:
    """Everything that is not as foretold, task by task; empty where all is.

    The fence is one for the first claim and one for each return to the queue that the witness saw.
    Raises Unknown where the run kept no `attempt_failures`.
    """
    if evidence.failures is None:
        raise Unknown("the run kept no record of failed attempts")
    records = _Records(evidence)
    return [
        Deviation(task_id, part.name, what, foretold, observed)
        for task_id, part in foretold_parts(evidence).items()
        for what, foretold, observed in records.compared(task_id, part)
        if foretold != observed
    ]


class _Records:
    """What database and broker hold of each task."""

    def __init__(self, evidence: Evidence) -> None:
        assert evidence.failures is not None
        self._rows = _by_id(evidence.tasks, "id")
        self._letters = _by_id(evidence.dead_letters, "task_id")
        self._failures: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for one in evidence.failures.sort_values("fence").to_dict("records"):
            self._failures[one["task_id"]].append({str(k): v for k, v in one.items()})
        self._messages = Counter(evidence.dlq_ids)
        self._returns = _returns(evidence)

    def compared(self, task_id: str, part: Part) -> Iterator[tuple[str, Any, Any]]:
        """What is compared, as foretold and as recorded."""
        row = self._rows.get(task_id)
        yield "has a row", True, row is not None
        if row is None:
            return
        failures, letter = self._failures[task_id], self._letters.get(task_id)
        yield "ended", part.ends, row["state"]
        if part.ends == State.FAILED or part.expect is not None:
            yield "result", canonical(part.expect), _result(row["result"])
        yield "attempts", part.attempts, row["attempts"]
        if part.max_retries is not None:
            yield "max_retries", part.max_retries, row["max_retries"]
        yield "failed attempts", failures_of(part), [(o["attempt"], o["outcome"]) for o in failures]
        yield "fence", self._fence(task_id, row), row["fence"]
        yield "fences of its attempts in order", True, _in_order(failures, part, row["fence"])
        yield "dead letter", part.ends == State.FAILED, letter is not None
        yield "messages in tasks.dlq", int(part.ends == State.FAILED), self._messages[task_id]
        if letter is not None:
            last = failures[-1]["error_type"] if failures else None
            yield "reason of its dead letter", part.reason or last, letter["reason"]
            yield "dead letter still open", True, bool(pd.isna(letter["resolved_at"]))

    def _fence(self, task_id: str, row: Mapping[str, Any]) -> int:
        if self._returns is None:
            return max(int(row["fence"]), int(row["attempts"]))
        return 1 + self._returns[task_id]


def _in_order(failures: Sequence[Mapping[str, Any]], part: Part, last: int) -> bool:
    """Whether fences rise, and the last claim's belongs to the attempt that ended the task."""
    fences = [one["fence"] for one in failures]
    if part.ends == State.FAILED:
        return fences == sorted(set(fences)) and fences[-1:] == [last]
    return [*fences, last] == sorted({*fences, last})


def _result(text: object) -> str:
    if not isinstance(text, str):
        return canonical(None)
    try:
        return canonical(as_json(text))
    except ValueError:
        return text


def _returns(evidence: Evidence) -> Counter[str] | None:
    """How often each task went back to the queue; None where nobody watched."""
    if evidence.witness is None:
        return None
    return Counter(
        step.task_id
        for step in evidence.witness.transitions
        if (step.before, step.after) == (State.PROCESSING, State.QUEUED)
    )


def _by_id(frame: pd.DataFrame, column: str) -> dict[str, dict[str, Any]]:
    rows = frame.to_dict("records")
    return {str(row[column]): {str(name): value for name, value in row.items()} for row in rows}
