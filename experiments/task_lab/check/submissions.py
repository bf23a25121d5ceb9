"""The client's history against the ledger: which submission became which task, and how many are."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd
from task_platform.domain.transitions import TERMINAL

from task_lab.check.claims import unexplained_claims
from task_lab.check.evidence import Evidence
from task_lab.check.raw_counters import gained
from task_lab.spec import Workload

TERMINAL_STATES = frozenset(state.value for state in TERMINAL)
# A server may still commit a submission whose client has given up waiting.
_LATE_COMMIT_S = 30.0


@dataclass(frozen=True)
class Submissions:
    """Every submission classed against the ledger; all but `accepted_ids` are counts.

    lost: accepted, but no row. recovered, absent: submissions without a clear answer that do, or
    do not, have a row. unexpected: rows nobody sent. duplicated: tasks claimed again for a
    reason that is not on record: given back, or run twice.
    """

    accepted_ids: frozenset[str]
    accepted: int
    rejected: int
    lost: int
    recovered: int
    absent: int
    unexpected: int
    duplicated: int


# Half of the checks ask, and of half a million tasks the answer takes seconds.
@lru_cache(maxsize=2)
def class_submissions(evidence: Evidence) -> Submissions:
    """Compare the client's history with the ledger.

    A submission without an answer is known by its key. Where it carried none, there is no id to
    look for: rows that nobody knows, of its type and created within its phase, are taken for it, as
    many as there are such submissions; the rest is unexpected.
    """
    history, tasks = evidence.history, evidence.tasks
    accepted = history[history["outcome"] == "accepted"]
    accepted_ids = frozenset(accepted["task_id"])
    strangers = tasks[~tasks["id"].isin(_known_ids(history))]
    unknown = history[history["outcome"] == "unknown"]
    recovered = int(unknown["task_id"].isin(set(tasks["id"])).sum())
    for workload, of_phase in _unanswered(evidence):
        of_window = _fitting(strangers, workload, of_phase).index[: len(of_phase)]
        recovered += len(of_window)
        strangers = strangers.drop(of_window)
    return Submissions(
        accepted_ids=accepted_ids,
        accepted=len(accepted),
        rejected=int((history["outcome"] == "rejected").sum()),
        lost=len(accepted_ids - set(tasks["id"])),
        recovered=recovered,
        absent=len(unknown) - recovered,
        unexpected=len(strangers),
        duplicated=int((unexplained_claims(evidence) > 0).sum()),
    )


def workloads_of(evidence: Evidence) -> pd.Series[Any]:
    """The workload of each task, None where nobody sent it, in the ledger's order.

    A task that only a submission without an answer explains has the workload of its phase; None
    also where it may be of several: they overlap in time, and are of one type.
    """
    history, tasks = evidence.history, evidence.tasks
    found = tasks["workload"].astype(object)
    strangers = tasks[~tasks["id"].isin(_known_ids(history))]
    may_be = defaultdict(set)
    for workload, of_phase in _unanswered(evidence):
        for index in _fitting(strangers, workload, of_phase).index:
            may_be[index].add(workload.name)
    for index, workloads in may_be.items():
        if len(workloads) == 1:
            found.loc[index] = workloads.pop()
    return found


def _known_ids(history: pd.DataFrame) -> frozenset[str]:
    """Tasks that one submission stands for: it was told so, or its key says it."""
    return frozenset(history.loc[history["outcome"] != "rejected", "task_id"].dropna())


def _unanswered(evidence: Evidence) -> list[tuple[Workload, pd.DataFrame]]:
    """For each phase with submissions whose task cannot be known its workload, and these.

    Keys leave nothing to guess.
    """
    if evidence.spec.keyed:
        return []
    workload_of = {one.name: evidence.spec.workload(one.workload) for one in evidence.phases()}
    unknown = evidence.history[evidence.history["outcome"] == "unknown"]
    return [(workload_of[str(phase)], of_phase) for phase, of_phase in unknown.groupby("phase")]


def _fitting(strangers: pd.DataFrame, workload: Workload, of_phase: pd.DataFrame) -> pd.DataFrame:
    """Those rows that submissions of one phase may have left: of their time and types."""
    first = of_phase["sent_at"].min()
    last = of_phase["answered_at"].max() + _LATE_COMMIT_S
    is_of_time = strangers["created_at"].between(first, last)
    is_of_type = strangers["task_type"].isin(workload.task_types)
    fitting: pd.DataFrame = strangers[is_of_time & is_of_type]
    return fitting


def three_counts(evidence: Evidence) -> dict[str, Any]:
    """Terminal tasks as the client, the ledger and Prometheus count them, and notes on the last.

    Prometheus: for each instance, last raw value minus first; None where it was not read.
    """
    submissions = class_submissions(evidence)
    terminal = evidence.tasks["state"].isin(TERMINAL_STATES)
    counts: dict[str, Any] = {
        "client": submissions.accepted + submissions.recovered,
        "ledger": int(terminal.sum()),
        "prometheus": None,
        "notes": [],
    }
    if evidence.prometheus is None:
        counts["notes"].append("Prometheus has no answer for the workers' counters")
        return counts
    instances = [one for counter in evidence.prometheus.values() for one in counter.values()]
    resets = sum(one.resets for one in instances)
    counts["prometheus"] = round(sum(one.counted for one in instances))
    if resets and evidence.raw is not None:
        of_each = [samples for counter in evidence.raw.values() for samples in counter.values()]
        counts["prometheus"] = round(sum(map(gained, of_each)))
    if unseen := sum(one.first for one in instances):
        counts["notes"].append(f"{unseen:.0f} were counted before a worker's first scrape")
    if resets:
        counts["notes"].append(
            f"{resets:.0f} times a counter fell: a process that began anew, or several in one place"
        )
    return counts
