"""What can be said of a query from its text alone: its ranges, its cost, what it mixes. Pure."""

from __future__ import annotations

import math
import re

# Prometheus's evaluation interval unless it is told: the resolution of a subquery without one.
_DEFAULT_RESOLUTION_S = 60.0
_UNITS_S = {
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3_600.0,
    "d": 86_400.0,
    "w": 604_800.0,
    "y": 31_536_000.0,
}
# A duration is one or several numbers with a unit: 1s, 250ms, 1m30s.
_DURATION = r"(?:\d+(?:ms|[smhdwy]))+"
_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_RANGE = re.compile(rf"\[({_DURATION})\]")
_SUBQUERY = re.compile(rf"\[({_DURATION})\s*:\s*({_DURATION})?\]")
_MIXER = re.compile(r"\b(avg|quantile|stddev|stdvar)\s*\(")
_GROUPING = re.compile(r"\s*(?:by|without)\s*\(")
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`')


def seconds_of(duration: str) -> float:
    """Seconds of a duration as Prometheus writes them: 250ms, 1m30s."""
    return sum(int(number) * _UNITS_S[unit] for number, unit in _PART.findall(duration))


def ranges_s(query: str) -> list[float]:
    """The lengths of the query's ranges in seconds; those of subqueries are none."""
    return [seconds_of(length) for length in _RANGE.findall(query)]


def evaluations_a_step(query: str, step_s: float) -> float:
    """How often something is evaluated for one step: the whole once, more inside subqueries.

    A subquery inside another is evaluated as often as their points multiply.
    """
    bare = _without_texts(query)
    default_s = min(step_s, _DEFAULT_RESOLUTION_S)
    found = [
        (
            _operand_start(bare, subquery.start()),
            subquery.start(),
            seconds_of(subquery[1]) / (seconds_of(subquery[2]) if subquery[2] else default_s),
        )
        for subquery in _SUBQUERY.finditer(bare)
    ]
    return 1.0 + sum(
        math.prod(points for start, end, points in found if start <= own_end <= end)
        for _, own_end, _ in found
    )


def mixer_without_grouping(query: str) -> str | None:
    """The first aggregation that mixes series into a mean or a spread and does not say by what.

    Workers at 10/s and at 90/s would become one at 50/s. Sums and extremes say what they are.
    """
    bare = _without_texts(query)
    for mixer in _MIXER.finditer(bare):
        if not _GROUPING.match(bare, _closing(bare, mixer.end() - 1) + 1):
            return mixer[1]
    return None


def _without_texts(query: str) -> str:
    return _TEXT.sub(lambda text: "_" * len(text[0]), query)


def _closing(query: str, start: int) -> int:
    """Where the parenthesis that opens at `start` closes; the end where it never does."""
    depth = 0
    for at in range(start, len(query)):
        depth += {"(": 1, ")": -1}.get(query[at], 0)
        if depth == 0:
            return at
    return len(query)


def _operand_start(query: str, end: int) -> int:
    """Where the parenthesis opens that closes right before `end`; `end` where none does."""
    depth = 0
    for at in range(end - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(query[at], 0)
        if depth == 0:
            return at if query[at] == "(" else end
    return 0
