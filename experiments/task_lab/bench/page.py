"""report.html of a bench: one page that stands on its own, for somebody who is new to it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from task_lab import report
from task_lab.bench.figures import FOLDER
from task_lab.bench.summary import others_text, spread_text, target_text, value_text
from task_lab.report import tables
from task_lab.report.outline import with_contents
from task_lab.store import write_atomically

_HERE = Path(__file__).parent
_CSS = Path(report.__file__).with_name("page.css")
_SENTENCES = {
    "PASS": "Every row meets its target, and every accepted task succeeded.",
    "FAIL": "At least one row misses its target, or was not measured.",
    "UNKNOWN": "The bench did not come to its end; do not quote the figures below.",
    "INTERRUPTED": "The bench was stopped before it was complete.",
}
_FIGURES = {
    "drains.png": (
        "Emptying a full queue",
        "Bars are medians. The bare loops do the same durable work as the platform without being"
        " one: no HTTP, no validation, no retries, no metrics. PgQueuer keeps its queue in the same"
        " PostgreSQL and no results.",
    ),
    "cpu.png": (
        "What each part costs",
        "Processor time of the stack's processes, from the kernel's own accounts. The generator is"
        " the load itself, and has nothing to do while a full queue is emptied.",
    ),
    "latency.png": (
        "Latency",
        "Each curve tells which share of the tasks took longer than a time; it should pass to the"
        " left of its targets. On the idle platform each task is sent after the one before it has"
        " ended.",
    ),
}


def render(
    folder: Path, run: Mapping[str, Any], summary: Mapping[str, Any], figures: Sequence[str]
) -> Path:
    """Write report.html; the same data gives the same bytes."""
    template = Environment(autoescape=False, undefined=StrictUndefined).from_string(  # noqa: S701
        (_HERE / "page.html.j2").read_text("utf-8")
    )
    page = template.render(
        run=_escaped(dict(run)),
        name=escape(folder.name),
        tone={"PASS": "pass", "FAIL": "fail"}.get(run["verdict"], "other"),
        badge=tables.badge(run["verdict"]),
        sentence=_SENTENCES.get(run["verdict"], _SENTENCES["UNKNOWN"]),
        css=_CSS.read_text("utf-8"),
        rows=_rows(summary["rows"]),
        figures=[_figure(folder, name, summary) for name in figures],
        costs=_costs(summary["largest_costs"]),
        graphs=sorted(escape(f"flames/{path.name}") for path in (folder / "flames").glob("*.svg")),
        others=_others(summary["figures"]),
        tasks_checked=f"{summary['tasks_checked']:,}",
        environment=_environment(run, summary),
    )
    target = folder / "report.html"
    write_atomically(target, with_contents(page))
    return target


def _rows(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [
        [
            f"<code>{escape(row['name'])}</code>",
            f'<div class="meaning">{escape(row["meaning"])}{_note(row["note"])}</div>',
            tables.badge("PASS" if row["pass"] else "FAIL"),
            f"<b>{escape(value_text(row))}</b>{_spread(row)}",
            escape(target_text(row)),
        ]
        for row in rows
    ]
    head = ["row", "what it says", "", "value", "target"]
    return tables.table(head, cells, text_columns=3) if cells else ""


def _note(note: str) -> str:
    return f"<br><small>{escape(note)}</small>" if note else ""


def _spread(row: Mapping[str, Any]) -> str:
    spread = spread_text(row)
    return f"<br><small>{escape(spread)}</small>" if spread else ""


def _figure(folder: Path, name: str, summary: Mapping[str, Any]) -> dict[str, str]:
    title, caption = _FIGURES[name]
    return {
        "title": title,
        "caption": caption,
        "data": b64encode((folder / FOLDER / name).read_bytes()).decode(),
        "beside": _profile(summary["profile"]) if name == "cpu.png" else "",
    }


def _profile(profile: Mapping[str, Mapping[str, float]]) -> str:
    """CPU seconds for 1,000 tasks by part, a column for each profile that was measured."""
    known = {name: parts for name, parts in profile.items() if parts}
    titles = {"drain": "full queue, 1 worker", "end_to_end": "submission to result"}
    parts = list(dict.fromkeys(part for costs in known.values() for part in costs))
    rows = [[part, *(f"{known[name].get(part, 0):.3f}" for name in known)] for part in parts]
    totals = ["<b>all</b>", *(f"<b>{sum(known[name].values()):.3f}</b>" for name in known)]
    head = ["processor seconds for 1,000 tasks", *(titles[name] for name in known)]
    return tables.table(head, [*rows, totals])


def _costs(costs: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    rows = [
        [
            escape(process),
            f"<code>{escape(one['function'])}</code>",
            f"<code>{escape(one['place'])}</code>",
            f"{one['share']:.1%}",
        ]
        for process, found in costs.items()
        for one in found
    ]
    return tables.table(["process", "function", "", "share"], rows, text_columns=3) if rows else ""


def _others(figures: Sequence[Mapping[str, Any]]) -> str:
    rows = [[f"<code>{escape(f['name'])}</code>", escape(value_text(f))] for f in figures]
    return tables.table(["figure", "value"], rows) if rows else ""


def _environment(run: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    machine, plan = run["machine"], run["params"]["resolved"]
    return tables.facts(
        [
            ("processor", f"{machine['cpu']}, {machine['cores']} cores"),
            ("memory", f"{machine['memory_bytes'] / 2**30:.0f} GiB"),
            ("kernel", str(machine["kernel"])),
            ("busy before the start", f"{run['busy_before']:.0%}"),
            ("cores that others used meanwhile", others_text(summary) or "not known"),
            ("machine fingerprint", str(machine["fingerprint"])),
            *((name, str(version)) for name, version in run["versions"].items()),
            ("cycles, scale", f"{plan['cycles']}, {plan['scale']:g}"),
            ("not asked for", ", ".join(summary["left_out"]) or "nothing"),
        ]
    )


def _escaped(value: Any) -> Any:
    """The same record with every text in it made safe for HTML."""
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    return escape(value) if isinstance(value, str) else value
