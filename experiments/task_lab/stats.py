"""What a set of measurements can say: percentiles, medians, ratios, each with what it cannot say.

Pure. Every function refuses to give an interval that its sample cannot carry and gives `None`
instead, so a caller has to print the lack rather than a number. No verdicts and no fits: two or
three worker counts carry neither.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95
# The widest order-statistic interval of n values, lowest to highest, covers the median with
# 1 - 2 * 0.5**n: 93.8 % with five values, 96.9 % with six.
MIN_FOR_INTERVAL = 6
# Ten observations beyond a percentile keep its relative error near a third; fewer say only that
# something slow happened.
MIN_BEYOND = 10
# Stalls that make a tail (checkpoints, collections, other tenants) come every few seconds, however
# many tasks pass between them; a median needs less.
MIN_SPAN_S = 10.0
MIN_MEDIAN_SPAN_S = 1.0

RESAMPLES = 1999
# Resampling has to give the same interval for the same data, whenever it is asked.
_SEED = 20_240_229


@dataclass(frozen=True)
class Interval:
    """Bounds that hold the true value with `confidence`, and how they were found."""

    low: float
    high: float
    method: str
    confidence: float = CONFIDENCE


@dataclass(frozen=True)
class Ratio:
    """`value` = one median over another; without an interval, `reason` says what was missing."""

    value: float
    interval: Interval | None
    reason: str | None


def percentile(values: Sequence[float] | Floats, q: float) -> float:
    """The smallest observed value with at least a share `q` of all values at or below it.

    Always a value that was really seen, never one between two or beyond the last.
    NaN for no values. Raises ValueError unless 0 < q <= 1.
    """
    if not 0 < q <= 1:
        raise ValueError(f"a percentile is a share in (0, 1], not {q}")
    finite = _finite(values)
    if finite.size == 0:
        return math.nan
    return float(np.quantile(finite, q, method="inverted_cdf"))


def too_short_for(q: float, *, count: int, span_s: float) -> str | None:
    """Why `count` values seen over `span_s` seconds cannot carry percentile `q`; None if they can.

    By count: at least ten values must lie beyond it. By time: a tail needs ten seconds.
    """
    name = percentile_name(q)
    needed = math.ceil(round(MIN_BEYOND / (1 - q), 6)) if q > 0.5 else 2 * MIN_BEYOND
    if count < needed:
        return f"too short for {name}: {count} tasks, {needed} needed"
    needed_s = MIN_SPAN_S if q > 0.5 else MIN_MEDIAN_SPAN_S
    if span_s < needed_s:
        return f"too short for {name}: {span_s:.1f} s measured, {needed_s:.0f} s needed"
    return None


def percentile_name(q: float) -> str:
    """`p50`, `p99`, `p99.9`."""
    return f"p{q * 100:.10g}"


def median(values: Sequence[float] | Floats) -> float:
    """The median of the finite values; NaN for none."""
    finite = _finite(values)
    return float(np.median(finite)) if finite.size else math.nan


def median_interval(values: Sequence[float] | Floats) -> Interval | None:
    """A distribution-free interval of the median, between two of the values themselves.

    None with fewer than six values: no choice of two would cover the median often enough.
    """
    finite = _finite(values)
    if finite.size < MIN_FOR_INTERVAL:
        return None
    found: Any = stats.quantile_test(finite, p=0.5).confidence_interval(CONFIDENCE)
    return Interval(float(found.low), float(found.high), method="order statistics")


def percentile_intervals(
    values: Floats, groups: npt.NDArray[np.int64], qs: Sequence[float]
) -> list[Interval] | None:
    """An interval for each percentile in `qs`, from resampling whole groups.

    values, groups: shape (n,); `groups` numbers the round each value came from, 0 … k-1. Tasks of
    one round queue behind each other, so only rounds can be drawn as if independent.
    None with fewer than six groups.
    """
    count = int(groups.max()) + 1 if groups.size else 0
    if count < MIN_FOR_INTERVAL:
        return None
    order = np.argsort(values, kind="stable")
    in_order, group_in_order = values[order], groups[order]
    rng = np.random.default_rng(_SEED)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    found = np.empty((RESAMPLES, len(qs)))
    for row, weight in enumerate(weights):
        cumulative = np.cumsum(weight[group_in_order])
        at = np.searchsorted(cumulative, np.ceil(np.asarray(qs) * cumulative[-1]))
        found[row] = in_order[at]
    tail = (1 - CONFIDENCE) / 2
    lows, highs = np.quantile(found, [tail, 1 - tail], axis=0)
    return [
        Interval(float(low), float(high), method="bootstrap over rounds")
        for low, high in zip(lows, highs, strict=True)
    ]


def ratio_of_medians(numerator: Sequence[float], denominator: Sequence[float]) -> Ratio | None:
    """median(numerator) / median(denominator), with a bootstrap interval where both sides carry it.

    None when either side is empty or the denominator's median is zero.
    """
    above, below = _finite(numerator), _finite(denominator)
    if not above.size or not below.size or np.median(below) == 0:
        return None
    value = float(np.median(above) / np.median(below))
    fewest = min(above.size, below.size)
    if fewest < MIN_FOR_INTERVAL:
        reason = f"{fewest} a side, {MIN_FOR_INTERVAL} needed for an interval"
        return Ratio(value, interval=None, reason=reason)
    found = stats.bootstrap(
        (above, below),
        lambda a, b, axis: np.median(a, axis=axis) / np.median(b, axis=axis),
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    interval = Interval(float(found.low), float(found.high), method="bootstrap")
    return Ratio(value, interval, reason=None)


def bucket_percentile(
    bounds: Sequence[float], cumulative: Sequence[float], q: float
) -> tuple[float, float] | None:
    """The bounds of the histogram bucket that holds percentile `q`; None for an empty histogram.

    bounds: rising upper bounds, the last one may be +inf; cumulative: counts at or below each.
    The bucket is all a histogram knows: nothing is interpolated inside it.
    """
    total = cumulative[-1] if cumulative else 0
    if total <= 0:
        return None
    rank = q * total
    index = next(i for i, count in enumerate(cumulative) if count >= rank)
    return (bounds[index - 1] if index else 0.0, bounds[index])


def _finite(values: Sequence[float] | Floats) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    return array[np.isfinite(array)]
