"""Two runs, or two sides of several, beside each other: what changed, and what can be said of it.

Two runs are compared by their rounds: what differs from sitting to sitting is in neither. Sides of
several runs are compared run by run, each by its median. Refused unless told: runs that are no
PASS, of other parameters, of other machines; of other experiments always (`comparable`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from task_lab import stats
from task_lab.comparable import (
    Allowed,
    Measured,
    PointKey,
    check_comparable,
    different_parameters,
    fingerprint,
    read_sides,
)
from task_lab.stats_compare import ALPHA, Compared, Finding, Least, Pair, compare_samples
from task_lab.store import RunFolder

EXIT_REGRESSION = 3
EXIT_UNKNOWN = 2
# What a rate is measured from, and where a summary keeps the single measurements.
RATES = {"submit_per_s": "rounds", "drain_per_s": "drains", "end_to_end_per_s": "rounds"}
LATENCIES = ("queue_wait_s", "end_to_end_s")
PERCENTILES = ("p50", "p95", "p99")


class RateKey(NamedTuple):
    """A rate of a point of the sweep."""

    point: PointKey
    rate: str


def compare(
    before: Sequence[RunFolder],
    after: Sequence[RunFolder],
    allowed: Allowed | None = None,
    least: Least | None = None,
) -> dict[str, Any]:
    """The comparison as a document for JSON; its text is in `compare_text`.

    Raises UsageError for runs that are not to be compared, Unknown for one without a summary.
    """
    allowed, least = allowed or Allowed(), least or Least()
    sides = read_sides(before, after)
    differing = check_comparable(sides[0], sides[1], allowed)
    is_one_machine = len({fingerprint(one) for side in sides for one in side}) == 1
    common = _common_points(sides)
    unit = "runs" if max(map(len, sides)) > 1 else None
    pairs = {
        RateKey(key, rate): Pair(
            _values(sides[0], key, rate), _values(sides[1], key, rate), unit or kept
        )
        for key in common
        for rate, kept in RATES.items()
    }
    compared = compare_samples({k: p for k, p in pairs.items() if p.before or p.after}, least)
    floors = _floors(sides[0], sides[1])
    rates = [_rate_record(key, one, floors, is_one_machine, least) for key, one in compared.items()]
    verdict = _verdict(rates)
    return {
        "verdict": verdict,
        "exit_code": exit_code(verdict),
        "experiment": sides[0][0].run["experiment"],
        "a": [_about(one) for one in sides[0]],
        "b": [_about(one) for one in sides[1]],
        "compared_by": "runs" if unit else "rounds",
        "parameters": [one._asdict() for one in differing],
        "other_machine": not is_one_machine,
        "alpha": ALPHA,
        "least": asdict(least),
        "tested": sum(one.p is not None for one in compared.values()),
        "rates": rates,
        "latencies": [
            _latency_record(sides, key, name, q)
            for key in common
            for name in LATENCIES
            for q in PERCENTILES
        ],
        "floor": floors,
        "only_in_a": _only_in(sides[0], common),
        "only_in_b": _only_in(sides[1], common),
        "versions": _changed_versions(sides[0][0], sides[1][0]),
    }


def exit_code(verdict: str) -> int:
    """0 for no regression shown, 3 for a regression, 2 for nothing that can be said."""
    return {"regression": EXIT_REGRESSION, "no regression shown": 0}.get(verdict, EXIT_UNKNOWN)


def _common_points(sides: Sequence[Sequence[Measured]]) -> list[PointKey]:
    runs = [one for side in sides for one in side]
    return [key for key in runs[0].points if all(key in one.points for one in runs)]


def _only_in(side: Sequence[Measured], common: Sequence[PointKey]) -> list[dict[str, Any]]:
    found = dict.fromkeys(key for one in side for key in one.points if key not in common)
    return [dict(key) for key in found]


def _values(side: Sequence[Measured], key: PointKey, rate: str) -> list[float]:
    """The single measurements of the one run, or the median of each of several."""
    if len(side) == 1:
        return _singles(side[0].points[key], rate)
    medians = [stats.median(_singles(one.points[key], rate)) for one in side]
    return [value for value in medians if math.isfinite(value)]


def _singles(point: Mapping[str, Any], rate: str) -> list[float]:
    """What was measured round by round; of a point without rounds or drains, its one value."""
    if not any(point.get(kept) for kept in RATES.values()):
        measured: Sequence[Mapping[str, Any]] = [point]
    else:
        kept = point.get(RATES[rate]) or ()
        measured = [one for one in kept if one.get("kind", "round") != "warmup"]
    return [float(one[rate]) for one in measured if one.get(rate) is not None]


def _floors(before: Sequence[Measured], after: Sequence[Measured]) -> dict[str, Any] | None:
    """What bare loops reached beside each side, and the ratio; None where they do not compare."""
    floors = [[one.summary.get("floor") or {} for one in side] for side in (before, after)]
    every = [floor for side in floors for floor in side]
    if any(not floor.get("submit_per_s") for floor in every):
        return None
    if len({floor.get("code_hash") for floor in every}) > 1:
        return None  # other loops: another yardstick
    found = {}
    for rate in RATES:
        a, b = (stats.median([floor[rate] for floor in side]) for side in floors)
        found[rate] = {"a": a, "b": b, "ratio": b / a}
    return found


def _rate_record(
    key: RateKey,
    one: Compared,
    floors: Mapping[str, Any] | None,
    is_one_machine: bool,
    least: Least,
) -> dict[str, Any]:
    finding, reason = one.finding, one.reason
    if not is_one_machine:
        finding, reason = Finding.UNKNOWN, "different machines"
    elif finding is Finding.LOWER and floors and _floor_explains(one, floors[key.rate], least):
        finding = Finding.UNKNOWN
        lost = 100 * (1 - floors[key.rate]["ratio"])
        reason = f"bare loops lost {lost:.0f} % as well: the machine changed"
    a, b = (value if math.isfinite(value) else None for value in one.medians)
    return {
        **dict(key.point),
        "rate": key.rate,
        "n": list(one.n),
        "a": a,
        "b": b,
        "ratio": one.ratio.value if one.ratio else None,
        "interval": asdict(one.ratio.interval) if one.ratio and one.ratio.interval else None,
        "p": one.p,
        "p_corrected": one.p_corrected,
        "seen_from": one.seen_from,
        "finding": finding.value,
        "reason": reason,
    }


def _floor_explains(one: Compared, floor: Mapping[str, float], least: Least) -> bool:
    """Whether the loss is gone once the rates are seen as shares of what bare loops reached."""
    before, after = one.medians
    return floor["ratio"] < 1 and not (
        after / floor["ratio"] < before and least.is_reached(before, after / floor["ratio"])
    )


def _latency_record(
    sides: Sequence[Sequence[Measured]], key: PointKey, name: str, q: str
) -> dict[str, Any]:
    """A percentile on both sides, with their intervals: a difference to look at, not a finding."""
    values = [_percentiles(side, key, name, q) for side in sides]
    a, b = (stats.median(side) for side in values)
    known = math.isfinite(a) and math.isfinite(b)
    short = {
        reason
        for side in sides
        for one in side
        if (reason := _evidence(one.points[key], name).get("too_short", {}).get(q))
    }
    return {
        **dict(key),
        "latency": name,
        "q": q,
        "a": a if math.isfinite(a) else None,
        "b": b if math.isfinite(b) else None,
        "delta_s": b - a if known else None,
        "a_interval": _interval(sides[0], values[0], key, name, q),
        "b_interval": _interval(sides[1], values[1], key, name, q),
        "too_short": sorted(short),
    }


def _percentiles(side: Sequence[Measured], key: PointKey, name: str, q: str) -> list[float]:
    found = [(one.points[key].get(name) or {}).get(q) for one in side]
    return [float(value) for value in found if value is not None]


def _interval(
    side: Sequence[Measured], values: Sequence[float], key: PointKey, name: str, q: str
) -> list[float] | None:
    if len(side) > 1:
        found = stats.median_interval(values)
        return [found.low, found.high] if found else None
    kept = (_evidence(side[0].points[key], name).get("intervals") or {}).get(q)
    return [kept["low"], kept["high"]] if kept else None


def _evidence(point: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (point.get("latency_evidence") or {}).get(name) or {}
    return found


def _verdict(rates: Sequence[Mapping[str, Any]]) -> str:
    findings = {one["finding"] for one in rates}
    if Finding.LOWER in findings:
        return "regression"
    explained = any(one["reason"].startswith("bare loops") for one in rates)
    return "unknown" if explained or findings <= {Finding.UNKNOWN} else "no regression shown"


def _about(one: Measured) -> dict[str, Any]:
    git = one.run.get("git") or {}
    return {
        "run": str(one.path),
        "id": one.name,
        "verdict": one.run["verdict"],
        "started_at": one.run.get("started_at"),
        "sha": git.get("sha"),
        "dirty": bool(git.get("dirty")),
        "machine": fingerprint(one),
        "unstable": list((one.run.get("machine") or {}).get("unstable") or ()),
    }


def _changed_versions(before: Measured, after: Measured) -> list[dict[str, Any]]:
    found = different_parameters(before.run.get("versions") or {}, after.run.get("versions") or {})
    return [one._asdict() for one in found]
