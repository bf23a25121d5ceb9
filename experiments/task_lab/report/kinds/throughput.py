"""Reports of throughput: three rates of every point, their rounds, what more workers change."""

from __future__ import annotations

from functools import partial
from typing import Any

from matplotlib.figure import Figure

from task_lab.check.evidence import Evidence
from task_lab.report import explain, points, tables, words
from task_lab.report.common import timeline_figures
from task_lab.report.figures import latency, rates, rounds
from task_lab.report.parts import Drawing, Parts, ReportKind, Summary, figures_html, markdown
from task_lab.report.records import RunRecords


def build(_records: RunRecords, _evidence: Evidence, summary: Summary) -> Summary:
    """Speed-ups, and the end-to-end rate of each point as the headline."""
    return {
        "speedups": points.speedups(summary["points"]),
        "headline": [
            {
                "name": f"{point['workload']}, {words.workers(point['workers'])}",
                "value": point["end_to_end_per_s"],
                "unit": "tasks/s",
                "better": "higher",
            }
            for point in summary["points"]
        ],
    }


def figures(summary: Summary) -> dict[str, Drawing]:
    """Rates, rounds and latencies of all points, then the timelines of each workload."""
    if not summary["points"]:
        return {}
    return {
        "rates.png": _of_points(rates.rate_bars),
        "rounds.png": _of_points(rounds.round_rates),
        "latency.png": _of_points(latency.latency_percentiles),
        **timeline_figures(summary),
    }


def _of_points(draw: Any) -> Drawing:
    return partial(_draw_points, draw)


def _draw_points(draw: Any, _records: RunRecords, summary: Summary) -> Figure:
    figure: Figure = draw(summary["points"])
    return figure


def _headline(parts: Parts) -> str:
    """What a reader in a hurry needs: the rates, the latencies, the counts."""
    return tables.headline(parts.summary)


def _rates(parts: Parts) -> str:
    return figures_html(parts, "rates") + tables.rates(parts.summary)


def _rounds(parts: Parts) -> str:
    return figures_html(parts, "rounds")


def _speedups(parts: Parts) -> str:
    summary = parts.summary
    return tables.speedups(summary) + tables.shares(summary)


def _scaling(parts: Parts) -> str:
    paragraphs = explain.explain_scaling(parts.run, parts.summary)
    if not paragraphs:
        return '<p class="missing">Nothing to compare: one worker count only.</p>'
    return "".join(markdown(p) for p in paragraphs)


def text(summary: Summary) -> list[str]:
    """A table of the points with their percentiles."""
    lines = [
        "| workload | workers | submit /s | drain /s | end to end /s "
        "| queue wait p50 / p95 / p99 | end to end p50 / p95 / p99 |",
        "|---|---|---|---|---|---|---|",
    ]
    for point in summary["points"]:
        cells = [
            point["workload"],
            str(point["workers"]),
            *(words.rate_with_interval(point, name) for name in words.RATE_NAMES),
            words.percentiles(point, "queue_wait_s"),
            words.percentiles(point, "end_to_end_s"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if reasons := words.too_short_reasons(summary):
        lines += ["", f"† {words.TOO_SHORT}", "", *(f"- {r}" for r in reasons)]
    return lines


THROUGHPUT = ReportKind(
    build=build,
    figures=figures,
    sections={
        "headline": _headline,
        "rates": _rates,
        "rounds": _rounds,
        "speedups": _speedups,
        "scaling": _scaling,
    },
    text=text,
    captions={},
)
