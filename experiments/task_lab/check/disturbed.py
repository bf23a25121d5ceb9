"""What holds of a run that was disturbed on purpose, where the rules of a quiet one do not.

A killed worker takes with it what it counted since its last scrape; one that lost its claims has
them taken up again. Both are allowed, and both must be explained to the last task.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from task_platform.domain.task import State

from task_lab.check.evidence import Evidence
from task_lab.check.executions import endings_of
from task_lab.check.raw_counters import last_seen_at
from task_lab.check.submissions import three_counts
from task_lab.check.verdict import Check, Verdict, failed, passed, some
from task_lab.faults.planned import Planned, read_plan
from task_lab.faults.proof import check_faults_bit as judge_proofs
from task_lab.spec import FaultsSpec

# Between two samples as they are kept; the sample itself may be older by as much.
_SAMPLE_S = 0.25
# An answer that a dying database or link swallowed belongs to a commit of about that time before.
_UNHEARD_S = 1.0


def check_faults_bit(evidence: Evidence) -> Check:
    """Every fault that the run was asked for was planned, struck, bit and was healed."""
    judged = judge_proofs(evidence.events)
    asked, noted = _asked_faults(evidence), _noted_faults(evidence)
    if judged.verdict is Verdict.PASS and asked != noted:
        told = "the plan that was noted is not what the run was asked for"
        return Check("faults_bit", Verdict.UNKNOWN, told, dict(asked), dict(noted))
    return judged


def _asked_faults(evidence: Evidence) -> Counter[str]:
    """How many of each kind and target the run's own parameters call for."""
    spec = evidence.spec
    assert isinstance(spec, FaultsSpec)
    loads = [phase.duration_s for phase in evidence.phases() if phase.kind == "load"]
    strikes = [one for s in loads for one in read_plan(spec.faults).strikes(s or 0.0)]
    return Counter(f"{one.kind} {one.target}" for one in strikes)


def _noted_faults(evidence: Evidence) -> Counter[str]:
    plans = [one["faults"] for one in evidence.events if _is(one, "fault_planned")]
    return Counter(f"{one['kind']} {one['target']}" for plan in plans for one in plan)


def check_counts_explained(evidence: Evidence) -> Check:
    """The client and the ledger counted the same; Prometheus lacks no more than faults took.

    What a killed worker counted after its last scrape nobody has seen: at most what all workers
    finished from then to its death, as the ledger does not tell who finished what. Outcomes whose
    commit was cut off before its answer came are counted by nobody: at most what was finished in
    the second before the database went away.
    """
    name = "counts_agree"
    counts = three_counts(evidence)
    client, ledger, prometheus = counts["client"], counts["ledger"], counts["prometheus"]
    if prometheus is None:
        return Check(name, Verdict.UNKNOWN, "; ".join(counts["notes"]), observed=counts)
    if not any(event.get("scraped") for event in evidence.events):
        detail = "Prometheus did not scrape every worker once more after the last task"
        return Check(name, Verdict.UNKNOWN, detail, observed=counts)
    unseen = dict(unseen_by_prometheus(evidence))
    bound, missing = sum(unseen.values()), ledger - prometheus
    observed = {**counts, "missing": missing, "at_most": bound, "may_be_missing": unseen}
    told = f"client {client}, ledger {ledger}, Prometheus {prometheus}"
    if client != ledger or not 0 <= missing <= bound:
        detail = f"{told}: faults explain from 0 to {bound} missing from Prometheus, not {missing}"
        return failed(name, detail, expected=ledger, observed=observed)
    if not missing:
        return passed(name, f"{ledger} terminal tasks by all three counts", observed=observed)
    detail = f"{told}: of the {missing} that Prometheus lacks, faults may have taken up to {bound}"
    return passed(name, f"{detail} ({'; '.join(unseen)})", observed=observed)


def unseen_by_prometheus(evidence: Evidence) -> Iterator[tuple[str, int]]:
    """What each fault may have kept from Prometheus, in words, and at most how many tasks."""
    finished_at = np.sort(evidence.tasks["finished_at"].dropna().to_numpy(dtype=np.float64))
    started = {one["number"]: one["at"] for one in evidence.events if _is(one, "fault_started")}
    for fault in evidence.events:
        if not _is(fault, "fault_injected"):
            continue
        if fault["kind"] == Planned.KILL and fault["target"].startswith("worker"):
            seen_at = _seen_at(evidence, fault) - _SAMPLE_S
            what = "finished between its last scrape and its death"
        elif fault["target"] == "database":
            seen_at = started[fault["number"]] - _UNHEARD_S
            what = "committed as the database went away"
        else:
            continue
        span = np.searchsorted(finished_at, [seen_at, fault["at"]])
        # The worker's own share is not known: the ledger does not tell who finished a task.
        yield f"{fault['kind']} of {fault['target']}: {what}", int(span[1] - span[0])


def check_claims_witnessed(evidence: Evidence) -> Check:
    """Each claim after a task's first follows a return to the queue that the witness saw.

    observed: returns by what is on record of them; those without a record were given back.
    """
    name = "claimed_once"
    if evidence.witness is None:
        return Check(name, Verdict.UNKNOWN, "the run kept no witness of its tasks' lives")
    returns = Counter(
        step.task_id
        for step in evidence.witness.transitions
        if (step.before, step.after) == (State.PROCESSING, State.QUEUED)
    )
    wrong = [row.id for row in evidence.witness.tasks if row.fence > 1 + returns.get(row.id, 0)]
    again = sum(row.fence > 1 for row in evidence.witness.tasks)
    recorded = Counter(one.outcome for one in evidence.witness.failures if one.outcome != "dead")
    observed = {"claimed_again": again, "returns": returns.total(), **recorded}
    if wrong:
        detail = f"{len(wrong)} tasks were claimed without having come back: {some(wrong)}"
        return failed(name, detail, expected=0, observed=observed)
    detail = f"{again} tasks claimed more than once, each after a return that was seen"
    return passed(name, detail, observed=observed)


def check_run_twice(evidence: Evidence) -> Check:
    """Tasks whose handler ran twice, although no attempt of theirs had failed.

    The platform runs a task at least once, so that these are no failure, unless the experiment says
    so: `run_twice` is its policy. Their effects are another check's matter.
    """
    name = "run_twice"
    if evidence.witness is None:
        return Check(name, Verdict.UNKNOWN, "the run kept no witness of its tasks' lives")
    assert isinstance(evidence.spec, FaultsSpec)
    twice = sorted({one.task_id for one in endings_of(evidence.witness) if one.how == "run_twice"})
    if twice and evidence.spec.run_twice == "forbidden":
        detail = f"{len(twice)} tasks were run twice: {some(twice)}"
        return failed(name, detail, expected=0, observed=len(twice))
    detail = f"{len(twice)} tasks were run twice, which is {evidence.spec.run_twice}"
    return passed(name, detail, observed=len(twice))


def _seen_at(evidence: Evidence, fault: Mapping[str, Any]) -> float:
    """When the counters of a killed worker were last seen."""
    series = (counter.get(fault["process"], ()) for counter in (evidence.raw or {}).values())
    return max((last_seen_at(samples, fault["at"]) for samples in series), default=-1e300)


def _is(event: Mapping[str, Any], name: str) -> bool:
    return bool(event["event"] == name)
