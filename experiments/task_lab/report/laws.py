"""What a scaling run's drains say of its workers, as records for summary.json.

Pure. The figures are made in `task_lab.scaling`; here they get their measurements, by workload, and
a form that JSON can hold: six significant digits, null for what has no number.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from task_lab import stats
from task_lab.report.counts import LARGEST_FAIR_SHARE
from task_lab.report.points import clean, rate_values
from task_lab.scaling.sizing import Answer, Ask, workers_needed
from task_lab.scaling.speedup import Speedup, speedups
from task_lab.scaling.usl import Estimate, Fit, Refused, fit_law

RATE = "drain_per_s"
# Beside the load that was asked about: shares of the highest rate that was measured.
LADDER = (0.25, 0.5, 0.75, 0.9)
_CURVE_POINTS = 41

Record = dict[str, Any]


def measured_rates(points: Sequence[Mapping[str, Any]], workload: str) -> dict[int, list[float]]:
    """Tasks/s of each drain of a workload, by worker count."""
    return {
        int(point["workers"]): rate_values(dict(point), RATE)
        for point in points
        if point["workload"] == workload
    }


def largest_shares(shares: Sequence[Mapping[str, Any]], workload: str) -> dict[int, float]:
    """The largest share of a worker, median over the drains of each worker count."""
    by_count: dict[int, list[float]] = {}
    for one in shares:
        if one["workload"] == workload:
            by_count.setdefault(int(one["workers"]), []).append(one["shares"][0])
    return {workers: stats.median(largest) for workers, largest in by_count.items()}


def laws_of(
    points: Sequence[Mapping[str, Any]], shares: Sequence[Mapping[str, Any]]
) -> dict[str, Fit | Refused]:
    """The law of each workload, or why it has none. points, shares: of summary.json."""
    workloads = dict.fromkeys(str(point["workload"]) for point in points)
    return {
        workload: fit_law(measured_rates(points, workload), _flagged(shares, workload))
        for workload in workloads
    }


def speedup_records(
    points: Sequence[Mapping[str, Any]], shares: Sequence[Mapping[str, Any]]
) -> list[Record]:
    """Every worker count of every workload against the fewest."""
    found = []
    for workload in dict.fromkeys(str(point["workload"]) for point in points):
        largest = largest_shares(shares, workload)
        for one in speedups(measured_rates(points, workload), _flagged(shares, workload)):
            found.append(_speedup(workload, one, largest.get(one.workers)))
    return found


def law_record(workload: str, found: Fit | Refused) -> Record:
    """A law with its intervals, or the reason that there is none."""
    lack = found.lack_of_fit
    record: Record = {
        "workload": workload,
        "refused": found.reason if isinstance(found, Refused) else None,
        "left_out": {str(workers): why for workers, why in found.left_out.items()},
        "residuals": [
            {
                "workers": one.workers,
                "measured_per_s": clean(one.measured_per_s),
                "fitted_per_s": clean(one.fitted_per_s),
                "relative": clean(one.relative),
            }
            for one in found.residuals
        ],
        "lack_of_fit": lack
        and {
            "f": clean(lack.f),
            "p": clean(lack.p),
            "between": clean(lack.between),
            "within": clean(lack.within),
        },
    }
    if isinstance(found, Refused):
        empty = ("lambda_per_s", "sigma", "kappa", "peak", "curve")
        return {**record, **dict.fromkeys(empty), "counts": [], "notes": []}
    peak = found.peak
    return {
        **record,
        "lambda_per_s": _estimate(found.lambda_per_s),
        "sigma": _estimate(found.sigma),
        "kappa": _estimate(found.kappa),
        "peak": {
            "note": peak.note,
            "workers": _known(peak.workers),
            "low": _known(peak.low),
            "high": _known(peak.high),
            "per_s": _known(peak.per_s),
            "per_s_low": _known(peak.per_s_low),
            "per_s_high": _known(peak.per_s_high),
        },
        "curve": _curve(found),
        "counts": list(found.counts),
        "notes": list(found.notes),
    }


def sizing_records(
    laws: Mapping[str, Fit | Refused],
    points: Sequence[Mapping[str, Any]],
    *,
    wanted_per_s: Mapping[str, float],
    wait_s: float,
    slots: Mapping[str, int],
) -> list[Record]:
    """Workers needed for the load that was asked about, and for shares of the highest measured.

    wanted_per_s, slots: by workload; slots: tasks that one worker runs at once.
    """
    found = []
    for workload, law in laws.items():
        highest = max((p[RATE] or 0.0 for p in points if p["workload"] == workload), default=0.0)
        asked = [wanted_per_s[workload]] if workload in wanted_per_s else []
        ladder = [_round(highest * share) for share in LADDER] if highest > 0 else []
        for number, per_s in enumerate([*asked, *ladder]):
            answer = workers_needed(Ask(per_s, wait_s), law, slots[workload])
            found.append(_answer(workload, answer, slots[workload], is_asked=number < len(asked)))
    return found


def _flagged(shares: Sequence[Mapping[str, Any]], workload: str) -> set[int]:
    largest = largest_shares(shares, workload)
    return {workers for workers, share in largest.items() if share > LARGEST_FAIR_SHARE}


def _speedup(workload: str, one: Speedup, largest: float | None) -> Record:
    return {
        "workload": workload,
        "rate": RATE,
        "workers": [one.base, one.workers],
        "ratio": clean(one.ratio),
        "interval": _interval(one.interval),
        "reason": one.reason,
        "efficiency": clean(one.efficiency),
        "efficiency_interval": _interval(one.efficiency_interval),
        "largest_share": _known(largest),
        "flagged": one.is_flagged,
    }


def _answer(workload: str, answer: Answer, slots: int, *, is_asked: bool) -> Record:
    return {
        "workload": workload,
        "asked": is_asked,
        "per_s": clean(answer.ask.per_s),
        "wait_p95_s": clean(answer.ask.wait_s),
        "slots": slots,
        "workers": answer.workers,
        "low": answer.low,
        "high": answer.high,
        "capacity_per_s": _known(answer.capacity_per_s),
        "busy": _known(answer.busy),
        "expected_wait_p95_s": _known(answer.wait_s),
        "reason": answer.reason,
    }


def _curve(fit: Fit) -> list[Record]:
    """The law with its band, between the fewest and the most workers that it was made from."""
    workers = np.linspace(fit.counts[0], fit.counts[-1], _CURVE_POINTS)
    low, high = fit.band(workers)
    return [
        {
            "workers": clean(n),
            "per_s": clean(fit.law.per_s(n)),
            "low": clean(below),
            "high": clean(above),
        }
        for n, below, above in zip(workers.tolist(), low.tolist(), high.tolist(), strict=True)
    ]


def _estimate(found: Estimate) -> Record:
    return {
        "value": clean(found.value),
        "low": clean(found.low),
        "high": clean(found.high),
        "differs_from_0": found.differs_from_0,
    }


def _interval(found: stats.Interval | None) -> Record | None:
    if found is None:
        return None
    return {
        "low": clean(found.low),
        "high": clean(found.high),
        "method": found.method,
        "confidence": found.confidence,
    }


def _known(value: float | None) -> float | None:
    return None if value is None else clean(value)


def _round(per_s: float) -> float:
    """Two digits: a share of a measured rate is no more exact than that."""
    return float(f"{per_s:.2g}")
