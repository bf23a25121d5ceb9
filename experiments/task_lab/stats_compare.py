"""Whether one sample of rates is lower or higher than another, and what so few values cannot say.

Pure. A difference is found only where chance does not explain it, with all rates compared at once
counted in, *and* where it is large enough to matter. "Not enough" is an answer, not an error.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

import numpy as np
from scipy import stats as scipy_stats

from task_lab import stats

ALPHA = 0.05
# With three a side the least p there is is 0.1, whatever the values; with four it is 0.029.
MIN_A_SIDE = 4
# The share of such losses that "would have been seen" stands for.
POWER = 0.8

_SIMULATIONS = 500
# Pairs of values. Counting all ways costs their number squared, and the normal law is off by less
# than two thousandths there.
_EXACT_UP_TO = 2_500
# The same samples have to give the same answer, whenever they are asked.
_SEED = 20_240_229

_K = TypeVar("_K", bound=Hashable)


class Finding(StrEnum):
    """What can be said of the second sample, beside the first."""

    LOWER = "lower"
    HIGHER = "higher"
    NONE = "no difference shown"
    SMALL = "too small to matter"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Least:
    """The least difference that matters: a share of the lower median, and units of the rate.

    A difference has to reach both: a share alone makes much of what is next to nothing.
    """

    share: float = 0.05
    units: float = 1.0

    def is_reached(self, before: float, after: float) -> bool:
        """Whether the difference of two medians matters."""
        difference = abs(after - before)
        return difference >= self.units and difference > self.share * min(abs(before), abs(after))


@dataclass(frozen=True)
class Pair:
    """Two samples of one rate. `unit` is what a value is of: rounds, drains, runs."""

    before: Sequence[float]
    after: Sequence[float]
    unit: str = "measurements"


@dataclass(frozen=True)
class Compared:
    """One pair's answer.

    medians: NaN for an empty side. ratio: after ÷ before, None where there is none. p: two-sided,
    of this pair alone; p_corrected: with every pair that was tested counted in. seen_from: the
    smallest loss, as a share, that samples like these show in 4 of 5 cases.
    reason: what was missing, for an UNKNOWN.
    """

    n: tuple[int, int]
    medians: tuple[float, float]
    ratio: stats.Ratio | None
    p: float | None = None
    p_corrected: float | None = None
    seen_from: float | None = None
    finding: Finding = Finding.UNKNOWN
    reason: str = ""


def compare_samples(pairs: Mapping[_K, Pair], least: Least | None = None) -> dict[_K, Compared]:
    """Every pair's answer, in the order given. Not finite values are left out.

    Pairs with fewer than four values on a side are not tested, and do not count as comparisons.
    """
    least = least or Least()
    clean = {key: Pair(_finite(p.before), _finite(p.after), p.unit) for key, p in pairs.items()}
    tested = {
        key: rank_p(p.before, p.after) for key, p in clean.items() if _fewest(p) >= MIN_A_SIDE
    }
    corrected = holm(tested)
    return {
        key: _tested(pair, tested[key], corrected[key], len(tested), least)
        if key in tested
        else replace(_untested(pair), reason=_not_enough(pair, MIN_A_SIDE))
        for key, pair in clean.items()
    }


def rank_p(before: Sequence[float], after: Sequence[float]) -> float:
    """Two-sided p of the Mann-Whitney test; the same for both orders of the samples.

    Exact, with ties too, unless the samples are so large that the normal law is as good.
    Raises ValueError for an empty sample.
    """
    first, second = sorted([sorted(before), sorted(after)])
    if not first or not second:
        raise ValueError("an empty sample has no rank")
    if len(first) * len(second) > _EXACT_UP_TO:
        return float(scipy_stats.mannwhitneyu(first, second, method="asymptotic").pvalue)
    if len({*first, *second}) < len(first) + len(second):
        return _exact_p_with_ties(first, second)
    return float(scipy_stats.mannwhitneyu(first, second, method="exact").pvalue)


def _exact_p_with_ties(first: Sequence[float], second: Sequence[float]) -> float:
    """The share of all ways to deal the ranks to two sides that are as uneven as this one.

    SciPy's exact method takes values that are the same for values that are not.
    """
    ranks = np.rint(2 * scipy_stats.rankdata([*first, *second])).astype(int)
    ways = np.zeros((len(first) + 1, int(ranks.sum()) + 1))
    ways[0, 0] = 1
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, :-rank]
    of_sum = ways[-1] / ways[-1].sum()
    seen = int(ranks[: len(first)].sum())
    return min(1.0, 2 * float(min(of_sum[: seen + 1].sum(), of_sum[seen:].sum())))


def least_p(n_before: int, n_after: int) -> float:
    """The smallest two-sided p that samples of these sizes can have: complete separation."""
    return min(1.0, 2 / math.comb(n_before + n_after, n_before))


def needed_a_side(comparisons: int) -> int:
    """Values a side with which a difference can be found among so many comparisons at once."""
    n = MIN_A_SIDE
    while least_p(n, n) * comparisons > ALPHA:
        n += 1
    return n


def holm(ps: Mapping[_K, float]) -> dict[_K, float]:
    """p corrected for the number of comparisons by Holm's method, never below the given one."""
    corrected: dict[_K, float] = {}
    highest = 0.0
    for rank, key in enumerate(sorted(ps, key=lambda key: ps[key])):
        highest = max(highest, min(1.0, ps[key] * (len(ps) - rank)))
        corrected[key] = highest
    return corrected


