"""What must be true of each task of a run, as its row in the ledger has it."""

from __future__ import annotations

from typing import Any

import pandas as pd
from task_platform.domain.task import State

from task_lab.check.evidence import Evidence
from task_lab.check.parts import parts_of
from task_lab.check.submissions import TERMINAL_STATES
from task_lab.check.values import as_json, canonical
from task_lab.check.verdict import SHOWN, Check, failed, passed, some
from task_lab.spec import Part

# Only a claim leads to these.
_RAN = [State.SUCCEEDED.value, State.FAILED.value]
# The skew between two clocks is measured to within a round trip, which may be slow under load.
_CLOCK_TOLERANCE_S = 0.25


def check_all_terminal(evidence: Evidence) -> Check:
    """Every task reached a terminal state, with the times that belong to it."""
    tasks = evidence.tasks
    is_done = tasks["state"].isin(TERMINAL_STATES) & tasks["finished_at"].notna()
    states = {str(state): int(count) for state, count in tasks["state"].value_counts().items()}
    if not is_done.all():
        unfinished = tasks.loc[~is_done, "id"]
        detail = f"{len(unfinished)} tasks are not terminal: {some(unfinished)}"
        return failed("all_terminal", detail, expected="terminal", observed=states)
    return passed("all_terminal", f"all {len(tasks)} tasks are terminal", observed=states)


def check_results_right(evidence: Evidence) -> Check:
    """Every task ended as its part of the workload calls for, with exactly that result.

    So did those whose submission had no clear answer. A part that says no result (it cannot be
    foretold, as that of `cpu`) has its tasks looked at for their end alone.
    """
    parts = parts_of(evidence)
    by_name = {part.name: part for part in parts.dropna()}
    tasks = evidence.tasks.assign(part=[part and part.name for part in parts])
    sent = tasks.dropna(subset="part")  # the others are another check's finding
    groups = sent.groupby(["part", "state", "result"], dropna=False).size()
    # A result that is not there is none of JSON's values for the frame.
    wrong: list[dict[str, Any]] = [
        {str(column): None if pd.isna(value) else value for column, value in row.items()}
        for row in groups.reset_index(name="tasks").to_dict("records")
        if not _is_right(by_name[row["part"]], row["state"], row["result"])
    ]
    expected = {
        one.name: one.expect if one.ends == State.SUCCEEDED else one.ends
        for one in by_name.values()
    }
    if wrong:
        count = sum(int(one["tasks"]) for one in wrong)
        detail = f"{count} tasks did not end with their right result"
        return failed("results_right", detail, expected=expected, observed=wrong[:SHOWN])
    return passed("results_right", "every task has the right result", expected=expected)


def _is_right(part: Part, state: str, result: object) -> bool:
    if state != part.ends:
        return False
    if part.ends == State.SUCCEEDED and part.expect is None:
        return True
    found = as_json(result if isinstance(result, str) else None)
    return canonical(found) == canonical(part.expect)


def check_attempts_within_limit(evidence: Evidence) -> Check:
    """At most max_retries + 1 attempts, none without a claim; what ended has had one, and a start.

    Also a task that failed because its attempts were used up: a worker claimed it to find that out.
    """
    tasks = evidence.tasks
    ran = tasks["started_at"].notna() | tasks["state"].isin(_RAN)
    outside = tasks[
        (tasks["attempts"] > tasks["max_retries"] + 1)
        | (ran & ((tasks["attempts"] < 1) | (tasks["fence"] < 1) | tasks["started_at"].isna()))
        | (tasks["attempts"] > tasks["fence"])
    ]
    if len(outside):
        detail = f"{len(outside)} tasks have impossible attempts: {some(outside['id'])}"
        return failed("attempts_within_limit", detail, expected=0, observed=len(outside))
    return passed("attempts_within_limit", "attempts within limits, one at least for each task")


def check_times_in_order(evidence: Evidence) -> Check:
    """created ≤ started ≤ finished for every task, and none created before it was sent.

    The last by two clocks, whose difference was measured; they are allowed some more.
    """
    tasks = evidence.tasks
    sent_at = evidence.history.dropna(subset="task_id").set_index("task_id")["sent_at"]
    sent = tasks["id"].map(sent_at[~sent_at.index.duplicated()])
    backwards = tasks[
        (tasks["started_at"] < tasks["created_at"])
        | (tasks["finished_at"] < tasks["started_at"])
        | (tasks["finished_at"] < sent)
        | (tasks["created_at"] < sent + evidence.clock_skew_s - _CLOCK_TOLERANCE_S)
    ]
    if len(backwards):
        detail = f"{len(backwards)} tasks ran backwards in time: {some(backwards['id'])}"
        return failed("times_in_order", detail, expected=0, observed=len(backwards))
    return passed("times_in_order", "no task ran backwards in time")
