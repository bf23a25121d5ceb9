"""The sections that every report has, and the figures that any experiment can draw."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import Any

from matplotlib.figure import Figure

from task_lab.errors import Unknown
from task_lab.load.calibration import MAX_CPU_SHARE, MAX_LOOP_LAG_P99_S
from task_lab.report import tables, words
from task_lab.report.captions import CAPTIONS, caption
from task_lab.report.figures import timelines
from task_lab.report.parts import (
    Drawing,
    Parts,
    Section,
    Summary,
    figure_section,
    figures_html,
    markdown,
)
from task_lab.report.records import RunRecords
from task_lab.report.resource_section import machine_facts, resources_html

_TIMED = ("throughput", "queue-depth", "in-flight")


def timeline_figures(summary: Summary) -> dict[str, Drawing]:
    """Throughput, queue depth and tasks in flight over time, of each workload."""
    workloads = list(dict.fromkeys(point["workload"] for point in summary["points"]))
    return {
        f"{kind}-{workload}.png": partial(_draw_timeline, kind, workload)
        for kind in _TIMED
        for workload in workloads
    }


def _draw_timeline(kind: str, workload: str, records: RunRecords, _summary: Summary) -> Figure:
    phases = [phase for phase in records.phases if phase.workload == workload]
    tasks = records.tasks[records.tasks["workload"] == workload]
    if kind == "throughput":
        return timelines.throughput(phases, tasks, records.metrics.get("throughput"))
    if kind == "queue-depth":
        ready = records.metrics.get("queue_ready")
        return timelines.queue_depth(phases, tasks, records.samples, ready)
    return timelines.in_flight(phases, tasks, records.metrics.get("in_flight"))


def _verdict(parts: Parts) -> str:
    run = parts.run
    reason = f'<p class="reason">{escape(run["reason"])}</p>' if run.get("reason") else ""
    return (
        f'<p class="verdict">{tables.badge(run["verdict"])} '
        f"{escape(words.verdict_sentence(run))}</p>{reason}"
    )


def _latency(parts: Parts) -> str:
    summary = parts.summary
    negative = sum(
        evidence["negative"]
        for p in summary["points"]
        for evidence in p["latency_evidence"].values()
    )
    warning = (
        f'<p class="missing">{negative:,} latencies are negative: the clocks of sender and '
        "database do not agree.</p>"
        if negative
        else ""
    )
    return figures_html(parts, "latency") + warning + tables.latencies(summary)


def _counts(parts: Parts) -> str:
    summary = parts.summary
    details = summary["reconciliation"]
    lines = [
        ("submissions accepted", words.count(details["accepted"])),
        ("submissions refused", words.count(details["rejected"])),
        ("submissions without an answer, found in the ledger", words.count(details["recovered"])),
        ("submissions without an answer, absent from it", words.count(details["absent"])),
        ("accepted, but not in the ledger", words.count(details["lost"])),
        ("in the ledger, but submitted by nobody", words.count(details["unexpected"])),
        ("ledger rows not terminal", words.count(details["not_terminal"])),
        *(("note", note) for note in details["notes"]),
    ]
    why = markdown(caption(CAPTIONS["counts"])) if details["prometheus_minus_ledger"] else ""
    return tables.counts(summary) + why + tables.facts(lines)


def _checks(parts: Parts) -> str:
    document = parts.records.checks
    if not document:
        raise Unknown("the run was not checked")
    return f"<p>{tables.badge(document['verdict'])}</p>" + tables.checks(document)


def _generator(parts: Parts) -> str:
    load = parts.records.load
    if not load:
        raise Unknown("the load generator left no account of itself")
    busiest = _highest(load["phases"], "cpu_share")
    slowest = _highest(load["phases"], "loop_lag_p99_ms")
    calibration = load.get("calibration") or {}
    lines = [
        (
            "calibration: rate against a stub that answers at once",
            f"{words.rate(calibration.get('stub_per_s'))} /s "
            f"with {calibration.get('in_flight', words.NOTHING)} in flight",
        )
    ]
    if busiest:
        allowed = f"{MAX_CPU_SHARE:.0%} allowed"
        share = f"{busiest[1]:.0%} of a core, {busiest[0]} ({allowed})"
        lines.append(("largest CPU share in a phase", share))
    if slowest:
        allowed = f"{MAX_LOOP_LAG_P99_S * 1e3:.0f} ms allowed over the rounds of a point"
        lag = f"{slowest[1]:.3g} ms, {slowest[0]} ({allowed})"
        lines.append(("largest loop lag p99 in a phase", lag))
    lines += [("problem", reason) for reason in load.get("reasons", [])]
    return f"<p>{tables.badge(load['verdict'])}</p>" + tables.facts(lines)


def _highest(phases: dict[str, dict[str, Any]], field: str) -> tuple[str, float] | None:
    """The phase with the highest value of a field, and that value; None where none has one."""
    known = [(name, phase[field]) for name, phase in phases.items() if phase[field] is not None]
    return max(known, key=lambda item: item[1], default=None)


def _efficiency(parts: Parts) -> str:
    floor = parts.records.floor
    if not floor.get("submit_per_s"):
        raise Unknown(f"no floor was measured: {floor.get('reason', 'no reason was recorded')}")
    text = f"Floor code {floor.get('code_hash', 'without a hash')}."
    cap = _cap((parts.records.load or {}).get("calibration") or {}, floor)
    return tables.efficiency(parts.summary) + f"<p>{cap}<small>{escape(text)}</small></p>"


def _cap(calibration: dict[str, Any], floor: dict[str, Any]) -> str:
    """What bounds the efficiency of single submissions, whatever the platform does."""
    stub_per_s = calibration.get("stub_per_s")
    if not stub_per_s:
        return ""
    most = words.ratio(stub_per_s / floor["submit_per_s"])
    return (
        f"Against a stub the load generator itself reaches {words.rate(stub_per_s)} /s, {most} "
        "times the floor's rate of submission: no submit or end-to-end rate of these rounds is to "
        "be expected above that. A drain does not depend on it. "
    )


def _environment(parts: Parts) -> str:
    run = parts.run
    machine, git = run["machine"], run["git"]
    asked = run["params"]["asked"]
    lines = [
        ("run", parts.folder.name),
        ("commit", f"{git['sha']}{' with uncommitted changes' if git['dirty'] else ''}"),
        ("started, ended", f"{run['started_at']}, {run.get('ended_at') or words.NOTHING}"),
        ("runtime", str(run.get("runtime", words.NOTHING))),
        *machine_facts(machine),
        ("database clock less the client's", words.seconds(run.get("clock_skew_s"))),
        ("parameters given", ", ".join(f"{k} = {v}" for k, v in asked.items()) or "none"),
    ]
    memory = parts.records.memory
    versions = [(name, str(version)) for name, version in sorted(run["versions"].items())]
    return (
        tables.facts(lines)
        + f"<details><summary>versions of {len(versions)} programs and libraries</summary>"
        + f"{tables.facts(versions)}</details>"
        + (tables.memory(memory) if memory else "")
    )


def _resources(parts: Parts) -> str:
    found = resources_html(parts.summary.get("resources"), parts.run["machine"])
    return figures_html(parts, "resources") + found


SECTIONS: dict[str, Section] = {
    "verdict": _verdict,
    "throughput": figure_section("throughput"),
    "queue-depth": figure_section("queue-depth"),
    "in-flight": figure_section("in-flight"),
    "latency": _latency,
    "counts": _counts,
    "checks": _checks,
    "generator": _generator,
    "efficiency": _efficiency,
    "resources": _resources,
    "environment": _environment,
}