def smallest_seen(before: Sequence[float], after: Sequence[float], alpha: float) -> float | None:
    """The smallest loss, as a share, that the test shows in 4 of 5 cases at this scatter.

    For the scatter of the logarithms of both samples, taken as normal. None where a value is not
    above zero, or where even complete separation is no finding at `alpha`.
    """
    if min(*before, *after) <= 0 or least_p(len(before), len(after)) > alpha:
        return None
    logs = [np.log(np.asarray(side, dtype=np.float64)) for side in (before, after)]
    squares = sum(float(((side - side.mean()) ** 2).sum()) for side in logs)
    scatter = math.sqrt(squares / (len(before) + len(after) - 2))
    fewer, more = sorted((len(before), len(after)))
    return 1 - math.exp(-_seen_deviations(fewer, more, alpha) * scatter)


@cache
def _seen_deviations(n_before: int, n_after: int, alpha: float) -> float:
    """The shift, in standard deviations, that the test finds with the chance of `POWER`."""
    rng = np.random.default_rng(_SEED)
    before = rng.normal(size=(_SIMULATIONS, n_before))
    after = rng.normal(size=(_SIMULATIONS, n_after))
    method: Any = "exact" if n_before * n_after <= _EXACT_UP_TO else "asymptotic"
    low, high = 0.0, 16.0
    for _ in range(12):
        shift = (low + high) / 2
        ps = scipy_stats.mannwhitneyu(before, after - shift, axis=1, method=method).pvalue
        low, high = (low, shift) if np.mean(ps <= alpha) >= POWER else (shift, high)
    return high


def _tested(pair: Pair, p: float, corrected: float, comparisons: int, least: Least) -> Compared:
    found = replace(
        _untested(pair),
        p=p,
        p_corrected=corrected,
        seen_from=_seen_from(pair, ALPHA / comparisons, least),
    )
    if corrected > ALPHA:
        if least_p(*found.n) * comparisons > ALPHA:
            reason = _not_enough(pair, needed_a_side(comparisons), comparisons)
            return replace(found, finding=Finding.UNKNOWN, reason=reason)
        return replace(found, finding=Finding.NONE)
    before, after = found.medians
    if not least.is_reached(before, after):
        return replace(found, finding=Finding.SMALL)
    if (after < before) != _ranks_lower(pair):
        return replace(found, finding=Finding.NONE)
    return replace(found, finding=Finding.LOWER if after < before else Finding.HIGHER)


def _untested(pair: Pair) -> Compared:
    return Compared(
        n=(len(pair.before), len(pair.after)),
        medians=(stats.median(pair.before), stats.median(pair.after)),
        ratio=stats.ratio_of_medians(pair.after, pair.before),
    )


def _seen_from(pair: Pair, alpha: float, least: Least) -> float | None:
    seen = smallest_seen(pair.before, pair.after, alpha)
    # A loss of the share s is a difference of s/(1-s) of the lower median.
    return None if seen is None else max(seen, least.share / (1 + least.share))


def _ranks_lower(pair: Pair) -> bool:
    """Whether the second sample is lower in most of all pairs of values, as the test counts."""
    before, after = np.asarray(pair.before), np.asarray(pair.after)
    return bool(np.sign(after[:, None] - before[None, :]).sum() < 0)


def _not_enough(pair: Pair, needed: int, comparisons: int = 1) -> str:
    """`not enough rounds: 3 against 3, need 4 a side (6 for an interval)`."""
    at_once = f" for {comparisons} rates at once" if comparisons > 1 else ""
    interval = stats.MIN_FOR_INTERVAL
    for_interval = f" ({interval} for an interval)" if needed < interval else ""
    return (
        f"not enough {pair.unit}{at_once}: {len(pair.before)} against {len(pair.after)}, "
        f"need {needed} a side{for_interval}"
    )


def _fewest(pair: Pair) -> int:
    return min(len(pair.before), len(pair.after))


def _finite(values: Sequence[float]) -> list[float]:
    return [float(value) for value in values if math.isfinite(value)]
