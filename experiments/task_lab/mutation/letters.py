"""Sabotages of the dead letters: the list in the database, and the messages in `tasks.dlq`."""

from __future__ import annotations

import time

import pandas as pd

from task_lab.mutation.copies import Copy, Unfit
from task_lab.mutation.sabotage import FAIL, RETRIES, Sabotage


def hide_one_in_the_queue(copy: Copy) -> None:
    """An accepted task has no row any more; its message lies among the dead letters."""
    one = copy.victim()["id"]
    copy.drop_tasks([one])
    copy.set_messages(lambda ids: [*ids, one])


def bury_one_that_succeeded(copy: Copy) -> None:
    """`tasks.dlq` holds a message of a task that succeeded."""
    one = copy.victim()["id"]
    copy.set_messages(lambda ids: [*ids, one])


def list_one_that_succeeded(copy: Copy) -> None:
    """A task that succeeded is listed as a dead letter."""
    one, now = copy.victim()["id"], time.time()
    letter = {"task_id": one, "reason": "Error", "failed_at": now, "resolved_at": float("nan")}

    def add(letters: pd.DataFrame) -> pd.DataFrame:
        added = pd.DataFrame([letter]).reindex(columns=letters.columns).astype(object)
        return pd.concat([letters.astype(object), added]).astype({"resolved_at": "float64"})

    copy.edit_table("dead_letters.parquet", add)


def lose_a_message(copy: Copy) -> None:
    """A dead task is on the list, and its message is not in `tasks.dlq`."""
    one = _dead(copy)
    copy.set_messages(lambda ids: [task_id for task_id in ids if task_id != one])


def send_a_message_twice(copy: Copy) -> None:
    """`tasks.dlq` holds a dead task twice."""
    one = _dead(copy)
    copy.set_messages(lambda ids: [*ids, one])


def lose_a_dead_letter(copy: Copy) -> None:
    """A dead task has its message, and is not on the list."""
    one = _dead(copy)
    copy.edit_table("dead_letters.parquet", lambda rows: rows[rows["task_id"] != one])
    copy.edit_witness("dead_letters", lambda _: None, of=one)


def resolve_a_dead_letter_in_silence(copy: Copy) -> None:
    """A dead letter counts as purged, and its message is still there."""
    one, now = _dead(copy), time.time()

    def resolve(letters: pd.DataFrame) -> pd.DataFrame:
        letters.loc[letters["task_id"] == one, "resolved_at"] = now
        return letters

    copy.edit_table("dead_letters.parquet", resolve)
    copy.edit_witness("dead_letters", lambda row: {**row, "is_open": False}, of=one)


def forget_a_dead_task_everywhere(copy: Copy) -> None:
    """A hopeless task vanished: no row, no dead letter, no message."""
    one = _dead(copy)
    copy.drop_tasks([one])
    copy.set_messages(lambda ids: [task_id for task_id in ids if task_id != one])


def _dead(copy: Copy) -> str:
    ids = copy.folder.read_json("dlq.json")["message_ids"]
    if not ids:
        raise Unfit
    return str(sorted(ids)[len(ids) // 2])


LETTERS = (
    Sabotage(hide_one_in_the_queue, FAIL, "none_lost"),
    Sabotage(bury_one_that_succeeded, FAIL, "dlq_is_failed"),
    Sabotage(list_one_that_succeeded, FAIL, "dlq_is_failed"),
    Sabotage(lose_a_message, FAIL, "dlq_is_failed", (RETRIES,)),
    Sabotage(send_a_message_twice, FAIL, "dlq_is_failed", (RETRIES,)),
    Sabotage(lose_a_dead_letter, FAIL, "dlq_is_failed", (RETRIES,)),
    Sabotage(resolve_a_dead_letter_in_silence, FAIL, "dlq_is_failed", (RETRIES,)),
    Sabotage(forget_a_dead_task_everywhere, FAIL, "none_lost", (RETRIES,)),
)
