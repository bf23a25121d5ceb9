"""A report of a run as its sections see it, and what is particular to one kind of experiment."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from nbconvert.filters.markdown_mistune import markdown2html_mistune

from task_lab.check.evidence import Evidence
from task_lab.errors import Unknown
from task_lab.report.captions import CAPTIONS, Caption, caption
from task_lab.report.figures.resources import resources
from task_lab.report.records import RunRecords
from task_lab.report.resources import samples_from
from task_lab.report.written import read_summary

FIGURES = "figures"

Summary = dict[str, Any]
Drawing = Callable[[RunRecords, Summary], Figure]
Section = Callable[["Parts"], str]


@dataclass(frozen=True)
class ReportKind:
    """What is particular to the reports of one kind of experiment.

    build: its own keys of summary.json, from raw records, evidence and what all summaries have;
    `headline`, a list of `name`, `value`, `unit`, `better` ("higher" or "lower"), is among them.
    figures: by file name, in the order they are shown. captions: by what a figure's name begins
    with. sections: by the names that its notebook's cells are tagged with, beside those of every
    report; `headline` is what a reader in a hurry sees. text: the body of summary.md, in lines.
    """

    build: Callable[[RunRecords, Evidence, Summary], Summary]
    figures: Callable[[Summary], Mapping[str, Drawing]]
    sections: Mapping[str, Section]
    text: Callable[[Summary], list[str]]
    captions: Mapping[str, Caption]


class Parts:
    """A run as its sections read it. `summary` raises Unknown when the run has none."""

    def __init__(self, folder: Path, kind: ReportKind) -> None:
        self.folder = folder
        self.kind = kind
        self.records = RunRecords(folder)

    @property
    def run(self) -> dict[str, Any]:
        return self.records.run

    @property
    def summary(self) -> Summary:
        return read_summary(self.folder)


def figures_of(kind: ReportKind, summary: Summary) -> dict[str, Drawing]:
    """Every figure of a run by file name: those of its kind, then what the machine did."""
    drawings = dict(kind.figures(summary))
    if drawings and summary.get("resources"):
        drawings["resources.png"] = _draw_resources
    return drawings


def _draw_resources(records: RunRecords, _summary: Summary) -> Figure:
    return resources(records.phases, samples_from(records.resource_lines))


def figures_html(parts: Parts, kind: str) -> str:
    """Every figure whose name begins so, embedded, with its caption under it."""
    found = []
    for name in figures_of(parts.kind, parts.summary):
        if not _is_of(name, kind):
            continue
        path = parts.folder / FIGURES / name
        if not path.is_file():
            raise Unknown(f"{name} was not drawn")
        workload = name.removesuffix(".png").removeprefix(kind).lstrip("-")
        title = f"<figcaption>Workload <b>{escape(workload)}</b></figcaption>" if workload else ""
        of = f", workload {workload}" if workload else ""
        what = escape(f"Plot of {kind.replace('-', ' ')}{of}; what it shows is said beside it")
        data = b64encode(path.read_bytes()).decode("ascii")
        found.append(
            f'<figure>{title}<img alt="{what}" src="data:image/png;base64,{data}"></figure>'
        )
    known = {**CAPTIONS, **parts.kind.captions}
    if kind in known:
        metric = parts.records.metrics.get(known[kind].metric or "")
        found.append(markdown(caption(known[kind], metric)))
    return "".join(found)


def figure_section(kind: str) -> Section:
    """A section that is the figures of one kind."""
    return lambda parts: figures_html(parts, kind)


def markdown(text: str) -> str:
    """Markdown as HTML."""
    html: str = markdown2html_mistune(text)
    return html


def _is_of(name: str, kind: str) -> bool:
    return name == f"{kind}.png" or name.startswith(f"{kind}-")
