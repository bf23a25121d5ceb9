"""Claims beyond a task's first, and what the platform's records say of the reasons.

On record, task by task, are attempts that failed and workers that were lost (`attempt_failures`).
Claims given back unrun leave no such row: of them only the number is known, as the workers count.
"""

from __future__ import annotations

import pandas as pd

from task_lab.check.evidence import Evidence
from task_lab.check.verdict import Check, Verdict, failed, passed, some


def unexplained_claims(evidence: Evidence) -> pd.Series[int]:
    """For each task, how many claims before its last one are not on record, in the ledger's order.

    A run that kept no `attempt_failures` has all charged ones taken for recorded.
    """
    return (evidence.tasks["fence"].clip(lower=1) - 1 - _recorded(evidence)).clip(lower=0)


def check_claimed_once(evidence: Evidence) -> Check:
    """No task was claimed more than once without a reason on record, so that none was run twice.

    No more claims may be without one than the workers gave back; which task was given back, nobody
    wrote down. An attempt that stayed charged was not given back.
    """
    tasks, unexplained = evidence.tasks, unexplained_claims(evidence)
    again = int((tasks["fence"] > 1).sum())
    charged = tasks.loc[tasks["attempts"] - 1 > _recorded(evidence), "id"]
    if len(charged):
        detail = f"{len(charged)} tasks were charged for runs that are not on record"
        return failed("claimed_once", f"{detail}: {some(charged)}", expected=0, observed=again)
    total, given_back = int(unexplained.sum()), _given_back(evidence)
    observed = {"claimed_again": again, "not_on_record": total, "given_back": given_back}
    if evidence.failures is None and again:
        detail = f"{again} tasks were claimed again, and the run kept no record of reasons"
        return Check("claimed_once", Verdict.UNKNOWN, detail, observed=observed)
    if total and given_back is None:
        detail = f"{total} claims are not on record, and Prometheus does not say how many came back"
        return Check("claimed_once", Verdict.UNKNOWN, detail, observed=observed)
    if total > (given_back or 0):
        names = some(tasks.loc[unexplained > 0, "id"])
        detail = f"{total} claims without a reason on record, {given_back} were given back: {names}"
        return failed("claimed_once", detail, expected=given_back, observed=observed)
    detail = f"{again} tasks claimed more than once, each with a reason on record or given back"
    return passed("claimed_once", detail, observed=observed)


def _recorded(evidence: Evidence) -> pd.Series[int]:
    """For each task, its claims before the last one that `attempt_failures` tells of."""
    tasks = evidence.tasks
    if evidence.failures is None:
        return tasks["attempts"].clip(lower=1) - 1
    last = tasks.drop_duplicates("id").set_index("id")["fence"]
    earlier = evidence.failures[evidence.failures["fence"] < evidence.failures["task_id"].map(last)]
    counts = earlier.groupby("task_id").size()
    return tasks["id"].map(counts).fillna(0).astype("int64")


def _given_back(evidence: Evidence) -> int | None:
    """Claims that the workers gave back; None where their count is not whole.

    The last values, not the differences: what came before the first scrape counts as well.
    """
    counts = evidence.given_back
    is_whole = any(event.get("scraped") for event in evidence.events)
    if counts is None or not is_whole or any(one.resets for one in counts.values()):
        return None
    return round(sum(one.last for one in counts.values()))
