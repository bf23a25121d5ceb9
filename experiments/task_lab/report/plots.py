"""The figures of a run: which there are, and writing them all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from task_lab.report.figures import latency, rates, rounds, style, timelines
from task_lab.report.records import RunRecords
from task_lab.report.summary import read_summary

FOLDER = "figures"
_TIMED = ("throughput", "queue-depth", "in-flight")


def expected_figures(summary: dict[str, Any]) -> list[str]:
    """File names of the figures a run with this summary has, in the order they are shown."""
    workloads = list(dict.fromkeys(p["workload"] for p in summary["points"]))
    if not workloads:
        return []
    return [
        "rates.png",
        "rounds.png",
        "latency.png",
        *(f"{t}-{w}.png" for t in _TIMED for w in workloads),
    ]


def draw(folder: Path) -> list[Path]:
    """Draw every figure of the run into its `figures/`; the same data gives the same bytes.

    Raises Unknown when the run has no summary.
    """
    records, summary = RunRecords(folder), read_summary(folder)
    target = folder / FOLDER
    with style.applied():
        return [
            style.save(_maker(name, records, summary)(), target / name)
            for name in expected_figures(summary)
        ]


def _maker(name: str, records: RunRecords, summary: dict[str, Any]) -> Callable[[], Figure]:
    if name == "rates.png":
        return lambda: rates.rate_bars(summary["points"])
    if name == "rounds.png":
        return lambda: rounds.round_rates(summary["points"])
    if name == "latency.png":
        return lambda: latency.latency_percentiles(summary["points"])
    kind = next(kind for kind in _TIMED if name.startswith(f"{kind}-"))
    workload = name.removeprefix(f"{kind}-").removesuffix(".png")
    phases = [p for p in records.phases if p.workload == workload]
    tasks = records.tasks[records.tasks["workload"] == workload]
    if kind == "throughput":
        return lambda: timelines.throughput(phases, tasks, records.metrics.get("throughput"))
    if kind == "queue-depth":
        ready = records.metrics.get("queue_ready")
        return lambda: timelines.queue_depth(phases, tasks, records.samples, ready)
    return lambda: timelines.in_flight(phases, tasks, records.metrics.get("in_flight"))
