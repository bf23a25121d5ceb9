"""Reports of saturation: the search for the highest sustainable rate, and the ladder up to it."""

from __future__ import annotations

from html import escape
from typing import Any

from task_lab.check.evidence import Evidence
from task_lab.check.objectives import figure_of, judge_one, told_limit
from task_lab.check.verdict import Verdict, combine
from task_lab.report import tables, words
from task_lab.report.captions import Caption
from task_lab.report.common import timeline_figures
from task_lab.report.figures import knee
from task_lab.report.parts import Drawing, Parts, ReportKind, Summary, figures_html
from task_lab.report.records import RunRecords
from task_lab.spec import Spec

_PERCENTILES = ("p50", "p95", "p99")


def build(records: RunRecords, evidence: Evidence, summary: Summary) -> Summary:
    """`search`, `steps`, `knees`; one objective: that a step meets every one of the ladder's."""
    # A run that ended before its ladder has a warm-up alone, which is no step.
    climbed = [point for point in summary["points"] if "phase" in point]
    steps = [_step(evidence.spec, point) for point in climbed]
    knees = [_knee(workload, workers, steps) for workload, workers in _points(steps)]
    found = [event for event in records.events if event["event"] == "searched"]
    return {
        "points": climbed,
        "search": {
            "probes": [_only_probe(e) for e in records.events if e["event"] == "probed"],
            "found": [{k: v for k, v in e.items() if k not in ("at", "event")} for e in found],
        },
        "steps": steps,
        "knees": knees,
        "objectives": [_as_objective(knee) for knee in knees],
        "headline": [
            {
                "name": f"highest step that meets every objective, {knee['where']}",
                "value": knee["offered_per_s"],
                "unit": "tasks/s",
                "better": "higher",
            }
            for knee in knees
        ]
        + [
            {
                "name": f"queue wait p95 at half of it, {knee['where']}",
                "value": knee["half_wait_p95_s"],
                "unit": "s",
                "better": "lower",
            }
            for knee in knees
        ],
    }


def _step(spec: Spec, point: dict[str, Any]) -> dict[str, Any]:
    """A point of the ladder held against every objective."""
    judged = [
        judge_one(name, limit, figure_of(point, name), where=point["phase"])
        for name, limit in spec.objectives.items()
    ]
    kept = ("phase", "workload", "workers", "fraction", "offered_per_s", "achieved_per_s")
    return {
        **{name: point[name] for name in kept},
        "achieved_over_offered": point["achieved_over_offered"],
        "queue_wait_p95_s": point["queue_wait_s"]["p95"],
        "objectives": judged,
        "verdict": combine(Verdict(one["verdict"]) for one in judged).value,
    }


