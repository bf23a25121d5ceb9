"""Reports of scaling: speed-ups, the law behind them, who did the work, how many workers to run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from html import escape
from typing import Any

from matplotlib.figure import Figure

from task_lab.check.evidence import Evidence
from task_lab.report import law_words, laws, tables, words
from task_lab.report.captions import Caption
from task_lab.report.common import timeline_figures
from task_lab.report.figures import scaling
from task_lab.report.parts import Drawing, Parts, ReportKind, Summary, figures_html, markdown
from task_lab.report.records import RunRecords
from task_lab.spec import ScalingSpec

_CONCURRENCY = "TASK_PLATFORM_WORKER_CONCURRENCY"
_DEFAULT_CONCURRENCY = 10
# These run in processes of their own, of which a worker has no more than there are cores.
_PROCESS_TYPES = frozenset({"cpu"})


def build(records: RunRecords, evidence: Evidence, summary: Summary) -> Summary:
    """Speed-ups, laws, and the workers that the loads asked about need."""
    spec = evidence.spec
    assert isinstance(spec, ScalingSpec)
    points, shares = summary["points"], summary["worker_shares"]
    found = laws.laws_of(points, shares)
    speedups = laws.speedup_records(points, shares)
    return {
        "usl": [laws.law_record(workload, law) for workload, law in found.items()],
        "speedups": speedups,
        "sizing": laws.sizing_records(
            found,
            points,
            wanted_per_s=spec.wanted_per_s,
            wait_s=spec.wanted_wait_p95_s,
            slots=slots(spec, records.run["machine"]["cores"]),
        ),
        "headline": law_words.headline(speedups, points),
    }


def slots(spec: ScalingSpec, cores: int) -> dict[str, int]:
    """How many tasks of each workload one worker runs at once."""
    concurrency = int(spec.settings.get(_CONCURRENCY, _DEFAULT_CONCURRENCY))
    return {
        workload.name: min(concurrency, cores)
        if _PROCESS_TYPES.intersection(workload.task_types)
        else concurrency
        for workload in spec.workloads
    }


def figures(summary: Summary) -> Mapping[str, Drawing]:
    """Speed-ups, the law of each workload, shares, then throughput over time."""
    if not summary["points"]:
        return {}
    return {
        "speedup.png": _draw_speedup,
        **{
            f"law-{law['workload']}.png": partial(_draw_law, law["workload"])
            for law in summary["usl"]
        },
        "shares.png": _draw_shares,
        **{n: d for n, d in timeline_figures(summary).items() if n.startswith("throughput-")},
    }


def _draw_speedup(_records: RunRecords, summary: Summary) -> Figure:
    return scaling.speedup_curves(summary)


def _draw_law(workload: str, _records: RunRecords, summary: Summary) -> Figure:
    return scaling.law(summary, workload)


def _draw_shares(_records: RunRecords, summary: Summary) -> Figure:
    return scaling.shares(summary)


def _headline(parts: Parts) -> str:
    """A line a workload: the highest rate, the speed-up of all workers, the law, the answer."""
    summary = parts.summary
    rows = [_headline_row(summary, law) for law in summary["usl"]]
    head = ["workload", "law", "workers needed", "highest drain, tasks/s", "speed-up"]
    return tables.table(head, rows, text_columns=3)


def _headline_row(summary: Summary, law: Mapping[str, Any]) -> list[str]:
    workload = law["workload"]
    known = [p for p in summary["points"] if p["workload"] == workload and p["drain_per_s"]]
    best = max(known, key=lambda point: float(point["drain_per_s"]), default=None)
    ratios = [one for one in summary["speedups"] if one["workload"] == workload]
    asked = [one for one in summary["sizing"] if one["workload"] == workload and one["asked"]]
    told = (
        f"sigma {law_words.estimate(law['sigma'])}<br>"
        f"kappa {law_words.estimate(law['kappa'])}<br>"
        f"peak {escape(law_words.peak(law['peak']))}"
        if not law["refused"]
        else f"none: {escape(law['refused'])}"
    )
    return [
        escape(workload),
        told,
        "<br>".join(
            f"{escape(law_words.question(one))}: <b>{escape(law_words.needed(one))}</b>"
            for one in asked
        ),
        f"<b>{words.rate(best['drain_per_s'])}</b><br><small>{words.workers(best['workers'])}</small>"
        if best
        else words.NOTHING,
        f"<b>{law_words.ratio(ratios[-1])}</b><br><small>{words.workers(ratios[-1]['workers'][1])}"
        "</small>"
        if ratios
        else words.NOTHING,
    ]


def _speedups(parts: Parts) -> str:
    summary = parts.summary
    rows = [
        [
            escape(one["workload"]),
            f"{one['workers'][0]} → {one['workers'][1]}",
            *law_words.speedup_cells(one),
            escape(one["reason"] or ""),
        ]
        for one in summary["speedups"]
    ]
    head = ["workload", "workers", "speed-up", "efficiency", "largest share", ""]
    return figures_html(parts, "speedup") + tables.table(head, rows, text_columns=2)


def _rates(parts: Parts) -> str:
    summary = parts.summary
    return tables.rates({**summary, "points": law_words.by_workers(summary["points"])})


def _laws(parts: Parts) -> str:
    summary = parts.summary
    rows = [_law_row(law) for law in summary["usl"] if not law["refused"]]
    head = [
        "workload",
        "lambda, tasks/s",
        "sigma: contention",
        "kappa: coherency",
        "peak",
        "largest miss",
        "scatter between counts",
    ]
    table = tables.table(head, rows, text_columns=1) if rows else ""
    return (
        "".join(markdown(law_words.law_sentence(law)) for law in summary["usl"] if law["refused"])
        + table
        + "".join(_notes(law) for law in summary["usl"])
        + figures_html(parts, "law")
    )


def _law_row(law: Mapping[str, Any]) -> list[str]:
    return [
        escape(law["workload"]),
        law_words.rate_estimate(law["lambda_per_s"]),
        law_words.estimate(law["sigma"]),
        law_words.estimate(law["kappa"]),
        escape(law_words.peak(law["peak"])),
        law_words.largest_miss(law),
        f"{law['lack_of_fit']['between']:.1%}",
    ]


def _notes(law: Mapping[str, Any]) -> str:
    notes = [f"{workers} workers left out: {why}" for workers, why in law["left_out"].items()]
    listed = "".join(f"<li>{escape(note)}</li>" for note in [*notes, *law["notes"]])
    return f"<p>{escape(law['workload'])}:</p><ul>{listed}</ul>" if listed else ""


def _sizing(parts: Parts) -> str:
    rows = [
        [
            escape(one["workload"]),
            f"{words.rate(one['per_s'])}{' (asked)' if one['asked'] else ''}",
            words.seconds(one["wait_p95_s"]),
            f"<b>{escape(law_words.needed(one))}</b>",
            words.NOTHING if one["busy"] is None else f"{one['busy']:.0%}",
            law_words.wait(one),
        ]
        for one in parts.summary["sizing"]
    ]
    head = ["workload", "tasks/s", "p95 wait at most", "workers", "busy", "p95 wait expected"]
    return tables.table(head, rows, text_columns=4)


def _shares(parts: Parts) -> str:
    if not parts.summary["worker_shares"]:
        return '<p class="missing">Not available: Prometheus answered nothing of the workers.</p>'
    return figures_html(parts, "shares")


CAPTIONS = {
    "speedup": Caption(
        "Marks are ratios of medians, vertical lines their 95 % intervals by bootstrap, drawn from "
        "six drains a count on. Dashed: every worker brings as much as the first. Hollow: one "
        "worker did most of the work, so the ratio says nothing about workers."
    ),
    "law": Caption(
        "Dots are single drains. The band is where the law lies with 95 % confidence, by bootstrap "
        "over the drains and, where the counts scatter more than their drains explain, over the "
        "counts. Below: how far each drain is from the law. A count that the law misses by more "
        "than the dashed limit refuses it; beyond the dotted one it is refused where the spread of "
        "the drains leaves no room for the miss. Outside the counts that were measured there is no "
        "line, because nothing is known there."
    ),
    "shares": Caption(
        "From the workers' raw counters in Prometheus, read at every scrape: in a drain of a "
        "second a share is good to some percent. Dashed: a count at which one worker had more than "
        "this, in the median of its drains, is flagged and left out of the law."
    ),
}

SCALING = ReportKind(
    build=build,
    figures=figures,
    sections={
        "headline": _headline,
        "speedups": _speedups,
        "rates": _rates,
        "law": _laws,
        "shares": _shares,
        "sizing": _sizing,
    },
    text=law_words.lines,
    captions=CAPTIONS,
)
