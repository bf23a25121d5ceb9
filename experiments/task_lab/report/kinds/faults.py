"""Reports of faults: what each one cost, how soon it was noticed and made good, whom it hit."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import Any

from matplotlib.figure import Figure

from task_lab.check.evidence import Evidence, history_frame
from task_lab.check.executions import ENDINGS, count_endings
from task_lab.check.kept_history import judge_kept
from task_lab.errors import Unknown
from task_lab.report import tables, words
from task_lab.report.captions import Caption
from task_lab.report.disturbances import Load, measure_faults
from task_lab.report.figures import faults as drawn
from task_lab.report.parts import Drawing, Parts, ReportKind, Summary, figure_section, figures_html
from task_lab.report.records import Phase, RunRecords
from task_lab.report.signs import Telemetry
from task_lab.store import RunFolder

_NOT_ALONE = "† Began before an earlier fault was made good: these figures are not its own alone."
_DISTURBED = "‡ The next fault struck before that."
_NEVER = "not by the load's end"


def build(records: RunRecords, evidence: Evidence, summary: Summary) -> Summary:
    """`faults`, a record each; `history`, the judge's counts; `endings`, of the whole run."""
    telemetry = Telemetry(records.metrics, evidence.witness, records.events)
    faults = [
        {"phase": phase.name, "workload": phase.workload, **fault}
        for phase in _loads(records)
        for fault in measure_faults(
            phase,
            evidence.history[evidence.history["phase"] == phase.name],
            evidence.tasks[evidence.tasks["phase"] == phase.name],
            telemetry,
        )
    ]
    witness = evidence.witness
    return {
        "faults": faults,
        "history": judge_kept(evidence).counts if witness else None,
        "endings": count_endings(witness) if witness else None,
        "headline": _headline(faults, summary),
    }


def _headline(faults: list[dict[str, Any]], summary: Summary) -> list[dict[str, Any]]:
    recovered = [one["recovered_s"] for one in faults if one["recovered_s"] is not None]
    return [
        {
            "name": "longest recovery",
            "value": max(recovered, default=None),
            "unit": "s",
            "better": "lower",
        },
        *(
            {
                "name": f"end to end p99, {point['workload']}",
                "value": point["end_to_end_s"]["p99"],
                "unit": "s",
                "better": "lower",
            }
            for point in summary["points"]
        ),
    ]


def figures(summary: Summary) -> dict[str, Drawing]:
    """Throughput, latency and backlog of each workload's load, with the faults on them."""
    workloads = list(dict.fromkeys(point["workload"] for point in summary["points"]))
    return {
        f"{kind}-{workload}.png": partial(_draw, kind, workload)
        for kind in ("throughput", "latency", "backlog")
        for workload in workloads
    }


def _draw(kind: str, workload: str, records: RunRecords, summary: Summary) -> Figure:
    phase = next(one for one in _loads(records) if one.workload == workload)
    history = history_frame(RunFolder(records.folder))
    load = Load.of(
        history[history["phase"] == phase.name],
        records.tasks[records.tasks["phase"] == phase.name],
    )
    faults = [one for one in summary["faults"] if one["phase"] == phase.name]
    if kind == "throughput":
        return drawn.throughput(load, phase.offered_per_s or 0.0, faults)
    return drawn.latency(load, faults) if kind == "latency" else drawn.backlog(load, faults)


def _loads(records: RunRecords) -> list[Phase]:
    return [phase for phase in records.phases if phase.kind == "load"]


def _faults(parts: Parts) -> str:
    """The table of faults: when, the dip, the notice, the recovery."""
    faults = _known(parts.summary)
    table = tables.table(_COLUMNS, [_row(one) for one in faults], text_columns=2)
    return table + "".join(f"<p>{note}</p>" for note in _notes(faults))


def _notes(faults: list[dict[str, Any]]) -> list[str]:
    """What the marks in the table mean, of those that are in it."""
    not_alone = [_NOT_ALONE] if not all(one["alone"] for one in faults) else []
    marked = [one for one in faults if one["recovered_s"] and not one["undisturbed"]]
    return [*not_alone, *([_DISTURBED] if marked else [])]


def _known(summary: Summary) -> list[dict[str, Any]]:
    faults: list[dict[str, Any]] = summary["faults"]
    if not faults:
        raise Unknown("no fault was injected")
    return faults


_COLUMNS = (
    "",
    "fault",
    "at",
    "down for",
    "before /s",
    "lowest /s",
    "dip",
    "noticed",
    "recovered",
    "slowest task",
)


def _row(fault: dict[str, Any]) -> list[str]:
    noticed = fault["noticed"]
    return [
        str(fault["number"]),
        words.fault(fault)
        + ("" if fault["bit"] else " (did not bite)")
        + ("" if fault["alone"] else " †"),
        words.seconds(fault["at_s"]),
        words.seconds(fault["down_s"]),
        words.rate(fault["baseline_per_s"]),
        words.rate(fault["lowest_per_s"]),
        words.NOTHING if fault["dip"] is None else f"{fault['dip']:.0%}",
        words.seconds(noticed["after_s"]) if noticed else "no sign",
        recovered(fault),
        words.seconds(fault["slowest_s"]),
    ]


