"""Verdicts: how they combine, and the exit code each one ends a command with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What can be said of a run, or of one check of it."""

    PASS = "PASS"  # noqa: S105 - a verdict
    FAIL = "FAIL"
    UNKNOWN = "UNKNOWN"
    INVALID = "INVALID"
    INTERRUPTED = "INTERRUPTED"


EXIT_CODES = {
    Verdict.PASS: 0,
    Verdict.FAIL: 1,
    Verdict.UNKNOWN: 2,
    Verdict.INVALID: 4,
    Verdict.INTERRUPTED: 130,
}
EXIT_USAGE = 64
EXIT_INTERNAL = 70

# A proven failure stands whatever else went wrong; then what makes the numbers unusable; then what
# is merely not known.
_GRAVEST_FIRST = (
    Verdict.INTERRUPTED,
    Verdict.FAIL,
    Verdict.INVALID,
    Verdict.UNKNOWN,
    Verdict.PASS,
)


@dataclass(frozen=True)
class Check:
    """One check's answer. expected, observed: JSON-ready, whatever shows the difference best."""

    name: str
    verdict: Verdict
    detail: str
    expected: Any = None
    observed: Any = None


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of the whole: the gravest of its parts. Nothing checked is nothing known."""
    found = set(verdicts)
    return next((verdict for verdict in _GRAVEST_FIRST if verdict in found), Verdict.UNKNOWN)
