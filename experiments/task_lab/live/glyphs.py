"""Curves and bars out of characters, for terminals that know the block elements or only ASCII."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Glyphs:
    """levels: from nothing to most. bar: what is done and what is left. mark: a message's bullet.

    planned, biting, over, quiet: the stretches of a fault's lane.
    """

    levels: str
    bar: tuple[str, str]
    rule: str
    dot: str
    planned: str
    biting: str
    over: str
    quiet: str


BLOCKS = Glyphs("▁▂▃▄▅▆▇█", ("━", "─"), "─", "·", "░", "█", "▓", "─")
ASCII = Glyphs("_.:-=+*#", ("#", "-"), "-", "|", "o", "#", "=", "-")


def sparkline(values: Sequence[float | None], glyphs: Glyphs = BLOCKS) -> str:
    """One character for each value, the highest one full; a blank where there is no value."""
    top = max((value for value in values if value is not None), default=0.0)
    return "".join(" " if value is None else _level(value, top, glyphs) for value in values)


def bar(share: float, width: int, glyphs: Glyphs = BLOCKS) -> tuple[str, str]:
    """The done and the open part of a bar. Full only when all is done, empty only when nothing."""
    share = min(1.0, max(0.0, share))
    filled = int(share * width)
    if 0.0 < share < 1.0:
        filled = min(max(filled, 1), width - 1)
    return glyphs.bar[0] * filled, glyphs.bar[1] * (width - filled)


def _level(value: float, top: float, glyphs: Glyphs) -> str:
    if value <= 0 or top <= 0:
        return glyphs.levels[0]
    steps = len(glyphs.levels) - 1
    return glyphs.levels[max(1, min(steps, round(value / top * steps)))]


def clock(seconds: float) -> str:
    """A time span: `0:07`, `12:30`, `1:02:03`."""
    whole = max(0, int(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
