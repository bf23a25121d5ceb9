"""The sections a report is made of, by name: what a notebook shows and what the page repeats.

Each is an HTML fragment made from the run folder when it is asked for, so a section never shows
older data than the folder holds. One whose data is missing says so in its place.
"""

from html import escape
from pathlib import Path

from task_lab.errors import Unknown, UsageError, did_you_mean
from task_lab.report.common import SECTIONS
from task_lab.report.kinds import kind_of
from task_lab.report.parts import Parts, ReportKind, Section
from task_lab.store import RunFolder


def sections_of(kind: ReportKind) -> dict[str, Section]:
    """Every section that reports of a kind have, by name."""
    return {**SECTIONS, **kind.sections}


def section_html(folder: Path, name: str) -> str:
    """The named section of the run's report. Raises UsageError for a name that is none."""
    kind = kind_of(RunFolder(folder).run())
    sections = sections_of(kind)
    if name not in sections:
        raise UsageError(f"a report has no section {name!r}{did_you_mean(name, sections)}")
    try:
        return sections[name](Parts(folder, kind))
    except Unknown as missing:
        return f'<p class="missing">Not available: {escape(str(missing))}</p>'
