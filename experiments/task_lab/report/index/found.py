"""What a run found, in one line and as figures that a trend can be drawn from.

Pure. A summary may say itself what counts: `headline`, a list of `{"name", "value", "unit",
"better"}`. Without it the rates of its `points` are taken, or the `rows` of a bench.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from task_lab.report import words

RATE_UNIT = "tasks/s"
LARGEST = 1e15


@dataclass(frozen=True)
class Figure:
    """One number of a run; `value` is None where it was not measured.

    better: the good direction, "higher" or "lower"; "" where nobody said.
    """

    name: str
    value: float | None
    unit: str = ""
    better: str = ""


@dataclass(frozen=True)
class Found:
    """A run's line in the index, and its figures in the order they are to be shown in."""

    text: str
    figures: tuple[Figure, ...] = ()


def found_in(summary: Mapping[str, Any]) -> Found:
    """What a summary has to say. Raises KeyError, TypeError or ValueError for one that is none."""
    if isinstance(summary.get("headline"), list):
        figures = _headline(summary["headline"])
        return Found(told(figures), figures)
    if "rows" in summary:
        return _of_bench(summary["rows"])
    return _of_points(summary["points"])


def told(figures: Sequence[Figure], between: str = "; ") -> str:
    """`retries: 12; sum, 1 worker: 2,842; sum, 3 workers: 2,556 tasks/s`.

    A unit stands once, behind the last of the figures beside each other that have it.
    """
    parts = []
    for unit, same in groupby(figures, key=lambda figure: figure.unit):
        texts = between.join(f"{f.name}: {value_text(f.value, unit)}" for f in same)
        parts.append(texts + _unit_text(unit))
    return between.join(parts) or words.NOTHING


def value_text(value: float | None, unit: str) -> str:
    """A figure's number; seconds carry the unit that fits them, others none."""
    if unit == "s":
        return words.seconds(value)
    if value is not None and value.is_integer():
        return f"{value:,.0f}"
    return words.rate(value) if value is None or value >= 0 else f"-{words.rate(-value)}"


def with_unit(value: float | None, unit: str) -> str:
    """`2,842 tasks/s`, `12.3 ms`, `n/a`."""
    return value_text(value, unit) + (_unit_text(unit) if value is not None else "")


def _unit_text(unit: str) -> str:
    return "" if unit in ("", "s", "ratio") else f" {unit}"


def _headline(entries: Sequence[Any]) -> tuple[Figure, ...]:
    return tuple(
        Figure(
            str(entry["name"]),
            _number(entry.get("value")),
            str(entry.get("unit") or ""),
            str(entry.get("better") or ""),
        )
        for entry in entries
    )


def _of_points(points: Sequence[Mapping[str, Any]]) -> Found:
    """`sum 1: 2,842, sum 3: 2,556 tasks/s`; the figures are named as headlines name them."""
    rates = [
        Figure("", _number(point["end_to_end_per_s"]), RATE_UNIT, "higher") for point in points
    ]
    short = [f"{point['workload']} {point['workers']}" for point in points]
    named = [f"{point['workload']}, {words.workers(point['workers'])}" for point in points]
    return Found(
        told([replace(r, name=n) for r, n in zip(rates, short, strict=True)], ", "),
        tuple(replace(r, name=n) for r, n in zip(rates, named, strict=True)),
    )


def _of_bench(rows: Sequence[Mapping[str, Any]]) -> Found:
    """`20 of 20 targets met, end to end: 2,345 tasks/s`; its rates make trends of their own."""
    met = sum(bool(row["pass"]) for row in rows)
    rates = {
        row["name"]: Figure(
            row["name"].removesuffix("_per_s").replace("_", " "),
            _number(row["value"]),
            row["unit"],
            "higher",
        )
        for row in rows
        if str(row.get("unit", "")).endswith("/s")
    }
    end_to_end = rates.get("end_to_end_per_s")
    text = f"{met} of {len(rows)} targets met"
    if end_to_end and end_to_end.value is not None:
        text += f", {told([end_to_end])}"
    return Found(text, (Figure("targets met", float(met), "", "higher"), *rates.values()))


def _number(value: object) -> float | None:
    """A number, or None for anything else: `true`, NaN, and what is too large to be measured."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and abs(value) < LARGEST else None
