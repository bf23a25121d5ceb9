"""The figures of a run: which there are, and writing them all."""

from pathlib import Path
from typing import Any

from task_lab.report.figures import style
from task_lab.report.kinds import KINDS
from task_lab.report.parts import FIGURES, figures_of
from task_lab.report.records import RunRecords
from task_lab.report.written import read_summary


def expected_figures(summary: dict[str, Any]) -> list[str]:
    """File names of the figures a run with this summary has, in the order they are shown."""
    return list(figures_of(KINDS[summary["kind"]], summary))


def draw(folder: Path) -> list[Path]:
    """Draw every figure of the run into its `figures/`; the same data gives the same bytes.

    Raises Unknown when the run has no summary.
    """
    records, summary = RunRecords(folder), read_summary(folder)
    drawings = figures_of(KINDS[summary["kind"]], summary)
    with style.applied():
        return [
            style.save(drawing(records, summary), folder / FIGURES / name)
            for name, drawing in drawings.items()
        ]