def _points(steps: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return list(dict.fromkeys((step["workload"], step["workers"]) for step in steps))


def _knee(workload: str, workers: int, steps: list[dict[str, Any]]) -> dict[str, Any]:
    """The highest step below which, and at which, every step meets every objective."""
    own = sorted(
        (s for s in steps if (s["workload"], s["workers"]) == (workload, workers)),
        key=lambda step: float(step["offered_per_s"]),
    )
    held = []
    for step in own:
        if step["verdict"] != Verdict.PASS:
            break
        held.append(step)
    highest = held[-1] if held else None
    half = _nearest(own, highest["offered_per_s"] / 2) if highest else None
    return {
        "workload": workload,
        "workers": workers,
        "where": f"{workload}, {words.workers(workers)}",
        "lowest_per_s": own[0]["offered_per_s"],
        "offered_per_s": highest["offered_per_s"] if highest else None,
        "achieved_per_s": highest["achieved_per_s"] if highest else None,
        "half_wait_p95_s": half["queue_wait_p95_s"] if half else None,
        "first_missed": _missed(own[len(held)]) if len(held) < len(own) else [],
    }


def _nearest(steps: list[dict[str, Any]], per_s: float) -> dict[str, Any]:
    return min(steps, key=lambda step: abs(float(step["offered_per_s"]) - per_s))


def _missed(step: dict[str, Any]) -> list[str]:
    return [one["name"] for one in step["objectives"] if one["verdict"] != Verdict.PASS]


def _as_objective(knee: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "highest step that meets every objective, tasks/s",
        "where": knee["where"],
        "min": knee["lowest_per_s"],
        "max": None,
        "observed": knee["offered_per_s"],
        "verdict": (Verdict.PASS if knee["offered_per_s"] else Verdict.FAIL).value,
    }


def _only_probe(event: dict[str, Any]) -> dict[str, Any]:
    return {name: event[name] for name in ("phase", "per_s", "sustained", "missed", "figures")}


def figures(summary: Summary) -> dict[str, Drawing]:
    """The knee and the search of each point, then the timelines."""
    if not summary["points"]:
        return {}
    return {
        "knee.png": lambda _, found: knee.knee_curves(found["points"], found["steps"]),
        "search.png": lambda _, found: knee.search_path(found["search"]["probes"]),
        "views.png": lambda _, found: knee.two_views(found["points"]),
        **timeline_figures(summary),
    }


def _headline(parts: Parts) -> str:
    summary = parts.summary
    head = ["", "highest step that meets every objective, tasks/s", "achieved there, tasks/s"]
    rows = [
        [
            escape(knee["where"]),
            f"<b>{words.rate(knee['offered_per_s'])}</b>",
            words.rate(knee["achieved_per_s"]),
            words.seconds(knee["half_wait_p95_s"]),
        ]
        for knee in summary["knees"]
    ]
    return tables.table([*head, "queue wait p95 at half of it"], rows) + _counted(summary)


def _counted(summary: Summary) -> str:
    counts = summary["counts"]
    return (
        f"<p>Terminal tasks: client {words.count(counts['client'])}, "
        f"ledger {words.count(counts['ledger'])}, "
        f"Prometheus {words.count(counts['prometheus'])}.</p>"
    )


def _search(parts: Parts) -> str:
    probes = parts.summary["search"]["probes"]
    if not probes:
        return '<p class="missing">No search: the rate was given.</p>'
    rows = [
        [
            escape(probe["phase"]),
            words.rate(probe["per_s"]),
            "sustained" if probe["sustained"] else f"missed {escape(', '.join(probe['missed']))}",
        ]
        for probe in probes
    ]
    table = tables.table(["probe", "offered, tasks/s", "answer"], rows, text_columns=1)
    return figures_html(parts, "search") + table


def _steps(parts: Parts) -> str:
    """Each step's figures, and each objective of it with its verdict."""
    summary = parts.summary
    head = [
        *("step", "of the rate found", "offered", "achieved", "in time, of those due"),
        *(f"queue wait {q}" for q in _PERCENTILES),
        *(f"end to end {q}" for q in _PERCENTILES),
        "objectives",
    ]
    points = {point["phase"]: point for point in summary["points"]}
    rows = [
        [
            escape(step["phase"]),
            f"{step['fraction']:.0%}",
            words.rate(step["offered_per_s"]),
            words.rate(step["achieved_per_s"]),
            words.figure(step["achieved_over_offered"]),
            *(_percentile(points[step["phase"]], "queue_wait_s", q) for q in _PERCENTILES),
            *(_percentile(points[step["phase"]], "end_to_end_s", q) for q in _PERCENTILES),
            _kept(step),
        ]
        for step in summary["steps"]
    ]
    return figures_html(parts, "knee") + tables.table(head, rows) + _too_short(summary)


def _percentile(point: dict[str, Any], name: str, q: str) -> str:
    weak = q in point["latency_evidence"][name]["too_short"]
    return words.seconds(point[name][q]) + (" †" if weak else "")


def _kept(step: dict[str, Any]) -> str:
    told = [
        f"{one['name']} {told_limit(one)}: {words.figure(one['observed'])}"
        for one in step["objectives"]
        if one["verdict"] != Verdict.PASS
    ]
    return tables.badge(step["verdict"]) + "".join(f"<br><small>{escape(t)}</small>" for t in told)


def _too_short(summary: Summary) -> str:
    reasons = words.too_short_reasons(summary)
    listed = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    return f'<div class="weak">† {words.TOO_SHORT}<ul>{listed}</ul></div>' if reasons else ""


def _views(parts: Parts) -> str:
    """Both views of the same tasks: from when each was due, and from when it was sent."""
    head = ["step", "offered", *(f"from schedule {q}" for q in _PERCENTILES)]
    rows = [
        [
            escape(point["phase"]),
            words.rate(point["offered_per_s"]),
            *(words.seconds(point["end_to_end_s"][q]) for q in _PERCENTILES),
            *(words.seconds(point["from_send_s"][q]) for q in _PERCENTILES),
            words.seconds(point["send_lag_p99_s"]),
        ]
        for point in parts.summary["points"]
    ]
    more = [*(f"from send {q}" for q in _PERCENTILES), "send lag p99"]
    return figures_html(parts, "views") + tables.table([*head, *more], rows)


def text(summary: Summary) -> list[str]:
    """A line for each point, and a table of the ladder."""
    lines = [
        f"{knee['where']}: the highest step that meets every objective offers "
        f"{words.rate(knee['offered_per_s'])} tasks/s."
        for knee in summary["knees"]
    ]
    lines += [
        "",
        "| step | offered /s | achieved /s | queue wait p50 / p95 / p99 "
        "| end to end p50 / p95 / p99 | from send p99 | objectives |",
        "|---|---|---|---|---|---|---|",
    ]
    verdicts = {step["phase"]: step["verdict"] for step in summary["steps"]}
    for point in summary["points"]:
        cells = [
            f"{point['workload']}, {words.workers(point['workers'])}, {point['fraction']:.0%}",
            words.rate(point["offered_per_s"]),
            words.rate(point["achieved_per_s"]),
            words.percentiles(point, "queue_wait_s"),
            words.percentiles(point, "end_to_end_s"),
            words.seconds(point["from_send_s"]["p99"]),
            verdicts[point["phase"]],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if reasons := words.too_short_reasons(summary):
        lines += ["", f"† {words.TOO_SHORT}", "", *(f"- {r}" for r in reasons)]
    return lines


SATURATION = ReportKind(
    build=build,
    figures=figures,
    sections={"headline": _headline, "search": _search, "steps": _steps, "views": _views},
    text=text,
    captions={
        "knee": Caption(
            "Each mark is a step of the ladder, offered to a platform at rest. Left: what was "
            "finished in the steady window against what was due in it; the line is where both are "
            "the same. Right: percentiles of the steps on a log scale. Hollow marks missed an "
            "objective. Latencies count from when a task was *scheduled*."
        ),
        "search": Caption(
            "Probes in their order. The search strides until one rate is sustained and another is "
            "not, then halves the distance between them, on a log scale, until they are close "
            "enough. A probe is shorter than a step: its answer says where to look, the ladder's "
            "says what is true."
        ),
        "views": Caption(
            "The same tasks twice: from when each was due, and from when it was sent. A load that "
            "waits for answers sees the second only: where the two part, tasks were sent late, and "
            "the second leaves out the time in which they should have been sent."
        ),
    },
)
