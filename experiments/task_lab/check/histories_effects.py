"""What tasks left behind: guarded effects, dead letters, and whatever is still on its way."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from task_platform.domain.task import State

from task_lab.check.histories_index import History, answer
from task_lab.check.histories_ledger import TaskRow
from task_lab.check.values import as_json, canonical
from task_lab.check.verdict import Check

_EFFECT = "effect"


def check_effects_once(history: History) -> Check:
    """A guarded effect was made once for each SUCCEEDED `effect` task, by a claim that ran.

    What belongs to a completion (`transaction`) was made by the last claim, and is on record
    nowhere else. A FAILED task has at most the effect it made under `once` before it failed. A task
    that is not there made none.
    """
    recorded: dict[str, list[int]] = defaultdict(list)
    for effect in history.ledger.effects:
        recorded[effect.task_id].append(effect.fence)
    tasks = [row for row in history.ledger.tasks if row.task_type == _EFFECT]
    wrong = [
        f"{row.id} ({row.state}): {finding}"
        for row in tasks
        for finding in _effect_findings(row, history, recorded[row.id])
    ]
    made = [one.task_id for one in history.ledger.effect_log if one.kind == "guarded"]
    made += [one.task_id for one in history.ledger.effects]
    without_row = Counter(one for one in made if one not in history.rows)
    wrong += [f"{one}: {count} effects, and no row" for one, count in without_row.items()]
    return answer("effects_once", wrong, f"{len(tasks)} effect tasks, each effect once")


def _effect_findings(row: TaskRow, history: History, recorded: list[int]) -> Iterator[str]:
    logged = history.logged.get(row.id, [])
    started = {one.fence for one in logged if one.kind == "started"}
    guarded = [one.fence for one in logged if one.kind == "guarded"]
    payload = as_json(row.payload)
    is_once = not isinstance(payload, dict) or payload.get("via", "once") == "once"
    least = int(row.state is State.SUCCEEDED)
    most = int(is_once or row.state is State.SUCCEEDED)
    if not least <= len(guarded) <= most:
        yield f"{len(guarded)} guarded effects, by claims {guarded}"
    elif not set(guarded) <= started:
        yield f"an effect of claim {guarded[0]}, which never started"
    elif guarded and not is_once and guarded[0] != row.fence:
        yield f"an effect of claim {guarded[0]}, completed by claim {row.fence}"
    elif recorded != (guarded if is_once else []):
        yield f"effects of claims {guarded}, recorded are {recorded}"
    elif least and canonical(as_json(row.result)) != canonical({"fence": guarded[0]}):
        yield f"an effect of claim {guarded[0]}, the result says {row.result}"


def check_started_once(history: History) -> Check:
    """No claim was started twice, and none that did not exist."""
    wrong = []
    for task_id, logged in history.logged.items():
        starts = Counter(one.fence for one in logged if one.kind == "started")
        fence = history.rows[task_id].fence if task_id in history.rows else 0
        wrong += [f"{task_id}: claim {one} started {n} times" for one, n in starts.items() if n > 1]
        wrong += [f"{task_id}: claim {one} of {fence} started" for one in starts if one > fence]
    starts_seen = sum(one.kind == "started" for one in history.ledger.effect_log)
    return answer("started_once", wrong, f"{starts_seen} starts, each of a claim of its own")


def check_dead_letters_agree(history: History) -> Check:
    """FAILED tasks, dead letters and messages of `tasks.dlq` are the same, each once.

    One that was replayed or purged keeps its dead letter, and has no message.
    """
    failed = {row.id for row in history.ledger.tasks if row.state is State.FAILED}
    listed = Counter(one.task_id for one in history.ledger.dead_letters)
    is_open = {one.task_id for one in history.ledger.dead_letters if one.is_open}
    queued = Counter(history.ledger.dlq_ids)
    wrong = [f"{one}: FAILED, not in the list" for one in sorted(failed - listed.keys())]
    wrong += [f"{one}: in the list, not FAILED" for one in sorted(listed.keys() - failed)]
    wrong += [f"{one}: {count} times in the list" for one, count in listed.items() if count > 1]
    wrong += [f"{one}: no message in tasks.dlq" for one in sorted(is_open - queued.keys())]
    wrong += [f"{one}: a message, no open dead letter" for one in sorted(queued.keys() - is_open)]
    wrong += [f"{one}: {count} messages in tasks.dlq" for one, count in queued.items() if count > 1]
    good = f"{len(failed)} FAILED tasks, {len(is_open)} open, as many messages"
    return answer("dead_letters_agree", wrong, good)


def check_nothing_left(history: History) -> Check:
    """At the end nothing is on its way: no outbox row, no lease, no message in `tasks`."""
    ledger = history.ledger
    wrong = [f"an outbox row of {len(one.task_ids)} for {one.queue}" for one in ledger.outbox]
    wrong += [f"a lease of {one.owner} on {len(one.task_ids)} tasks" for one in ledger.claims]
    if ledger.tasks_depth:
        wrong.append(f"{ledger.tasks_depth} messages in tasks")
    return answer("nothing_left", wrong, "outbox, leases and queue are empty")
