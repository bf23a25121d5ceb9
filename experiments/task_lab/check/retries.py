"""Retries and dead letters: each task's life as foretold, every total by three counts, every wait.

In a run that nothing disturbs these numbers have no spread: one retry more or less is a defect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd
from task_platform.domain.task import State

from task_lab.check.backoff import band_s, policy_of, witnessed_retries
from task_lab.check.evidence import Evidence, InstanceCount
from task_lab.check.foretold import RETRIED, deviations, foretold_parts, retries_of
from task_lab.check.verdict import SHOWN, Check, Verdict, failed, passed, some

# The database keeps due times in whole microseconds, and a wait is the difference of two.
_ROUNDING_S = 5e-6


def check_foretold(evidence: Evidence) -> Check:
    """Every task's end, attempts, fence, failed attempts and dead letter are what the seed says."""
    name = "foretold"
    parts = foretold_parts(evidence)
    if not parts:
        return Check(name, Verdict.UNKNOWN, "no submission is known to have become a task")
    if evidence.failures is None:
        return Check(name, Verdict.UNKNOWN, "the run kept no record of failed attempts")
    found = deviations(evidence)
    expected = dict(Counter(part.name for part in parts.values()))
    if found:
        wrong = len({one.task_id for one in found})
        observed = dict(Counter(one.what for one in found))
        detail = f"{wrong} of {len(parts)} tasks are not as foretold: {_told(found)}"
        return failed(name, detail, expected=expected, observed=observed)
    return passed(name, f"{len(parts)} tasks, one by one, as the seed foretold", expected=expected)


def check_retries_counted(evidence: Evidence) -> Check:
    """As many retries as foretold, in the ledger and in the workers' own counters."""
    foretold = sum(map(retries_of, foretold_parts(evidence).values()))
    if evidence.failures is None:
        return Check("retries_counted", Verdict.UNKNOWN, "no failed attempts were kept")
    ledger = int((evidence.failures["outcome"] == RETRIED).sum())
    return _counted(evidence, "retries_counted", foretold, {"ledger": ledger}, evidence.retried)


def check_dead_letters_counted(evidence: Evidence) -> Check:
    """As many dead letters as foretold: tasks, list, messages, and the workers' own counters."""
    parts = foretold_parts(evidence).values()
    counts = {
        "ledger": int((evidence.tasks["state"] == State.FAILED).sum()),
        "dead_letters": int(evidence.dead_letters["resolved_at"].isna().sum()),
        "messages": len(evidence.dlq_ids),
    }
    foretold = sum(part.ends == State.FAILED for part in parts)
    counters = (evidence.prometheus or {}).get("failed")
    return _counted(evidence, "dead_letters_counted", foretold, counts, counters)


def check_backoff(evidence: Evidence) -> Check:
    """Every wait before a retry is within its bounds, and no retry was claimed before it was due.

    Exact: the witness noted due times as they were set, by the database's own clock.
    """
    name, retries = "backoff", witnessed_retries(evidence)
    if retries is None:
        return Check(name, Verdict.UNKNOWN, "nobody noted when the retries were due")
    assert evidence.failures is not None
    recorded = int((evidence.failures["outcome"] == RETRIED).sum())
    policy = policy_of(evidence.spec.variables())
    bands = {int(number): band_s(policy, int(number)) for number in retries["attempt"].unique()}
    low, high = (retries["attempt"].map({n: b[end] for n, b in bands.items()}) for end in (0, 1))
    outside = retries[~retries["wait_s"].between(low - _ROUNDING_S, high + _ROUNDING_S)]
    early = retries[retries["late_s"] < -_ROUNDING_S]
    observed = {"outside": len(outside), "early": len(early), "witnessed": len(retries)}
    if len(retries) != recorded:
        detail = f"{recorded} retries are on record, and the witness saw {len(retries)}"
        return failed(name, detail, expected=recorded, observed=observed)
    if len(outside) or len(early):
        told = [*_waits(outside, bands), *(f"{one} began early" for one in early["task_id"])]
        return failed(name, some(told), expected={"outside": 0, "early": 0}, observed=observed)
    detail = f"{recorded} waits within their bounds, none cut short"
    return passed(name, detail, expected=_bounds(bands), observed=observed)


RETRIES_CHECKS = (
    check_foretold,
    check_retries_counted,
    check_dead_letters_counted,
    check_backoff,
)


def _counted(
    evidence: Evidence,
    name: str,
    foretold: int,
    counts: Mapping[str, int],
    counters: Mapping[str, InstanceCount] | None,
) -> Check:
    """A total by all that counted it. Prometheus: raw values, last less first, of each instance.

    What an instance counted before its first scrape is known, and explains a difference as large.
    """
    if counters is None:
        detail = f"foretold {foretold}; Prometheus has no answer for the workers' counters"
        return Check(name, Verdict.UNKNOWN, detail, foretold, dict(counts))
    instances = counters.values()
    prometheus = round(sum(one.counted for one in instances))
    unseen = round(sum(one.first for one in instances))
    observed = {**counts, "prometheus": prometheus, "before_first_scrape": unseen}
    told = ", ".join(f"{which} {count}" for which, count in observed.items())
    if any(count != foretold for count in counts.values()):
        return failed(name, f"foretold {foretold}: {told}", expected=foretold, observed=observed)
    if any(one.resets for one in instances) or not any(e.get("scraped") for e in evidence.events):
        detail = f"{told}: a counter fell, or was not read once more after the last task"
        return Check(name, Verdict.UNKNOWN, detail, foretold, observed)
    if prometheus not in {foretold, foretold - unseen}:
        return failed(name, f"foretold {foretold}: {told}", expected=foretold, observed=observed)
    why = f"; {unseen} came before a worker's first scrape" if prometheus != foretold else ""
    return passed(name, f"{foretold} by all counts{why}", expected=foretold, observed=observed)


def _told(found: Sequence[object]) -> str:
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(map(str, found[:SHOWN])) + more


def _waits(outside: pd.DataFrame, bands: Mapping[int, tuple[float, float]]) -> list[str]:
    told = []
    for task_id, attempt, wait_s in outside[["task_id", "attempt", "wait_s"]].to_numpy():
        low, high = bands[attempt]
        told.append(
            f"{task_id} waited {wait_s:.6f} s after attempt {attempt}, not {low:g} to {high:g} s"
        )
    return told


def _bounds(bands: Mapping[int, tuple[float, float]]) -> dict[str, str]:
    return {str(n): f"{low:g} to {high:g} s" for n, (low, high) in sorted(bands.items())}
