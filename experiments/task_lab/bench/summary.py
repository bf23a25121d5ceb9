"""What a bench says, as a record and as text: rows, figures, costs, the verdict. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from task_lab.bench import findings
from task_lab.bench.measurements import Checked, Cost, Disturbed, Line, Problem
from task_lab.bench.rows import Group, Row, Sense, judge
from task_lab.check.verdict import Verdict
from task_lab.schema import SCHEMA


def summary_of(lines: Sequence[Line], groups: Sequence[Group]) -> dict[str, Any]:
    """The summary of the groups asked for, from everything measured; see docs/reference."""
    rows = judge(groups, findings.find(lines), findings.missing_reasons(lines))
    figures = findings.figures_beside(lines, [row.target.name for row in rows])
    costs = [line for line in lines if isinstance(line, Cost)]
    return {
        "schema": SCHEMA,
        "experiment": "bench",
        "rows": [_row(row) for row in rows],
        "figures": [{"name": f.name, "value": f.value, "unit": f.unit} for f in figures],
        "profile": {name: findings.profile(lines, name) for name in findings.PROFILES},
        "largest_costs": {
            process: [
                {"function": c.function, "place": c.place, "share": c.share}
                for c in costs
                if c.process == process
            ]
            for process in dict.fromkeys(cost.process for cost in costs)
        },
        "tasks_checked": sum(line.tasks for line in lines if isinstance(line, Checked)),
        "problems": [
            {"group": line.group, "reason": line.reason, "wrong": line.is_wrong}
            for line in lines
            if isinstance(line, Problem)
        ],
        "cores_of_others": {
            line.stack: line.cores for line in lines if isinstance(line, Disturbed)
        },
        "left_out": [group for group in Group if group not in groups],
    }


def verdict_of(summary: Mapping[str, Any]) -> tuple[Verdict, str]:
    """The verdict, and its reason where it is not PASS.

    A platform that did less than it promised fails whatever its speed.
    """
    wrong = [p for p in summary["problems"] if p["wrong"]]
    if wrong:
        told = "; ".join(dict.fromkeys(f"{p['group']}: {p['reason']}" for p in wrong))
        return Verdict.FAIL, f"nothing counts as fast that promises less: {told}"
    failed = [row["name"] for row in summary["rows"] if not row["pass"]]
    if failed:
        return Verdict.FAIL, f"{len(failed)} of {len(summary['rows'])} rows: {', '.join(failed)}"
    if summary["problems"]:
        return Verdict.UNKNOWN, "; ".join(p["reason"] for p in summary["problems"])
    return Verdict.PASS, ""


def target_text(row: Mapping[str, Any]) -> str:
    """`≥ 15,000`, `≤ 6`, `1 ± 0.05`."""
    sign = {Sense.AT_LEAST: "≥", Sense.AT_MOST: "≤", Sense.AROUND_ONE: "1 ±"}[row["sense"]]
    return f"{sign} {number_text(row['target'])}"


def number_text(value: float | None) -> str:
    """A value with as many digits as it carries: `16,012`, `2.87`, `0.0512`; `n/a` for none."""
    if value is None:
        return "n/a"
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.1f}".removesuffix(".0")


def spread_text(row: Mapping[str, Any]) -> str:
    """`15,801 to 16,377`; empty where there was one measurement or none."""
    if row["low"] is None or row["high"] is None or row["low"] == row["high"]:
        return ""
    return f"{number_text(row['low'])} to {number_text(row['high'])}"


def value_text(row: Mapping[str, Any]) -> str:
    """The value with its unit: `16,012 tasks/s`, `2.87`; `n/a` where there is none."""
    unit = "" if row["value"] is None else unit_text(row["unit"])
    return number_text(row["value"]) + unit


def unit_text(unit: str) -> str:
    """The unit behind a number; nothing behind a ratio."""
    return "" if unit == "ratio" else f" {unit}"


def table_text(summary: Mapping[str, Any]) -> str:
    """The rows in columns, for a terminal; empty where there are none."""
    head = ("row", "value", "target", "", "single measurements", "note")
    body = [
        (
            row["name"],
            value_text(row),
            target_text(row),
            "pass" if row["pass"] else "FAIL",
            spread_text(row),
            row["note"],
        )
        for row in summary["rows"]
    ]
    if not body:
        return ""
    widths = [max(len(line[i]) for line in (head, *body)) for i in range(len(head))]
    right = (False, True, False, False, False, False)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in (head, *body)
    )


def summary_text(run: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """summary.md: the verdict, the rows, the figures beside them, what each part costs."""
    lines = [f"# bench: {run['verdict']}", ""]
    if run.get("reason"):
        lines += [run["reason"], ""]
    if summary["rows"]:
        lines += [
            "| row | value | target | | single measurements | note |",
            "|---|---|---|---|---|---|",
        ]
    for row in summary["rows"]:
        cells = [
            f"`{row['name']}`",
            value_text(row),
            target_text(row),
            "pass" if row["pass"] else "**FAIL**",
            spread_text(row),
            row["note"].replace("|", "\\|").replace("\n", " "),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| figure | value |", "|---|---|"]
    lines += [f"| `{f['name']}` | {value_text(f)} |" for f in summary["figures"]]
    lines += ["", f"{summary['tasks_checked']:,} tasks were accepted, and all of them succeeded."]
    if summary["cores_of_others"]:
        lines += ["", f"Cores that others used meanwhile: {others_text(summary)}."]
    if summary["left_out"]:
        lines.append(f"Not asked for: {', '.join(summary['left_out'])}.")
    return "\n".join(lines) + "\n"


def others_text(summary: Mapping[str, Any]) -> str:
    """`drain 0.02, classic 0.41`: how far each stack had the machine to itself."""
    found = summary["cores_of_others"].items()
    return ", ".join(f"{stack} {cores:.2f}" for stack, cores in found)


def _row(row: Row) -> dict[str, Any]:
    return {
        "name": row.target.name,
        "value": row.value,
        "target": row.target.limit,
        "unit": row.target.unit,
        "pass": row.is_pass,
        "sense": row.target.sense,
        "low": row.low,
        "high": row.high,
        "note": row.note,
        "meaning": row.target.meaning,
        "group": row.target.group,
    }
