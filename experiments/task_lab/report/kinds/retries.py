"""Reports of retries and dead letters: what was foretold, what came, how long it took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from task_lab.check.backoff import witnessed_retries
from task_lab.check.evidence import Evidence, read_evidence
from task_lab.report import retries as numbers
from task_lab.report import retry_sections as sections
from task_lab.report import words
from task_lab.report.figures import backoff, latency
from task_lab.report.figures import retries as curves
from task_lab.report.parts import Drawing, ReportKind, Summary, figure_section
from task_lab.report.records import RunRecords
from task_lab.store import RunFolder


def build(records: RunRecords, evidence: Evidence, _summary: Summary) -> Summary:
    """Expectations with their counts, attempts, waits, parts, rates."""
    phases = records.phases
    found = {
        "expectations": numbers.expectation_records(evidence),
        "attempts": numbers.attempt_records(evidence),
        "backoff": numbers.backoff_records(evidence),
        "parts": numbers.part_records(evidence, phases),
        "goodput": numbers.rate_records(evidence, phases),
    }
    return {
        **found,
        "headline": _headline_figures(found, numbers.extra_attempts_per_task(evidence.tasks)),
    }


def _headline_figures(found: Mapping[str, Any], extra: float | None) -> list[dict[str, Any]]:
    totals = {one["name"]: one["ledger"] for one in found["expectations"]}
    late = [one["late_s"]["p95"] for one in found["backoff"] if one["late_s"]]
    several = len(found["goodput"]) > 1
    rows = [
        (
            f"goodput, {words.workers(one['workers'])}" if several else "goodput",
            one["goodput_per_s"],
            "tasks/s",
            "higher",
        )
        for one in found["goodput"]
    ]
    rows += [
        ("retries", totals["retries"], "", "lower"),
        ("dead letters", totals["dead letters"], "", "lower"),
        ("extra attempts per task", extra, "", "lower"),
        ("retries late, highest p95", max(late, default=None), "s", "lower"),
    ]
    return [dict(zip(("name", "value", "unit", "better"), row, strict=True)) for row in rows]


def figures(summary: Summary) -> dict[str, Drawing]:
    """Curves over time, then attempts, waits and times to the end, as far as anything failed."""
    if not summary["points"]:
        return {}
    drawings: dict[str, Drawing] = {
        "retries.png": _draw_retries,
        "dead-letters.png": _draw_dead_letters,
        "attempts.png": _draw_attempts,
    }
    if summary["backoff"]:
        drawings["backoff.png"] = _draw_backoff
    if _failing(summary):
        drawings["time-to-end.png"] = _draw_time_to_end
    return {**drawings, "goodput.png": _draw_goodput, "latency.png": _draw_latency}


def _failing(summary: Summary) -> list[dict[str, Any]]:
    """Parts whose tasks fail at least once."""
    return [one for one in summary["parts"] if one["attempts"] > 1 or one["ends"] == "FAILED"]


def _evidence(records: RunRecords) -> Evidence:
    return read_evidence(RunFolder(records.folder))


def _draw_retries(records: RunRecords, _summary: Summary) -> Figure:
    evidence = _evidence(records)
    assert evidence.failures is not None
    retries = witnessed_retries(evidence)
    return curves.retry_curves(records.phases, evidence.failures, retries, records.metrics)


def _draw_dead_letters(records: RunRecords, summary: Summary) -> Figure:
    letters = _evidence(records).dead_letters
    return curves.dead_letter_curves(
        records.phases, letters, _expected(summary, "dead letters")["foretold"], records.metrics
    )


def _draw_attempts(_records: RunRecords, summary: Summary) -> Figure:
    return backoff.attempts_histogram(summary["attempts"])


def _draw_backoff(records: RunRecords, summary: Summary) -> Figure:
    retries = witnessed_retries(_evidence(records))
    assert retries is not None
    return backoff.backoff_spread(retries, summary["backoff"])


def _draw_time_to_end(records: RunRecords, summary: Summary) -> Figure:
    tasks = numbers.foretold_frame(_evidence(records))
    loads = {phase.name for phase in records.phases if phase.is_paced}
    return backoff.time_to_end(tasks[tasks["phase"].isin(loads)], _failing(summary))


def _draw_goodput(records: RunRecords, summary: Summary) -> Figure:
    evidence = _evidence(records)
    started = {(p.workload, p.workers): p.started_at for p in records.phases if p.is_paced}
    windows = [
        (
            begin + started[one["workload"], one["workers"]],
            end + started[one["workload"], one["workers"]],
        )
        for one in summary["goodput"]
        for begin, end in [one["window_s"]]
        if one["goodput_per_s"] is not None
    ]
    tasks = numbers.foretold_frame(evidence)
    return curves.goodput_curves(records.phases, tasks, evidence, windows)


def _draw_latency(_records: RunRecords, summary: Summary) -> Figure:
    return latency.latency_percentiles(summary["points"])


def _expected(summary: Summary, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in summary["expectations"] if one["name"] == name)
    return found


RETRIES = ReportKind(
    build=build,
    figures=figures,
    sections={
        "headline": sections.headline,
        "expectations": sections.expectations,
        "retries": figure_section("retries"),
        "dead-letters": figure_section("dead-letters"),
        "attempts": figure_section("attempts"),
        "backoff": sections.backoff,
        "time-to-end": sections.time_to_end,
        "goodput": sections.goodput,
    },
    text=sections.lines,
    captions=sections.CAPTIONS,
)
