"""Verdicts: how they combine, and the exit code each one ends a command with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

E = TypeVar("E")


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
# So many examples of what is wrong are told.
SHOWN = 5

# A proven failure stands whatever else went wrong; then a whole that is none; then what makes the
# numbers unusable; then what is merely not known.
_GRAVEST_FIRST = (
    Verdict.FAIL,
    Verdict.INTERRUPTED,
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


def passed(name: str, detail: str, *, expected: Any = None, observed: Any = None) -> Check:
    """A check that found nothing wrong."""
    return Check(name, Verdict.PASS, detail, expected, observed)


def failed(name: str, detail: str, *, expected: Any = None, observed: Any = None) -> Check:
    """A check that found something wrong."""
    return Check(name, Verdict.FAIL, detail, expected, observed)


def some(names: Iterable[str]) -> str:
    """The first few of the names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more


def answer_of(check: Callable[[E], Check], evidence: E) -> Check:
    """A check's answer. One that crashes says UNKNOWN: it proved nothing."""
    try:
        return check(evidence)
    except Exception as error:
        name = check.__name__.removeprefix("check_")
        return Check(name, Verdict.UNKNOWN, f"the check crashed: {type(error).__name__}: {error}")


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of the whole: the gravest of its parts. Nothing checked is nothing known."""
    found = set(verdicts)
    return next((verdict for verdict in _GRAVEST_FIRST if verdict in found), Verdict.UNKNOWN)
