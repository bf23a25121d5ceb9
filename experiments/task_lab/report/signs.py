"""When a fault was first noticed: the signs that the platform's telemetry and its ledger gave.

Pure. A sign counts only if it was not there just before the fault. Of what Prometheus was told a
sign is as late as the scrape that brought it, up to a quarter of a second here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from task_platform.domain.task import State

from task_lab.check.histories_ledger import Ledger
from task_lab.report.records import Metric, Series

# A sign that was there so shortly before belongs to something else.
_BEFORE_S = 1.0

IsSign = Callable[[float, float], bool]


@dataclass(frozen=True)
class Telemetry:
    """What told of a run while it went on: metrics by name, the ledger's witness, the events."""

    metrics: Mapping[str, Metric]
    witness: Ledger | None
    events: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Sign:
    """What was seen, where, and when (unix seconds)."""

    what: str
    at: float


def _fell(before: float, value: float) -> bool:
    return before > 0 and value == 0


def _rose(before: float, value: float) -> bool:
    return value > before


# By the metric's name: what is told of the series that gives the sign, and what a sign is.
_SIGNS: Mapping[str, tuple[str, IsSign]] = MappingProxyType(
    {
        "up": ("{instance} could not be scraped", _fell),
        "ready": ("{instance} says that it is not ready", _fell),
        "consumers_lost": ("{instance} counts a consumer lost", _rose),
        "leases_lost": ("{instance} counts claims lost", _rose),
        "leases_expired": ("{instance} counts claims taken back from a lost worker", _rose),
        "loop_errors": ("{instance} counts a pass that failed", _rose),
    }
)


def signs_of(telemetry: Telemetry, start: float, end: float, process: str = "") -> list[Sign]:
    """The first of each kind of sign from `start` to `end`, in order of time.

    process: the one that was struck. A failed scrape of any other may be chance: on a busy machine
    some take longer than a scrape may.
    """
    found = [
        sign
        for name, (words, is_sign) in _SIGNS.items()
        if name in telemetry.metrics
        for one in telemetry.metrics[name].series
        if name != "up" or one.labels.get("instance") == process
        if (sign := _first(one, is_sign, words, start, end))
    ]
    firsts = {sign.what.split(" ", 1)[1]: sign for sign in sorted(found, key=_at, reverse=True)}
    return sorted([*firsts.values(), *_ledger_signs(telemetry.witness, start, end)], key=_at)


def _first(series: Series, is_sign: IsSign, words: str, start: float, end: float) -> Sign | None:
    known = [
        (float(at), float(value))
        for at, value in zip(series.at, series.values, strict=True)
        if np.isfinite(value)
    ]
    shown = [
        later
        for (_, before), (later, value) in pairwise(known)
        if start - _BEFORE_S <= later <= end and is_sign(before, value)
    ]
    if not shown or shown[0] < start:
        return None
    return Sign(words.format(instance=series.labels.get("instance", "a process")), shown[0])


def _ledger_signs(witness: Ledger | None, start: float, end: float) -> Iterator[Sign]:
    """The first claim that the ledger shows to have come back without an attempt that failed."""
    if witness is None:
        return
    retried = {(one.task_id, one.fence) for one in witness.failures if one.outcome == "retried"}
    returned: Sequence[float] = [
        step.seen_at
        for step in witness.transitions
        if (step.before, step.after) == (State.PROCESSING, State.QUEUED)
        and (step.task_id, step.fence) not in retried
        and start - _BEFORE_S <= step.seen_at <= end
    ]
    first = min(returned, default=None)
    if first is not None and first >= start:
        yield Sign("the ledger shows tasks back from a claim that was lost or given up", first)


def _at(sign: Sign) -> float:
    return sign.at
