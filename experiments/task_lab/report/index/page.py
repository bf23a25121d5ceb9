"""index.html: the trends and the table of all runs, in one file that needs neither net nor script.

The script only sorts and filters what is there already. The content policy names it and the style
by their hashes and forbids everything else, and every text that comes from a run is escaped.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from task_lab.report.index.rows import Row, read_rows
from task_lab.report.index.trends import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, trends
from task_lab.report.tables import SIGNS, badge
from task_lab.store import write_atomically

_HERE = Path(__file__).parent
_PAGE_CSS = _HERE.parent / "page.css"


@dataclass(frozen=True)
class _Column:
    """A column of the table. descending: so at the first click. numbers: sorted by value."""

    key: str
    title: str
    descending: bool = False
    numbers: bool = False


_COLUMNS = (
    _Column("run", "run"),
    _Column("experiment", "experiment"),
    _Column("verdict", "verdict", numbers=True),
    _Column("started", "started, UTC", descending=True),
    _Column("commit", "commit"),
    _Column("machine", "machine"),
    _Column("found", "what it found", descending=True, numbers=True),
)


def rebuild_index(results: Path) -> Path:
    """Write `index.html` in `results` from every run below it, newest first.

    A run whose run.json cannot be read is listed as unreadable rather than left out.
    """
    target = results / "index.html"
    write_atomically(target, index_html(read_rows(results)))
    return target


def index_html(rows: Sequence[Row]) -> str:
    """The page of these runs. The same runs give the same bytes."""
    css = "".join(path.read_text("utf-8") for path in (_PAGE_CSS, _HERE / "index.css"))
    script = (_HERE / "index.js").read_text("utf-8")
    return _template().render(
        rows=rows,
        groups=trends(rows),
        filters=_filters(rows),
        columns=_COLUMNS,
        badge=lambda verdict: Markup(badge(verdict)),  # noqa: S704 - escapes its argument
        rank=list(SIGNS).index,
        tones={"PASS": "pass", "FAIL": "fail"},
        box={"left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM},
        size=(WIDTH, HEIGHT),
        css=Markup(css),  # noqa: S704 - our own
        script=Markup(script),  # noqa: S704 - our own
        policy=_policy(css, script),
    )


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string((_HERE / "index.html.j2").read_text("utf-8"))


def _policy(css: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src '{_hash(css)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _filters(rows: Sequence[Row]) -> dict[str, dict[str, str]]:
    """By what the page can be filtered: the values there are, and what to call each."""
    machines: dict[str, str] = {}
    for row in rows:
        if row.machine and not machines.get(row.machine):
            machines[row.machine] = row.hardware
    verdicts = {row.verdict for row in rows}
    return {
        "experiment": {name: name for name in sorted({row.experiment for row in rows})},
        "verdict": {name: name for name in SIGNS if name in verdicts},
        "machine": {name: f"{name}, {of}" if of else name for name, of in sorted(machines.items())},
    }
