"""Made-up histories: tasks that live by words, and everything the ledger would say of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from task_lab.check.histories import Ledger, Operation
from task_lab.check.histories_ledger import (
    NOTHING_ELSE,
    DeadLetter,
    FailedAttempt,
    LoggedEffect,
    Permitted,
    RecordedEffect,
    TaskRow,
    Transition,
)
from task_platform.domain.task import State

EMPTY = Ledger([], {}, [], [], [], [], [], [], [], [], 0)


@dataclass
class Life:
    """One task: what happens to it, in words, and what that leaves behind.

    Words: claim, ok, retry, dead, lost (in company), lost_alone, back; for effects: started,
    guarded; what must not be: free (a claim that charges nothing), refund.
    """

    task_id: str
    task_type: str = "sum"
    payload: Any = field(default_factory=lambda: {"numbers": [1, 2, 3]})
    max_retries: int = 3
    replay_of: str | None = None
    state: State = State.QUEUED
    attempts: int = 0
    fence: int = 0
    steps: list[Transition] = field(default_factory=list)
    failures: list[FailedAttempt] = field(default_factory=list)
    logged: list[LoggedEffect] = field(default_factory=list)

    def lives(self, words: str) -> Life:
        self.steps.append(Transition(self.task_id, None, State.QUEUED, 0, 0))
        for word in words.split():
            getattr(self, f"_{word}")()
        return self

    def row(self) -> TaskRow:
        return TaskRow(
            id=self.task_id,
            task_type=self.task_type,
            payload=json.dumps(self.payload),
            max_retries=self.max_retries,
            state=self.state,
            attempts=self.attempts,
            fence=self.fence,
            result=json.dumps(self._result()) if self.state is State.SUCCEEDED else None,
            replay_of=self.replay_of,
        )

    def _result(self) -> Any:
        guarded = [one.fence for one in self.logged if one.kind == "guarded"]
        return {"fence": guarded[0]} if guarded else {"sum": 6}

    def operation(self, **fields: Any) -> Operation:
        is_dead = self.state is State.FAILED
        operation = Operation(
            key=f"key-{self.task_id}",
            task_type=self.task_type,
            payload=self.payload,
            max_retries=self.max_retries,
            outcome="ok",
            task_id=self.task_id,
            expected="FAILED" if is_dead else "SUCCEEDED",
        )
        return replace(operation, **fields)

    def _claim(self) -> None:
        self.fence += 1
        self.attempts += int(self.attempts <= self.max_retries)
        self._step(State.PROCESSING)

    def _free(self) -> None:
        self.fence += 1
        self._step(State.PROCESSING)

    def _refund(self) -> None:
        self.attempts -= 1

    def _ok(self) -> None:
        self._step(State.SUCCEEDED)

    def _retry(self) -> None:
        self._fail("retried")
        self._step(State.QUEUED)

    def _dead(self) -> None:
        self._fail("dead")
        self._step(State.FAILED)

    def _lost(self) -> None:
        self._fail("worker_lost")
        self._back()

    def _lost_alone(self) -> None:
        self._fail("worker_lost")
        self._step(State.QUEUED)

    def _left(self) -> None:
        self._step(State.QUEUED)

    def _back(self) -> None:
        self.attempts -= 1
        self._step(State.QUEUED)

    def _started(self) -> None:
        self.logged.append(LoggedEffect(self.task_id, self.fence, "started"))

    def _guarded(self) -> None:
        self.logged.append(LoggedEffect(self.task_id, self.fence, "guarded"))

    def _step(self, after: State) -> None:
        self.steps.append(Transition(self.task_id, self.state, after, self.fence, self.attempts))
        self.state = after

    def _fail(self, outcome: str) -> None:
        self.failures.append(FailedAttempt(self.task_id, self.fence, self.attempts, outcome))


def ledger_of(lives: Sequence[Life]) -> Ledger:
    """The ledger of these tasks; a dead one that another repeats counts as replayed."""
    dead = [life.task_id for life in lives if life.state is State.FAILED]
    replayed = {life.replay_of: life.task_id for life in lives if life.replay_of}
    is_once = {life.task_id for life in lives if life.payload.get("via", "once") == "once"}
    logged = [one for life in lives for one in life.logged]
    return replace(
        EMPTY,
        tasks=[life.row() for life in lives],
        keys={f"key-{life.task_id}": [life.task_id] for life in lives if not life.replay_of},
        failures=[one for life in lives for one in life.failures],
        dead_letters=[
            DeadLetter(one, is_open=False, resolution="replayed", replayed_as=replayed[one])
            if one in replayed
            else DeadLetter(one, is_open=True)
            for one in dead
        ],
        effect_log=logged,
        effects=[
            RecordedEffect(one.task_id, "effect", one.fence)
            for one in logged
            if one.kind == "guarded" and one.task_id in is_once
        ],
        transitions=[step for life in lives for step in life.steps],
        dlq_ids=[task_id for task_id in dead if task_id not in replayed],
    )


def good_lives() -> list[Life]:
    """One task of every kind."""
    transaction = {"via": "transaction"}
    return [
        Life("plain").lives("claim ok"),
        Life("again").lives("claim ok"),
        Life("flaky").lives("claim retry claim retry claim ok"),
        Life("bad", max_retries=1).lives("claim retry claim dead"),
        Life("innocent").lives("claim lost claim ok"),
        Life("returned").lives("claim back claim ok"),
        Life("killer", max_retries=0).lives("claim lost_alone claim dead"),
        Life("replay", replay_of="killer", max_retries=0).lives("claim ok"),
        Life("once", "effect").lives("claim started guarded retry claim started ok"),
        Life("once_dead", "effect", max_retries=0).lives("claim started guarded dead"),
        Life("committed", "effect", transaction).lives(
            "claim started retry claim started guarded ok"
        ),
        Life("undone", "effect", transaction, max_retries=0).lives("claim started dead"),
        Life("recovered").lives("claim ok"),
    ]


@dataclass(frozen=True)
class Told:
    """A whole history."""

    operations: list[Operation]
    ledger: Ledger
    permitted: Permitted = NOTHING_ELSE


def good_history() -> Told:
    """Everything right: operations ok, failed and unknown, and tasks of every kind."""
    lives = good_lives()
    operations = [life.operation() for life in lives if not life.replay_of]
    operations[-1] = replace(operations[-1], outcome="unknown", task_id=None)
    nothing = replace(operations[0], task_id=None)
    operations += [
        replace(nothing, key="key-refused", outcome="failed"),
        replace(nothing, key="key-absent", outcome="unknown"),
    ]
    return Told(operations, ledger_of(lives), Permitted(replays=True))


def with_row(task_id: str, **fields: Any) -> Callable[[Told], Told]:
    """A row changed."""

    def change(told: Told) -> Told:
        rows = [replace(row, **fields) if row.id == task_id else row for row in told.ledger.tasks]
        return replace(told, ledger=replace(told.ledger, tasks=rows))

    return change


def with_operation(of: str, **fields: Any) -> Callable[[Told], Told]:
    """An operation changed."""

    def change(told: Told) -> Told:
        changed = [replace(one, **fields) if one.key == of else one for one in told.operations]
        return replace(told, operations=changed)

    return change


def with_key(key: str, *task_ids: str) -> Callable[[Told], Told]:
    """A key that stands for these tasks."""

    def change(told: Told) -> Told:
        keys = {**told.ledger.keys, key: list(task_ids)}
        return replace(told, ledger=replace(told.ledger, keys=keys))

    return change


def with_dead_letter(task_id: str, **fields: Any) -> Callable[[Told], Told]:
    """A dead letter changed."""

    def change(told: Told) -> Told:
        letters = [
            replace(one, **fields) if one.task_id == task_id else one
            for one in told.ledger.dead_letters
        ]
        return replace(told, ledger=replace(told.ledger, dead_letters=letters))

    return change


def with_more(name: str, *records: Any) -> Callable[[Told], Told]:
    """More records of a kind in the ledger."""

    def change(told: Told) -> Told:
        more = [*getattr(told.ledger, name), *records]
        return replace(told, ledger=replace(told.ledger, **{name: more}))  # type: ignore[arg-type]

    return change


def without(name: str, is_gone: Callable[[Any], bool]) -> Callable[[Told], Told]:
    """Fewer records of a kind in the ledger; at least one must go."""

    def change(told: Told) -> Told:
        before = getattr(told.ledger, name)
        kept = [one for one in before if not is_gone(one)]
        assert len(kept) < len(before)
        return replace(told, ledger=replace(told.ledger, **{name: kept}))  # type: ignore[arg-type]

    return change


def without_key(key: str) -> Callable[[Told], Told]:
    """A key that is gone."""

    def change(told: Told) -> Told:
        keys = {one: ids for one, ids in told.ledger.keys.items() if one != key}
        return replace(told, ledger=replace(told.ledger, keys=keys))

    return change


def with_life(life: Life) -> Callable[[Told], Told]:
    """A task that lived otherwise, in the place of the one of its id."""

    def change(told: Told) -> Told:
        lives = [life if one.task_id == life.task_id else one for one in good_lives()]
        return replace(told, ledger=ledger_of(lives))

    return change
