"""The life of each task as the witness saw it: only legal steps, one end, attempts well counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from task_platform.domain.task import State
from task_platform.domain.transitions import TRANSITIONS

from task_lab.check.histories_index import History, answer
from task_lab.check.histories_ledger import FailedAttempt, TaskRow, Transition
from task_lab.check.verdict import Check, Verdict

_LEGAL = frozenset((before, after) for (before, _), after in TRANSITIONS.items())


def check_witness_complete(history: History) -> Check:
    """The witness saw each task from its insert to what its row says now.

    Where it did not, nothing is known of what happened in between.
    """
    wrong = []
    for row in history.ledger.tasks:
        steps = history.transitions.get(row.id, [])
        if not steps or steps[0].before is not None:
            wrong.append(f"{row.id}: its insert was not seen")
        elif (steps[-1].after, steps[-1].fence) != (row.state, row.fence):
            wrong.append(f"{row.id}: last seen {steps[-1].after}, its row says {row.state}")
        elif any(later.before != earlier.after for earlier, later in pairwise(steps)):
            wrong.append(f"{row.id}: steps are missing in between")
    good = f"{len(history.ledger.transitions)} changes of {len(history.ledger.tasks)} tasks"
    return answer("witness_complete", wrong, good, otherwise=Verdict.UNKNOWN)


def check_finished_once(history: History) -> Check:
    """Each task became terminal once, and nothing happened to it afterwards."""
    wrong = []
    for task_id in history.double_finished:
        states = [step.after for step in history.transitions[task_id]]
        wrong.append(f"{task_id}: {' → '.join(map(str, states))}")
    return answer("finished_once", wrong, "nothing happened to a task after its end")


def check_transitions_legal(history: History) -> Check:
    """Each step is in the table; a claim raises the fence by one, and nothing else moves it."""
    wrong = [
        f"{task_id}: {finding}"
        for task_id, steps in history.transitions.items()
        for finding in _illegal_steps(steps)
    ]
    return answer("transitions_legal", wrong, f"{len(history.ledger.transitions)} legal steps")


def _illegal_steps(steps: Sequence[Transition]) -> Iterator[str]:
    fence = 0
    for step in steps:
        if step.before is None:
            if (step.after, step.fence) != (State.QUEUED, 0):
                yield f"inserted as {step.after} with fence {step.fence}"
        elif (step.before, step.after) not in _LEGAL:
            yield f"{step.before} → {step.after or 'deleted'}"
        elif step.fence - fence != int(step.after is State.PROCESSING):
            yield f"{step.before} → {step.after} moved the fence from {fence} to {step.fence}"
        fence = step.fence


def check_attempts_within_limit(history: History) -> Check:
    """Never more than max_retries + 1 attempts, never fewer than none; a task that ran had one."""
    limits = {row.id: row.max_retries + 1 for row in history.ledger.tasks}
    wrong = [
        f"{step.task_id}: {step.attempts} attempts"
        for step in history.ledger.transitions
        if not 0 <= step.attempts <= limits.get(step.task_id, step.attempts)
    ]
    for row in history.ledger.tasks:
        least = int(row.state in {State.SUCCEEDED, State.FAILED})
        if not least <= row.attempts <= min(limits[row.id], row.fence):
            wrong.append(f"{row.id}: {row.state} with {row.attempts} of {limits[row.id]} attempts")
    return answer("attempts_within_limit", wrong, "attempts within their limits")


def check_attempts_charged(history: History) -> Check:
    """A claim charges one attempt (none when all are used up), and only that one comes back."""
    wrong = [
        f"{row.id}: {finding}"
        for row in history.ledger.tasks
        for finding in _miscounted(row, history.transitions.get(row.id, []))
    ]
    return answer("attempts_charged", wrong, "every claim charged its attempt, and no other")


def _miscounted(row: TaskRow, steps: Sequence[Transition]) -> Iterator[str]:
    charged = 0
    for earlier, later in pairwise(steps):
        change = later.attempts - earlier.attempts
        if later.after is State.PROCESSING:
            charged = int(earlier.attempts <= row.max_retries)
            if change != charged:
                yield f"the claim with fence {later.fence} charged {change}"
        elif not -charged * (later.after is State.QUEUED) <= change <= 0:
            yield f"{later.before} → {later.after} changed its attempts by {change}"
    if steps and steps[-1].attempts != row.attempts:
        yield f"{steps[-1].attempts} attempts at its last step, {row.attempts} now"


def check_failures_consistent(history: History) -> Check:
    """Each attempt that came to no success is on record, once, as what it was; and no other."""
    wrong = [
        f"{task_id}: {finding}"
        for task_id in {*history.transitions, *history.failures}
        for finding in _misrecorded(
            history.transitions.get(task_id, []), history.failures.get(task_id, [])
        )
    ]
    good = f"{len(history.ledger.failures)} failed attempts, each as it was seen"
    return answer("failures_consistent", sorted(wrong), good)


def _misrecorded(steps: Sequence[Transition], failures: Sequence[FailedAttempt]) -> Iterator[str]:
    recorded = {one.fence: one for one in failures}
    if len(recorded) < len(failures):
        yield "two records of one claim"
    for before, earlier, later in zip(steps, steps[1:], steps[2:], strict=False):
        if later.before is not State.PROCESSING:
            continue
        record = recorded.pop(earlier.fence, None)
        # An exhausted task is claimed uncharged: then there is nothing to give back.
        expected = _outcomes(later, is_uncharged=later.attempts == before.attempts)
        if (record.outcome if record else None) not in expected:
            seen = record.outcome if record else "nothing"
            yield f"claim {earlier.fence} ended {later.after}, recorded is {seen}"
        elif record is not None and record.attempt != earlier.attempts:
            yield f"claim {earlier.fence} was attempt {earlier.attempts}, not {record.attempt}"
    yield from (f"a record of claim {fence}, which was not seen to end" for fence in recorded)


def _outcomes(step: Transition, *, is_uncharged: bool) -> set[str | None]:
    """What `attempt_failures` may say of a claim that ended so; None: nothing."""
    if step.after is State.QUEUED:
        return {"worker_lost", None} if is_uncharged else {"retried", "worker_lost"}
    return {"dead"} if step.after is State.FAILED else {None}
