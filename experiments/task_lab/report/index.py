"""The index page of all runs, rebuilt from the runs themselves.

Nothing is kept in it: two runs that end together both rebuild it from disk, and neither is lost.
"""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from task_lab.report import tables, words
from task_lab.store import write_atomically

_HERE = Path(__file__).parent


def rebuild_index(results: Path) -> Path:
    """Write `index.html` in `results` from every run below it, newest first in each experiment.

    A run whose run.json cannot be read is listed as unreadable rather than left out.
    """
    experiments: dict[str, list[list[str]]] = {}
    for folder in sorted(results.glob("*/*/run.json"), reverse=True):
        experiments.setdefault(folder.parents[1].name, []).append(_row(folder.parent, results))
    head = ["run", "verdict", "started", "commit", "machine", "what it found"]
    blocks = [
        f"<h2>{escape(name)}</h2>\n{tables.table(head, rows, text_columns=6)}"
        for name, rows in sorted(experiments.items())
    ]
    template = Environment(autoescape=False, undefined=StrictUndefined).from_string(  # noqa: S701
        (_HERE / "index.html.j2").read_text("utf-8")
    )
    target = results / "index.html"
    css = (_HERE / "page.css").read_text("utf-8")
    write_atomically(target, template.render(css=css, blocks=blocks))
    return target


def _row(folder: Path, results: Path) -> list[str]:
    name = escape(folder.name)
    try:
        run = json.loads((folder / "run.json").read_text("utf-8"))
        cells = [
            tables.badge(run["verdict"]),
            escape(str(run["started_at"])[:19].replace("T", " ")),
            escape(str(run["git"]["sha"] or "")[:7] + (" *" if run["git"]["dirty"] else "")),
            escape(run["machine"]["fingerprint"]),
            _rates(folder),
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [name, tables.badge("UNKNOWN"), f"unreadable: {escape(repr(error))}", "", "", ""]
    page = folder / "report.html"
    link = f'<a href="{escape(str(page.relative_to(results)))}">{name}</a>'
    return [link if page.is_file() else name, *cells]


def _rates(folder: Path) -> str:
    """`sum 1: 2,842, sum 3: 2,556`; `n/a` for a run without a summary.

    Of a bench, which measures more than rates, how many of its targets were met.
    """
    path = folder / "summary.json"
    if not path.is_file():
        return words.NOTHING
    summary: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if "rows" in summary:
        return escape(_targets_met(summary["rows"]))
    return escape(
        ", ".join(
            f"{p['workload']} {p['workers']}: {words.rate(p['end_to_end_per_s'])}"
            for p in summary["points"]
        )
    )


def _targets_met(rows: Sequence[Mapping[str, Any]]) -> str:
    """`20 of 20 targets met, end to end: 2,345`; without the rate where it was not measured."""
    met = f"{sum(bool(row['pass']) for row in rows)} of {len(rows)} targets met"
    found = (row["value"] for row in rows if row["name"] == "end_to_end_per_s")
    value = next(found, None)
    return met if value is None else f"{met}, end to end: {words.rate(value)}"
