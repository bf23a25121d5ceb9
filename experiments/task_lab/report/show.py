"""What a notebook cell calls to show a part of the report of its run."""

from pathlib import Path

from IPython.display import HTML

from task_lab.report.sections import section_html


def show(folder: Path, name: str) -> HTML:
    """The named part of the run's report, for display. Raises UsageError for an unknown name."""
    return HTML(section_html(folder, name))  # type: ignore[no-untyped-call]
