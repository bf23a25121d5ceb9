"""How each figure went from run to run: one small plot per figure, of one experiment and machine.

Pure: geometry and texts; the page draws them. Figures of different machines do not compare, so
nothing here crosses from one fingerprint to another. A line joins runs that passed and were asked
for the same; all others are marks beside it. Runs stand at even distances, in order of time.

What most runs of a group were asked for is its usual kind; a quick run with few tasks is not, and
its figures say nothing about those of the others.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from task_lab.report.index.found import Figure, value_text, with_unit
from task_lab.report.index.rows import Row

# More would be too close to point at; older runs are in the table.
SHOWN = 80
WIDTH, HEIGHT = 300.0, 150.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 10.0, 34.0
# Where runs without a value stand, below the lowest value.
LANE = HEIGHT - BOTTOM + 9
# A range of less than this share of the largest value is widened, or noise would look like news.
LEAST_RANGE = 0.2

Kind = tuple[str, str]


@dataclass(frozen=True)
class Mark:
    """One run in a plot; below the others where it has no value for the figure."""

    row: Row
    x: float
    y: float
    text: str
    usual: bool


@dataclass(frozen=True)
class Line:
    """Joins the passed runs of one kind. points: as SVG wants them."""

    points: str
    usual: bool


@dataclass(frozen=True)
class Plot:
    """One figure over the latest runs, oldest first.

    latest: of the newest run of the usual kind that passed and has a value; where none has, the
    newest run's of any kind, whose verdict then is to be told with it.
    marks: none where there is one run only, which shows no trend. ticks: (y, label).
    """

    title: str
    unit: str
    better: str
    latest: str
    latest_row: Row
    lines: tuple[Line, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    dates: tuple[str, str]
    runs: int


@dataclass(frozen=True)
class Group:
    """The plots of one experiment on one machine."""

    experiment: str
    machine: str
    hardware: str
    runs: int
    plots: tuple[Plot, ...]


def trends(rows: Iterable[Row]) -> list[Group]:
    """The trends of every experiment and machine that found figures. rows: newest first."""
    together: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.machine:
            together.setdefault((row.experiment, row.machine), []).append(row)
    groups = [
        Group(
            experiment,
            machine,
            next((row.hardware for row in same if row.hardware), ""),
            len(same),
            tuple(_plot(key, same, _usual(same)) for key in _keys(same)),
        )
        for (experiment, machine), same in together.items()
    ]
    return sorted((g for g in groups if g.plots), key=lambda group: group.experiment)


def _usual(rows: Sequence[Row]) -> Kind:
    """What most of them were asked for, or most of those that passed; the newer on a draw."""
    passed = [row for row in rows if row.verdict == "PASS"]
    return Counter(row.kind for row in passed or rows).most_common(1)[0][0]


def _keys(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Names and units of all figures, those of the newest run that passed first."""
    usual = _usual(rows)
    passed_first = sorted(rows, key=lambda row: (row.kind != usual, row.verdict != "PASS"))
    found = [(f.name, f.unit) for row in passed_first for f in row.figures if f.value is not None]
    return list(dict.fromkeys(found))


def _plot(key: tuple[str, str], rows: Sequence[Row], usual: Kind) -> Plot:
    name, unit = key
    having = {row.id: figure for row in rows if (figure := _figure(row, key))}
    values = {run: f.value for run, f in having.items() if f.value is not None}
    # A run that came to no figure at all is still one that was tried.
    chosen = [row for row in rows if row.id in values or _came_to_nothing(row)]
    shown = list(reversed(chosen[:SHOWN]))
    scale = _Scale([values[row.id] for row in shown if row.id in values])
    marks = [
        Mark(
            row,
            _x(i, len(shown)),
            scale.y(values[row.id]) if row.id in values else LANE,
            _text(row, values.get(row.id), unit),
            row.kind == usual,
        )
        for i, row in enumerate(shown)
    ]
    having_one = [row for row in rows if row.id in values]
    passed = [row for row in having_one if row.verdict == "PASS"]
    latest = next((row for row in passed if row.kind == usual), having_one[0])
    return Plot(
        title=name,
        unit=unit,
        better=next(iter(having.values())).better,
        latest=with_unit(values[latest.id], unit),
        latest_row=latest,
        lines=_lines([m for m in marks if m.row.verdict == "PASS" and m.row.id in values]),
        marks=tuple(marks) if len(marks) > 1 else (),
        ticks=tuple((scale.y(value), value_text(value, unit)) for value in scale.ticks),
        dates=(_date(shown[0]), _date(shown[-1])),
        runs=len(chosen),
    )


class _Scale:
    """Values to heights. The range starts at zero where the values come near it."""

    def __init__(self, values: Sequence[float]) -> None:
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        missing = LEAST_RANGE * max(abs(low), abs(high)) - (high - low)
        if missing > 0:
            low, high = low - missing / 2, high + missing / 2
        if 0 <= low < 0.4 * high:
            low = 0.0
        # Of whole numbers no halves.
        least = 1.0 if all(value.is_integer() for value in values) else 1e-12
        step = _nice(max((high - low) / 3, least))
        first = math.floor(low / step) * step
        count = max(1, math.ceil((high - first) / step - 1e-9))
        self.ticks = [first + i * step for i in range(count + 1)]

    def y(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        share = (value - low) / (high - low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _nice(step: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= step * (1 - 1e-9))


def _x(index: int, count: int) -> float:
    space = WIDTH - LEFT - RIGHT - 12
    return round(LEFT + 6 + (space * index / (count - 1) if count > 1 else space), 1)


def _lines(marks: Iterable[Mark]) -> tuple[Line, ...]:
    kinds: dict[Kind, list[Mark]] = {}
    for mark in marks:
        kinds.setdefault(mark.row.kind, []).append(mark)
    return tuple(
        Line(" ".join(f"{mark.x:g},{mark.y:g}" for mark in same), same[0].usual)
        for same in kinds.values()
        if len(same) > 1
    )


def _came_to_nothing(row: Row) -> bool:
    return row.verdict != "PASS" and all(figure.value is None for figure in row.figures)


def _figure(row: Row, key: tuple[str, str]) -> Figure | None:
    return next((f for f in row.figures if (f.name, f.unit) == key), None)


def _text(row: Row, value: float | None, unit: str) -> str:
    """What a mark says: the value, the verdict, when, at which commit, what was asked, the run."""
    return " · ".join(
        filter(
            None,
            [
                with_unit(value, unit),
                row.verdict,
                row.started[:16],
                f"commit {row.commit}" if row.commit else "",
                "uncommitted changes" if row.dirty else "",
                f"asked: {row.asked}" if row.asked else "",
                row.name,
            ],
        )
    )


def _date(row: Row) -> str:
    return f"{row.started_at:%-d %b %Y}" if row.started_at else ""
