"""What clients saw against what there is: nothing lost, nothing made up, nothing twice."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from task_platform.domain.task import State
from task_platform.domain.transitions import TERMINAL

from task_lab.check.histories_index import History, answer
from task_lab.check.histories_ledger import TaskRow
from task_lab.check.values import as_json, canonical
from task_lab.check.verdict import Check, Verdict


def check_something_proven(history: History) -> Check:
    """Something was accepted: of a platform that refuses everything nothing is known."""
    ok = len(history.with_outcome("ok"))
    wrong = [] if ok else [f"nothing was proven: none of {len(history.operations)} accepted"]
    good = f"{ok} of {len(history.operations)} operations were accepted"
    return answer("something_proven", wrong, good, otherwise=Verdict.UNKNOWN)


def check_none_lost(history: History) -> Check:
    """Every operation that was answered with a task has its row."""
    ok = history.with_outcome("ok")
    lost = [f"{one.key}: no row {one.task_id}" for one in ok if one.task_id not in history.rows]
    return answer("none_lost", lost, f"all {len(ok)} ok operations have their row")


def check_unknown_at_most_once(history: History) -> Check:
    """An operation without a clear answer left one task or none, found by its key."""
    unknown = history.with_outcome("unknown")
    wrong = []
    for one in unknown:
        ids = history.ledger.keys.get(one.key, [])
        if len(ids) > 1:
            wrong.append(f"{one.key}: {len(ids)} tasks")
        elif ids and ids[0] not in history.rows:
            wrong.append(f"{one.key}: its key stands for {ids[0]}, which has no row")
    recovered = sum(history.task_of(one) is not None for one in unknown)
    good = f"{len(unknown)} unknown operations: {recovered} recovered, the others left nothing"
    return answer("unknown_at_most_once", wrong, good)


def check_failed_left_nothing(history: History) -> Check:
    """An operation that was refused has no task."""
    failed = history.with_outcome("failed")
    wrong = [
        f"{one.key}: refused, yet task {ids[0]}"
        for one in failed
        if (ids := history.ledger.keys.get(one.key))
    ]
    return answer("failed_left_nothing", wrong, f"{len(failed)} refused operations left nothing")


def check_none_unexpected(history: History) -> Check:
    """Every row comes from an operation, or repeats such a task by a replay."""
    rows = history.ledger.tasks
    strangers = [f"{row.id}: nobody sent it" for row in rows if row.id not in history.known_ids]
    good = f"all {len(rows)} rows come from an operation"
    return answer("none_unexpected", strangers, good)


def check_one_key_one_task(history: History) -> Check:
    """No two operations were answered with one task, and each key stands for its own task alone."""
    return answer("one_key_one_task", _key_findings(history), "one task for each key")


def _key_findings(history: History) -> Iterator[str]:
    answered = Counter(one.task_id for one in history.operations if one.task_id is not None)
    yield from (f"{one}: answered to {n} operations" for one, n in answered.items() if n > 1)
    rows = Counter(row.id for row in history.ledger.tasks)
    yield from (f"{task_id}: {count} rows" for task_id, count in rows.items() if count > 1)
    holders = Counter(task_id for ids in history.ledger.keys.values() for task_id in ids)
    yield from (f"{task_id}: {count} keys" for task_id, count in holders.items() if count > 1)
    sent = Counter(one.key for one in history.operations)
    yield from (f"{key}: {count} operations" for key, count in sent.items() if count > 1)
    for one in history.with_outcome("ok"):
        # One that is gone is another check's finding.
        if others := [ids for ids in history.ledger.keys.get(one.key, []) if ids != one.task_id]:
            yield f"{one.key}: answered with {one.task_id}, yet stands for {others[0]}"


def check_keys_kept(history: History) -> Check:
    """The key of every ok operation is there, and no task answered to one has another one's key.

    A key may be gone only where keys may have expired.
    """
    good = f"{len(history.ledger.keys)} keys, each with the task it was answered with"
    return answer("keys_kept", _kept_findings(history), good)


def _kept_findings(history: History) -> Iterator[str]:
    keys_of = defaultdict(set)
    for one in history.with_outcome("ok"):
        keys_of[one.task_id].add(one.key)
        if not history.ledger.keys.get(one.key) and not history.permitted.key_expiry:
            yield f"{one.key}: answered with {one.task_id}, its key is gone"
    for key, ids in history.ledger.keys.items():
        for task_id in ids:
            if task_id in keys_of and key not in keys_of[task_id]:
                yield f"{key}: stands for {task_id}, which was answered to {keys_of[task_id]}"


def check_rows_as_submitted(history: History) -> Check:
    """A row has the type, the payload and the retries of its operation."""
    wrong = []
    for one in history.operations:
        row = history.task_of(one)
        if row is None:
            continue
        is_same = (row.task_type, row.max_retries) == (one.task_type, one.max_retries)
        if not is_same or canonical(as_json(row.payload)) != canonical(one.payload):
            wrong.append(f"{row.id}: not what {one.key} submitted")
    return answer("rows_as_submitted", wrong, "every row is what its operation submitted")


def check_all_terminal(history: History) -> Check:
    """Every task has ended; of one that has not, what can be seen of the reason."""
    stuck = [f"{row.id}: {row.state}, {_reason(row, history)}" for row in history.open_rows]
    return answer("all_terminal", stuck, f"all {len(history.ledger.tasks)} tasks are terminal")


def _reason(row: TaskRow, history: History) -> str:
    if (claim := history.claim_of.get(row.id)) is not None:
        expired = ", which has run out" if claim.is_expired else ""
        return f"held by a lease of {claim.owner}{expired}"
    if row.state is State.PROCESSING:
        return "without any lease: nobody will bring it back"
    if row.id in history.waiting_ids:
        return "waiting in the outbox"
    if history.ledger.tasks_depth:
        return f"perhaps among the {history.ledger.tasks_depth} messages of the queue"
    return "without lease, outbox row or message: nobody remembers it"


def check_ended_as_expected(history: History) -> Check:
    """Each operation's task ended as such a task must."""
    wrong, ended = [], 0
    for one in history.operations:
        row = history.task_of(one)
        if row is None or row.state not in TERMINAL:
            continue
        ended += 1
        if row.state.value != one.expected:
            wrong.append(f"{row.id} ({one.task_type}): {row.state}, expected {one.expected}")
    return answer("ended_as_expected", wrong, f"all {ended} tasks ended as expected")