def recovered(fault: dict[str, Any]) -> str:
    """After how long the backlog was back, in words."""
    if fault["backlog_before"] is None:
        return words.NOTHING
    if fault["recovered_s"] is None:
        return _NEVER
    mark = "" if fault["undisturbed"] else " ‡"
    return words.seconds(fault["recovered_s"]) + mark if fault["recovered_s"] else "never behind"


def _signs(parts: Parts) -> str:
    """Every sign of each fault, the first one first."""
    rows = [
        [
            f"{fault['number']} {words.fault(fault)}",
            escape(sign["sign"]),
            words.seconds(sign["after_s"]),
        ]
        for fault in _known(parts.summary)
        for sign in fault["signs"]
    ]
    return tables.table(("fault", "sign", "after"), rows, text_columns=2)


def _endings(parts: Parts) -> str:
    """What became of tasks in the span of each fault."""
    summary = parts.summary
    rows = [
        [
            f"{fault['number']} {words.fault(fault)}",
            *(words.count(fault[name]) for name in (*ENDINGS, "unanswered", "refused")),
        ]
        for fault in _known(summary)
    ]
    columns = ("fault", *(name.replace("_", " ") for name in ENDINGS), "unanswered", "refused")
    return tables.table(columns, rows)


def _history(parts: Parts) -> str:
    """The history's counts, as its judge made them."""
    counts = parts.summary["history"]
    if counts is None:
        raise Unknown("the run kept no witness of its tasks' lives")
    return tables.facts([(name.replace("_", " "), words.count(n)) for name, n in counts.items()])


def _means(parts: Parts) -> str:
    """By which means each fault was injected."""
    return tables.facts(
        [(f"{one['number']} {words.fault(one)}", one["means"]) for one in _known(parts.summary)]
    )


def _headline_html(parts: Parts) -> str:
    """The worst of each, in a sentence or two."""
    return "".join(f"<p>{escape(line)}</p>" for line in told(parts.summary))


def told(summary: Summary) -> list[str]:
    """What a reader in a hurry needs: the faults, the worst dip and recovery, what was lost."""
    faults, history = summary["faults"], summary["history"]
    if not faults:
        return ["No fault was injected."]
    lines = [
        f"{len(faults)} faults at {words.rate(summary['points'][0]['offered_per_s'])} tasks/s: "
        f"{sum(one['bit'] for one in faults)} bit."
    ]
    slow = [one for one in faults if one["recovered_s"] is not None]
    late = [
        one for one in faults if one["recovered_s"] is None and one["backlog_before"] is not None
    ]
    if late:
        names = words.listed([words.fault(one) for one in late])
        lines.append(f"Backlog not back before the load's end: {names}.")
    elif slow:
        worst = max(slow, key=lambda one: float(one["recovered_s"]))
        lines.append(f"Longest recovery: {recovered(worst)}, after {words.fault(worst)}.")
    if history:
        lines.append(
            f"Of {history['ok'] + history['failed'] + history['unknown']:,} submissions: lost "
            f"{history['lost']}, unexpected {history['unexpected']}, duplicated "
            f"{history['duplicated']}, recovered {history['recovered']} of "
            f"{history['unknown']} unknown."
        )
    return lines


def text(summary: Summary) -> list[str]:
    """The faults as a Markdown table, and the history's counts."""
    rows = [f"| {' | '.join(_row(one))} |" for one in summary["faults"]]
    head = [f"| {' | '.join(_COLUMNS)} |", "|" + "---|" * len(_COLUMNS)]
    notes = [line for note in _notes(summary["faults"]) for line in ("", note)]
    lines = told(summary)
    return [*lines, "", *head, *rows, *notes] if rows else lines


def _latency(parts: Parts) -> str:
    return figures_html(parts, "latency") + tables.latencies(parts.summary)


FAULTS = ReportKind(
    build=build,
    figures=figures,
    sections={
        "headline": _headline_html,
        "faults": _faults,
        "signs": _signs,
        "endings": _endings,
        "history": _history,
        "means": _means,
        "backlog": figure_section("backlog"),
        "latency": _latency,
    },
    text=text,
    captions={
        "throughput": Caption(
            "Finished tasks by the ledger's own timestamps. A dip that is followed by a peak is "
            "work put off, not work lost."
        ),
        "latency": Caption(
            "Each dot is a task, at the time it was *due*, not when it could be sent: a platform "
            "that stood still shows in every task that was due meanwhile. The slanted edges are "
            "such tasks: the later they were due, the less they waited."
        ),
        "backlog": Caption(
            "Tasks due by the schedule and not finished, so that what could not be submitted is "
            "in it too. Back at its level: the mean of a second is at most half a task above the "
            "highest such mean of the five seconds before the fault."
        ),
    },
)
