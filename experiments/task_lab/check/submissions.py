"""The client's history against the ledger: which submission became which task, and how many are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from task_platform.domain.transitions import TERMINAL

from task_lab.check.evidence import Evidence

TERMINAL_STATES = frozenset(state.value for state in TERMINAL)
# A server may still commit a submission whose client has given up waiting.
_LATE_COMMIT_S = 30.0


@dataclass(frozen=True)
class Submissions:
    """Every submission classed against the ledger; all but `accepted_ids` are counts.

    lost: accepted, but no row. recovered, absent: submissions without a clear answer that do, or
    do not, have a row. unexpected: rows nobody sent. duplicated: tasks claimed again although no
    attempt of theirs was charged as failed, so that they may have run twice.
    """

    accepted_ids: frozenset[str]
    accepted: int
    rejected: int
    lost: int
    recovered: int
    absent: int
    unexpected: int
    duplicated: int


def class_submissions(evidence: Evidence) -> Submissions:
    """Compare the client's history with the ledger.

    A submission without an answer has no id to look for. Rows that nobody knows and that were
    created within its phase are taken for it, as many as there are such submissions; the rest is
    unexpected.
    """
    history, tasks = evidence.history, evidence.tasks
    accepted = history[history["outcome"] == "accepted"]
    accepted_ids = frozenset(accepted["task_id"])
    strangers = tasks.loc[~tasks["id"].isin(accepted_ids), "created_at"]
    unknown = history[history["outcome"] == "unknown"]
    recovered = 0
    for _, of_phase in unknown.groupby("phase"):
        first = of_phase["sent_at"].min()
        last = of_phase["answered_at"].max() + _LATE_COMMIT_S
        of_window = strangers[strangers.between(first, last)].index[: len(of_phase)]
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
        duplicated=int((tasks["fence"] > tasks["attempts"].clip(lower=1)).sum()),
    )


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
    counts["prometheus"] = round(sum(one.counted for one in instances))
    if unseen := sum(one.first for one in instances):
        counts["notes"].append(f"{unseen:.0f} were counted before a worker's first scrape")
    if resets := sum(one.resets for one in instances):
        counts["notes"].append(
            f"{resets:.0f} times a counter fell: more than one process behind a target"
        )
    return counts
