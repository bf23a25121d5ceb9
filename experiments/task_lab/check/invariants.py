"""What must be true of every run, each as one pure function over the evidence.

A check says PASS only for what it saw. Together they are: every accepted task terminal exactly
once, none lost, none unexpected, the result right, attempts within limits, none claimed twice
without a reason on record, the dead letter queue equal to the failed tasks, and three counts that
agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import pandas as pd
from task_platform.domain.task import State

from task_lab.check.claims import check_claimed_once
from task_lab.check.evidence import Evidence
from task_lab.check.generator import check_generator_not_the_limit
from task_lab.check.invariants_tasks import (
    check_all_terminal,
    check_attempts_within_limit,
    check_results_right,
    check_times_in_order,
)
from task_lab.check.submissions import class_submissions, three_counts
from task_lab.check.verdict import SHOWN, Check, Verdict, failed, passed, some
from task_lab.spec import SaturationSpec


def check_phases_complete(evidence: Evidence) -> Check:
    """Every planned phase ran, offered all its tasks, and its queue drained in time.

    A phase that nobody planned has no figures, and its tasks were in the way of those that have.
    """
    planned = {phase.name: phase.tasks for phase in evidence.phases()}
    ended = {event["phase"]: event for event in evidence.events if event["event"] == "phase_ended"}
    missing = [*(name for name in planned if name not in ended), *_unclimbed(evidence)]
    stuck = [name for name, event in ended.items() if not event["drained"]]
    sent = Counter(evidence.history["phase"])
    short = [name for name in planned if name in ended and sent[name] < planned[name]]
    unplanned = [name for name in sent if name not in planned]
    observed = {
        "missing": missing,
        "not_drained": stuck,
        "not_all_sent": short,
        "not_planned": unplanned,
    }
    if stuck:
        return failed("phases_complete", f"{some(stuck)} did not drain in time", observed=observed)
    if missing or short or unplanned:
        told = [f"not run in full: {some([*missing, *short])}"] * bool(missing or short)
        told += [f"sent, and never planned: {some(unplanned)}"] * bool(unplanned)
        detail = "; ".join(told)
        return Check("phases_complete", Verdict.UNKNOWN, detail, list(planned), observed)
    return passed("phases_complete", f"all {len(planned)} phases ran and drained")


def _unclimbed(evidence: Evidence) -> list[str]:
    """Ladders that lack a step in the plan: what they were to be is known from the run's start."""
    spec = evidence.spec
    if not isinstance(spec, SaturationSpec):
        return []
    steps = Counter((p.workload, p.workers) for p in evidence.phases() if p.kind == "step")
    return [
        f"the ladder of {workload.name} with {workers} workers"
        for workload, workers in spec.points()
        if steps[workload.name, workers] < len(spec.fractions)
    ]


def check_submissions_answered(evidence: Evidence) -> Check:
    """No submission of this valid load was refused."""
    submissions = class_submissions(evidence)
    if submissions.accepted == 0:
        return Check("submissions_answered", Verdict.UNKNOWN, "nothing was accepted")
    if submissions.rejected:
        rejected = evidence.history[evidence.history["outcome"] == "rejected"]
        statuses = Counter(str(status) for status in rejected["status"])
        detail = f"{submissions.rejected} valid submissions were refused"
        return failed("submissions_answered", detail, expected=0, observed=dict(statuses))
    detail = (
        f"{submissions.accepted} accepted; without a clear answer:"
        f" {submissions.recovered} recovered, {submissions.absent} absent"
    )
    return passed("submissions_answered", detail)


def check_none_lost(evidence: Evidence) -> Check:
    """Every accepted task has its row."""
    accepted = class_submissions(evidence).accepted_ids
    lost = sorted(accepted - set(evidence.tasks["id"]))
    if lost:
        detail = f"{len(lost)} accepted tasks have no row: {some(lost)}"
        return failed("none_lost", detail, expected=0, observed=len(lost))
    return passed("none_lost", f"all {len(accepted)} accepted tasks have a row")


