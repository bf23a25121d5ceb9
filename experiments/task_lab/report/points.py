"""The figures of each point of a sweep: its three rates and latencies, with their evidence.

Pure: frames in, plain records out. What the words mean: `submit_per_s` = accepted ÷ (last answer -
first send); `drain_per_s` = tasks ÷ (last finish - first start) of a pre-filled queue;
`end_to_end_per_s` = tasks ÷ (last finish - first scheduled send); answer = sent to answered, as the
client sees it; queue wait = due to start; end-to-end latency = scheduled send to finish. Warm-ups
are in none of them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from task_lab import stats
from task_lab.report.records import Phase

RATES = ("submit_per_s", "drain_per_s", "end_to_end_per_s")
PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
# The floor does a `sum`'s durable work and nothing else; a task that sleeps is not comparable.
FLOOR_TASK_TYPE = "sum"


def measure_points(
    phases: Sequence[Phase], history: pd.DataFrame, tasks: pd.DataFrame
) -> list[dict[str, Any]]:
    """One record per workload and worker count, in the order they were measured.

    A phase with no finished task gives no figures; a point whose rounds all lack them has None.
    Paced loads are points of their own: see `task_lab.report.paced`.
    """
    paced = {(p.workload, p.workers) for p in phases if p.is_paced}
    phases = [p for p in phases if (p.workload, p.workers) not in paced]
    keys = list(dict.fromkeys((p.workload, p.workers) for p in phases))
    sent = dict(list(history.groupby("phase", sort=False)))
    ledger = dict(list(tasks.groupby("phase", sort=False)))
    no_tasks = tasks.iloc[:0]
    no_sends = history.iloc[:0]
    points = []
    for workload, workers in keys:
        of_point = [p for p in phases if (p.workload, p.workers) == (workload, workers)]
        parts = {
            p.name: joined(sent.get(p.name, no_sends), ledger.get(p.name, no_tasks))
            for p in of_point
        }
        points.append(_point(workload, workers, of_point, parts, sent))
    return points


def _point(
    workload: str,
    workers: int,
    phases: Sequence[Phase],
    parts: dict[str, pd.DataFrame],
    sent: dict[Any, pd.DataFrame],
) -> dict[str, Any]:
    rounds = [
        _round(p, sent[p.name], parts[p.name])
        for p in phases
        if p.kind != "drain" and p.name in sent
    ]
    drains = [_drain(p, parts[p.name]) for p in phases if p.kind == "drain"]
    measured = [r for r in rounds if r["kind"] == "round"]
    rates = {
        "submit_per_s": [r["submit_per_s"] for r in measured],
        "drain_per_s": [d["drain_per_s"] for d in drains],
        "end_to_end_per_s": [r["end_to_end_per_s"] for r in measured],
    }
    finished = [parts[p.name] for p in phases if p.kind == "round" and len(parts[p.name])]
    span_s = float(sum(r["duration_s"] or 0.0 for r in measured))
    answers = [_answers_s(sent[p.name]) for p in phases if p.kind == "round" and p.name in sent]
    found = {
        "answer_s": latency(answers, span_s),
        **{
            name: latency([f[name] for f in finished], span_s)
            for name in ("queue_wait_s", "end_to_end_s")
        },
    }
    return {
        "workload": workload,
        "workers": workers,
        "tasks": max((r["tasks"] for r in measured), default=0),
        **{name: clean(stats.median(_known(values))) for name, values in rates.items()},
        **{name: percentiles for name, (percentiles, _) in found.items()},
        "tasks_a_commit": _tasks_a_commit([f["finished_at"] for f in finished]),
        "efficiency": None,
        "intervals": {name: _interval(values) for name, values in rates.items()},
        "latency_evidence": {name: evidence for name, (_, evidence) in found.items()},
        "rounds": rounds,
        "drains": drains,
    }


def _answers_s(sent: pd.DataFrame) -> "pd.Series[float]":
    """How long each accepted submission waited for its answer, seconds."""
    accepted = sent[sent["outcome"] == "accepted"]
    return accepted["answered_at"] - accepted["sent_at"]


def _tasks_a_commit(finished_at: Sequence["pd.Series[float]"]) -> float | None:
    """How many tasks ended together; a worker's commit gives all of its tasks one time."""
    commits = sum(times.nunique() for times in finished_at)
    return clean(sum(map(len, finished_at)) / commits) if commits else None


def _round(phase: Phase, sent: pd.DataFrame, finished: pd.DataFrame) -> dict[str, Any]:
    accepted = int((sent["outcome"] == "accepted").sum())
    sending_s = float(sent["answered_at"].max() - sent["sent_at"].min())
    duration_s = (
        float(finished["finished_at"].max() - sent["scheduled_at"].min())
        if len(finished)
        else float("nan")
    )
    return {
        "phase": phase.name,
        "kind": phase.kind,
        "round": phase.round,
        "tasks": accepted,
        "submit_per_s": per_s(accepted, sending_s),
        "end_to_end_per_s": per_s(len(finished), duration_s),
        "duration_s": clean(duration_s),
    }


