"""Sabotages of tasks' lives: failed attempts, retries, effects, what the witness saw of them."""

from __future__ import annotations

import pandas as pd

from task_lab.mutation.copies import WITNESS, Copy, Record, Unfit
from task_lab.mutation.sabotage import FAIL, FAULTS, RETRIES, UNKNOWN, WITNESSED, Sabotage

_FAILURES = "attempt_failures.parquet"


def count_a_retry_as_success(copy: Copy) -> None:
    """A flaky task's failed attempts left no trace: it seems to have succeeded at once."""
    one = copy.victim(lambda part: part.ends == "SUCCEEDED" and part.attempts > 1)["id"]
    copy.set_task(one, attempts=1, fence=1)
    copy.edit_table(_FAILURES, lambda rows: rows[rows["task_id"] != one])
    copy.edit_witness("failures", lambda _: None, of=one)


def forget_a_failed_attempt(copy: Copy) -> None:
    """A retry happened, and the attempt before it is not on record."""
    one = copy.victim(lambda part: part.attempts > 1)["id"]

    def forget(rows: pd.DataFrame) -> pd.DataFrame:
        kept: pd.DataFrame = rows.drop(rows[rows["task_id"] == one].index[:1])
        return kept

    copy.edit_table(_FAILURES, forget)


def let_a_poison_task_succeed(copy: Copy) -> None:
    """A task that must fail succeeded, and no dead letter tells of it."""
    one = copy.victim(lambda part: part.ends == "FAILED")["id"]
    copy.set_task(one, state="SUCCEEDED", result="{}")
    copy.edit_table("dead_letters.parquet", lambda rows: rows[rows["task_id"] != one])
    copy.edit_witness("dead_letters", lambda _: None, of=one)
    copy.set_messages(lambda ids: [task_id for task_id in ids if task_id != one])
    copy.count_more(1)
    copy.count_more(-1, counter="failed")


def bury_one_too_soon(copy: Copy) -> None:
    """A task was dead-lettered before all its retries were used."""
    one = copy.victim(lambda part: part.ends == "FAILED" and part.attempts > 1)
    copy.set_task(one["id"], attempts=one["attempts"] - 1)


def retry_without_waiting(copy: Copy) -> None:
    """A retry was due at once instead of after its back-off."""
    document = copy.witness()
    for step in document["transitions"]:
        if (step["before"], step["after"]) == ("PROCESSING", "QUEUED"):
            step["due_in_s"] = 0.0
            copy.folder.write_json(WITNESS, document)
            return
    raise Unfit


def begin_a_retry_early(copy: Copy) -> None:
    """A retry began before it was due."""
    document = copy.witness()
    for step in document["transitions"]:
        if step["after"] == "PROCESSING" and step["fence"] > 1 and step["due_in_s"] is not None:
            step["due_in_s"] = 0.1
            copy.folder.write_json(WITNESS, document)
            return
    raise Unfit


def finish_one_twice(copy: Copy) -> None:
    """Two workers finished the same task, one after the other."""
    one = copy.victim()["id"]
    document = copy.witness()
    steps = document["transitions"]
    last = max(at for at, step in enumerate(steps) if step["task_id"] == one)
    steps.insert(last + 1, {**steps[last], "before": "SUCCEEDED"})
    copy.folder.write_json(WITNESS, document)


def blind_the_witness(copy: Copy) -> None:
    """The witness saw nothing of a task."""
    one = copy.victim()["id"]
    copy.witness()
    copy.edit_witness("transitions", lambda _: None, of=one)


def finish_one_without_a_claim(copy: Copy) -> None:
    """A task was finished with a fence that nobody was seen to take."""
    one = copy.victim()["id"]

    def miss(step: Record) -> Record | None:
        return None if step["after"] == "PROCESSING" else step

    copy.witness()
    copy.edit_witness("transitions", miss, of=one)


def lose_the_witness(copy: Copy) -> None:
    """Nobody wrote down how the tasks' states changed."""
    copy.path(WITNESS).unlink()


def make_an_effect_twice(copy: Copy) -> None:
    """A task's guarded effect was made by two of its runs."""
    one = copy.victim()
    document = copy.witness()
    mine = [entry for entry in document["effect_log"] if entry["task_id"] == one["id"]]
    if not mine:
        raise Unfit
    guarded = {**mine[-1], "kind": "guarded", "fence": one["fence"] + 1}
    document["effect_log"].append(guarded)
    copy.folder.write_json(WITNESS, document)


def lose_an_effect(copy: Copy) -> None:
    """A task succeeded, and its effect was never made."""
    one = copy.victim()["id"]
    copy.witness()
    copy.edit_witness("effects", lambda _: None, of=one)
    copy.edit_witness("effect_log", lambda row: None if row["kind"] == "guarded" else row, of=one)


def lose_a_key(copy: Copy) -> None:
    """A submission's idempotency key is not kept, so that sending it again makes another task."""
    one = copy.victim()["id"]
    document = copy.witness()
    document["keys"] = {key: ids for key, ids in document["keys"].items() if one not in ids}
    copy.folder.write_json(WITNESS, document)


def leave_a_message_behind(copy: Copy) -> None:
    """A message is left in the queue of tasks."""
    document = copy.witness()
    copy.folder.write_json(WITNESS, {**document, "tasks_depth": 1})


def let_the_records_disagree(copy: Copy) -> None:
    """The table of tasks and the witness do not tell the same of a task."""
    document = copy.witness()
    row = document["tasks"][len(document["tasks"]) // 2]
    tasks = copy.tasks()
    tasks.loc[tasks["id"] == row["id"], "fence"] += 1
    copy.write_tasks(tasks)


LIVES = (
    Sabotage(count_a_retry_as_success, FAIL, "foretold", (RETRIES,)),
    Sabotage(forget_a_failed_attempt, FAIL, "foretold", (RETRIES,)),
    Sabotage(let_a_poison_task_succeed, FAIL, "foretold", (RETRIES,)),
    Sabotage(bury_one_too_soon, FAIL, "foretold", (RETRIES,)),
    Sabotage(retry_without_waiting, FAIL, "backoff", (RETRIES,)),
    Sabotage(begin_a_retry_early, FAIL, "backoff", (RETRIES,)),
    Sabotage(finish_one_twice, FAIL, "history", WITNESSED),
    Sabotage(blind_the_witness, UNKNOWN, "history", WITNESSED),
    Sabotage(finish_one_without_a_claim, FAIL, "history", WITNESSED),
    Sabotage(lose_the_witness, UNKNOWN, "history", WITNESSED),
    Sabotage(make_an_effect_twice, FAIL, "history", (FAULTS,)),
    Sabotage(lose_an_effect, FAIL, "history", (FAULTS,)),
    Sabotage(lose_a_key, FAIL, "history", WITNESSED),
    Sabotage(leave_a_message_behind, FAIL, "history", WITNESSED),
    Sabotage(let_the_records_disagree, FAIL, "records_agree", WITNESSED),
)