def check_none_unexpected(evidence: Evidence) -> Check:
    """Every row was sent by this run."""
    unexpected = class_submissions(evidence).unexpected
    if unexpected:
        detail = f"{unexpected} tasks in the ledger were never sent by this run"
        return failed("none_unexpected", detail, expected=0, observed=unexpected)
    return passed("none_unexpected", "every task in the ledger was sent by this run")


def check_accepted_once(evidence: Evidence) -> Check:
    """No two submissions were answered with the same task, and no task has two rows."""
    accepted = evidence.history.loc[evidence.history["outcome"] == "accepted", "task_id"]
    doubles = sorted({*accepted[accepted.duplicated()], *_doubles(evidence.tasks["id"])})
    if doubles:
        detail = f"{len(doubles)} tasks stand for more than one submission: {some(doubles)}"
        return failed("accepted_once", detail, expected=0, observed=len(doubles))
    return passed("accepted_once", f"{len(accepted)} submissions, as many different tasks")


def check_dlq_is_failed(evidence: Evidence) -> Check:
    """`tasks.dlq` holds each FAILED task that was neither replayed nor purged, once."""
    dead = set(evidence.tasks.loc[evidence.tasks["state"] == State.FAILED, "id"])
    resolved = evidence.dead_letters["resolved_at"].notna()
    listed = set(evidence.dead_letters.loc[~resolved, "task_id"])
    open_failures = dead - set(evidence.dead_letters.loc[resolved, "task_id"])
    queued = Counter(evidence.dlq_ids)
    observed = {
        "failed": len(open_failures),
        "dead_letters": len(listed),
        "messages": queued.total(),
    }
    if listed != open_failures or queued != Counter(open_failures):
        detail = "failed tasks, dead letters and messages in tasks.dlq are not the same set"
        shown = sorted(open_failures)[:SHOWN]
        return failed("dlq_is_failed", detail, expected=shown, observed=observed)
    return passed("dlq_is_failed", f"{queued.total()} messages, {len(dead)} failed tasks")


def check_counts_agree(evidence: Evidence) -> Check:
    """The client, the ledger and Prometheus counted the same number of terminal tasks.

    What an instance counted before its first scrape is known and explains a difference as large.
    """
    counts = three_counts(evidence)
    client, ledger, prometheus = counts["client"], counts["ledger"], counts["prometheus"]
    notes = "; ".join(counts["notes"])
    if evidence.prometheus is None:
        return Check("counts_agree", Verdict.UNKNOWN, notes, observed=counts)
    instances = [one for counter in evidence.prometheus.values() for one in counter.values()]
    if any(one.resets for one in instances):
        return Check("counts_agree", Verdict.UNKNOWN, notes, observed=counts)
    if not any(event.get("scraped") for event in evidence.events):
        detail = "Prometheus did not scrape every worker once more after the last task"
        return Check("counts_agree", Verdict.UNKNOWN, detail, observed=counts)
    unseen = round(sum(one.first for one in instances))
    if client != ledger or ledger not in {prometheus, prometheus + unseen}:
        detail = f"client {client}, ledger {ledger}, Prometheus {prometheus}"
        return failed("counts_agree", "; ".join(filter(None, [detail, notes])), observed=counts)
    detail = "; ".join(filter(None, [f"{ledger} terminal tasks by all three counts", notes]))
    return passed("counts_agree", detail, observed=counts)


CheckOf = Callable[[Evidence], Check]

CHECKS: Sequence[CheckOf] = (
    check_phases_complete,
    check_submissions_answered,
    check_none_lost,
    check_none_unexpected,
    check_accepted_once,
    check_all_terminal,
    check_results_right,
    check_attempts_within_limit,
    check_claimed_once,
    check_times_in_order,
    check_dlq_is_failed,
    check_counts_agree,
    check_generator_not_the_limit,
)


def _doubles(ids: pd.Series[str]) -> list[str]:
    return list(ids[ids.duplicated()])
