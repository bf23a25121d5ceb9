"""How every figure looks, and how it is written so that the same data gives the same bytes.

Figures are made without pyplot: no backend is chosen, no display is looked for, and a notebook's
inline backend has no say. Colours are Okabe and Ito's, which colour-blind readers can tell apart;
none is the only sign of a difference.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE, RED = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00"
INK, FAINT, SHADE = "#222222", "#8a8a8a", "#f0f2f5"
WIDTH_IN = 9.6
DPI = 130

# By position in the sweep: fewest workers first.
WORKER_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED)

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "path.simplify": True,
}


@contextmanager
def applied() -> Iterator[None]:
    """Everything drawn and saved inside looks alike, whatever the caller's own settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def new_figure(height_in: float) -> Figure:
    """An empty figure of the report's width."""
    return Figure(figsize=(WIDTH_IN, height_in), layout="constrained")


def save(figure: Figure, path: Path) -> Path:
    """Write the figure as PNG, with nothing in it but the picture: no date, no library version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    figure.savefig(draft, format="png", dpi=DPI, metadata={"Software": None})
    draft.replace(path)
    return path


def legend_below(figure: Figure, axes: Axes, columns: int) -> None:
    """One legend for the whole figure, under it, with the entries of `axes`."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=columns)
