"""report.html: one page that stands on its own: the verdict, what was found, how it was made.

The page takes prose, code and errors from the executed notebook, and every figure and table from
the run's data at the time of rendering: a cell tagged `section:NAME` shows that part of the report.
So the same data gives the same bytes, and changed data a changed page. The page loads nothing: it
has no script, and a content policy that forbids everything but its own pictures and style.
"""

from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from nbconvert.filters.ansi import strip_ansi
from nbconvert.filters.markdown_mistune import markdown2html_mistune
from nbformat import NotebookNode

from task_lab.ipynb import read_notebook, tags
from task_lab.report.outline import with_contents
from task_lab.report.records import RunRecords
from task_lab.report.sections import section_html
from task_lab.report.text import summary_text
from task_lab.report.written import read_summary
from task_lab.store import PROJECT, write_atomically

SECTION_TAG = "section:"
# Where a notebook tells how its run is made, and where what was found begins.
_MAKING, _FOUND = "## Parameters", "## Verdict"
# What papermill adds: its own error banners, and values that the environment table names too.
PAPERMILL_TAGS = {"papermill-error-cell-tag", "injected-parameters"}
_HERE = Path(__file__).parent


def render_html(folder: Path) -> Path:
    """Write report.html from the run's report.ipynb, or from its source where there is none yet.

    Also rewrites summary.md, whose verdict may be newer than the summary. Raises UsageError when
    the folder is not a run's.
    """
    run = RunRecords(folder).run
    has_summary = (folder / "summary.json").is_file()
    if has_summary:
        write_atomically(folder / "summary.md", summary_text(run, read_summary(folder)))
    template = Environment(autoescape=False, undefined=StrictUndefined).from_string(  # noqa: S701
        (_HERE / "page.html.j2").read_text("utf-8")
    )
    page = template.render(
        run=_escaped(run),
        name=escape(folder.name),
        tone={"PASS": "pass", "FAIL": "fail"}.get(run["verdict"], "other"),
        css=(_HERE / "page.css").read_text("utf-8"),
        verdict=section_html(folder, "verdict"),
        headline=section_html(folder, "headline") if has_summary else "",
        blocks=[block for cell in _cells(folder, run) for block in _blocks(cell, folder)],
    )
    target = folder / "report.html"
    write_atomically(target, with_contents(page))
    return target


def _cells(folder: Path, run: dict[str, Any]) -> list[NotebookNode]:
    """The cells of the executed notebook; of its source before, and where it ran elsewhere."""
    source = PROJECT / "notebooks" / str(run["params"]["resolved"].get("notebook"))
    for path in (folder / "report.ipynb", source):
        if path.is_file():
            cells = list(read_notebook(path).cells)
            return _results_first(cells) if run.get("ended") == "completed" else cells
    return []


def _results_first(cells: list[NotebookNode]) -> list[NotebookNode]:
    """The cells with those on how the run was made at the end; as they are where there are none."""
    headings = [cell.source.partition("\n")[0] for cell in cells]
    if not {_MAKING, _FOUND} <= set(headings):
        return cells
    begin, end = headings.index(_MAKING), headings.index(_FOUND)
    return cells[:begin] + cells[end:] + cells[begin:end] if begin < end else cells


def _blocks(cell: NotebookNode, folder: Path) -> list[str]:
    """A cell as HTML: prose; or code folded away, then its part of the report or its output."""
    if tags(cell) & PAPERMILL_TAGS or not cell.source.strip():
        return []
    if cell.cell_type != "code":
        return [markdown2html_mistune(cell.source)]
    blocks = [
        f"<details><summary>code</summary><pre><code>{escape(cell.source)}</code></pre></details>"
    ]
    sections = [tag.removeprefix(SECTION_TAG) for tag in tags(cell) if tag.startswith(SECTION_TAG)]
    blocks += [section_html(folder, name) for name in sections]
    blocks += [_error(output) for output in cell.outputs if output.output_type == "error"]
    return blocks


def _error(output: NotebookNode) -> str:
    trace: str = strip_ansi("\n".join(output.traceback))  # type: ignore[no-untyped-call]
    text = trace or f"{output.ename}: {output.evalue}"
    return f'<pre class="error">{escape(text)}</pre>'


def _escaped(value: Any) -> Any:
    """The same record with every text in it made safe for HTML."""
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    return escape(value) if isinstance(value, str) else value