def _drain(phase: Phase, finished: pd.DataFrame) -> dict[str, Any]:
    duration_s = float(finished["finished_at"].max() - finished["started_at"].min())
    return {
        "phase": phase.name,
        "round": phase.round,
        "tasks": len(finished),
        "drain_per_s": per_s(len(finished), duration_s),
        "duration_s": clean(duration_s),
    }


def joined(sent: pd.DataFrame, ledger: pd.DataFrame) -> pd.DataFrame:
    """The phase's finished tasks, with their latencies beside them."""
    finished = ledger[ledger["finished_at"].notna()]
    sent_once = sent.dropna(subset=["task_id"]).drop_duplicates("task_id").set_index("task_id")
    # Where nothing matches, the answer would be of the ids' type.
    scheduled_at = finished["id"].map(sent_once["scheduled_at"]).astype(np.float64)
    return finished.assign(
        scheduled_at=scheduled_at,
        queue_wait_s=finished["started_at"] - finished["due_at"],
        end_to_end_s=finished["finished_at"] - scheduled_at,
    )


def latency(
    rounds: Sequence["pd.Series[float]"], span_s: float
) -> tuple[dict[str, float | None], dict[str, Any]]:
    """Percentiles over all tasks of all rounds, and what they stand on.

    rounds: those that can be drawn as if independent; of one long load, blocks of its time.
    """
    arrays = [np.asarray(r.dropna(), dtype=np.float64) for r in rounds]
    values = np.concatenate(arrays) if arrays else np.empty(0)
    groups = np.repeat(np.arange(len(arrays)), [len(a) for a in arrays])
    intervals = stats.percentile_intervals(values, groups, list(PERCENTILES.values()))
    reasons = {
        name: stats.too_short_for(q, count=len(values), span_s=span_s)
        for name, q in PERCENTILES.items()
    }
    evidence = {
        "tasks": len(values),
        "span_s": clean(span_s),
        "negative": int((values < 0).sum()),
        "too_short": {name: reason for name, reason in reasons.items() if reason},
        "intervals": dict(zip(PERCENTILES, map(_as_record, intervals), strict=True))
        if intervals
        else None,
    }
    return {n: clean(stats.percentile(values, q)) for n, q in PERCENTILES.items()}, evidence


def speedups(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """How each rate changed from the smallest worker count of its workload to each larger one."""
    found = []
    for workload in dict.fromkeys(p["workload"] for p in points):
        of_workload = sorted((p for p in points if p["workload"] == workload), key=_workers)
        for point in of_workload[1:]:
            for rate in RATES:
                ratio = stats.ratio_of_medians(
                    rate_values(point, rate), rate_values(of_workload[0], rate)
                )
                if ratio is not None:
                    found.append(
                        {
                            "workload": workload,
                            "rate": rate,
                            "workers": [of_workload[0]["workers"], point["workers"]],
                            "ratio": clean(ratio.value),
                            "interval": _as_record(ratio.interval),
                            "reason": ratio.reason,
                        }
                    )
    return found


def rate_values(point: dict[str, Any], rate: str) -> list[float]:
    """The single measurements a point's rate is the median of."""
    if rate == "drain_per_s":
        return _known(d[rate] for d in point["drains"])
    return _known(r[rate] for r in point["rounds"] if r["kind"] == "round")


def efficiency(
    point: dict[str, Any], floor: dict[str, Any], task_types: Sequence[str]
) -> dict[str, float | None] | None:
    """Measured ÷ floor for each rate; None without a floor or for work the floor does not do."""
    if not floor.get("submit_per_s") or list(task_types) != [FLOOR_TASK_TYPE]:
        return None
    return {
        rate.removesuffix("_per_s"): clean(point[rate] / floor[rate]) if point[rate] else None
        for rate in RATES
    }


def _workers(point: dict[str, Any]) -> int:
    return int(point["workers"])


def _known(values: Iterable[float | None]) -> list[float]:
    return [v for v in values if v is not None]


def per_s(count: int, seconds: float) -> float | None:
    return clean(count / seconds) if count and seconds > 0 else None


def _interval(values: Sequence[float | None]) -> dict[str, Any] | None:
    return _as_record(stats.median_interval(_known(values)))


def _as_record(interval: stats.Interval | None) -> dict[str, Any] | None:
    if interval is None:
        return None
    found = asdict(interval)
    return {**found, "low": clean(interval.low), "high": clean(interval.high)}


def clean(value: float) -> float | None:
    """Six significant digits, more than any of these figures carries; None for NaN."""
    return float(f"{value:.6g}") if np.isfinite(value) else None
