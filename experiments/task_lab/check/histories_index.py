"""A history with its lookups: which operation became which task, and what is known of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

from task_platform.domain.transitions import TERMINAL

from task_lab.check.histories_ledger import (
    NOTHING_ELSE,
    FailedAttempt,
    Ledger,
    LoggedEffect,
    OpenClaim,
    Operation,
    Permitted,
    TaskRow,
    Transition,
)
from task_lab.check.verdict import Check, Verdict

DEAD_LETTER_QUEUE = "tasks.dlq"
_SHOWN = 5


class _OfTask(Protocol):
    @property
    def task_id(self) -> str: ...


R = TypeVar("R", bound=_OfTask)


@dataclass(frozen=True)
class History:
    """Both sides, and the lookups that the checks share."""

    operations: Sequence[Operation]
    ledger: Ledger
    permitted: Permitted = NOTHING_ELSE

    def with_outcome(self, outcome: str) -> list[Operation]:
        """The operations that ended so for their client."""
        return [operation for operation in self.operations if operation.outcome == outcome]

    def task_of(self, operation: Operation) -> TaskRow | None:
        """The operation's task: the one it was answered with, else the one its key leads to."""
        ids = [operation.task_id] if operation.task_id else self.ledger.keys.get(operation.key, [])
        return next((self.rows[task_id] for task_id in ids if task_id in self.rows), None)

    @cached_property
    def rows(self) -> Mapping[str, TaskRow]:
        """The ledger's tasks by id."""
        return {row.id: row for row in self.ledger.tasks}

    @cached_property
    def known_ids(self) -> frozenset[str]:
        """Tasks that come from an operation, replays of such tasks included.

        A failed operation explains no task.
        """
        sent = (self.task_of(one) for one in self.operations if one.outcome != "failed")
        known = {row.id for row in sent if row is not None}
        while more := {
            row.id for row in self.ledger.tasks if row.replay_of in known and row.id not in known
        }:
            known |= more
        return frozenset(known)

    @cached_property
    def open_rows(self) -> Sequence[TaskRow]:
        """Tasks that are not terminal."""
        return [row for row in self.ledger.tasks if row.state not in TERMINAL]

    @cached_property
    def double_finished(self) -> Sequence[str]:
        """Tasks to which anything happened after they had become terminal."""
        return [
            task_id
            for task_id, steps in self.transitions.items()
            if any(step.after in TERMINAL for step in steps[:-1])
        ]

    @cached_property
    def claim_of(self) -> Mapping[str, OpenClaim]:
        """The lease that still covers a task."""
        return {task_id: claim for claim in self.ledger.claims for task_id in claim.task_ids}

    @cached_property
    def waiting_ids(self) -> frozenset[str]:
        """Tasks that an outbox row will announce to the workers."""
        unsent = (row.task_ids for row in self.ledger.outbox if row.queue != DEAD_LETTER_QUEUE)
        return frozenset(task_id for task_ids in unsent for task_id in task_ids)

    @cached_property
    def transitions(self) -> Mapping[str, Sequence[Transition]]:
        """What the witness saw of each task, in order."""
        return _by_task(self.ledger.transitions)

    @cached_property
    def failures(self) -> Mapping[str, Sequence[FailedAttempt]]:
        """The attempts of each task that did not succeed."""
        return _by_task(self.ledger.failures)

    @cached_property
    def logged(self) -> Mapping[str, Sequence[LoggedEffect]]:
        """The `effect_log` of each task."""
        return _by_task(self.ledger.effect_log)


def answer(
    name: str, wrong: Iterable[str], good: str, *, otherwise: Verdict = Verdict.FAIL
) -> Check:
    """PASS with `good` where nothing is wrong; otherwise what is, one text for each finding."""
    findings = list(wrong)
    if not findings:
        return Check(name, Verdict.PASS, good)
    more = f"; and {len(findings) - _SHOWN} more" if len(findings) > _SHOWN else ""
    return Check(name, otherwise, "; ".join(findings[:_SHOWN]) + more, 0, len(findings))


def _by_task(records: Iterable[R]) -> Mapping[str, Sequence[R]]:
    found: dict[str, list[R]] = defaultdict(list)
    for record in records:
        found[record.task_id].append(record)
    return found
