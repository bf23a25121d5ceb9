"""Fits the Universal Scalability Law to the throughputs of several worker counts, or refuses to.

Pure, and the same data give the same figures. A fit says nothing beyond the counts that it was made
from.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from task_lab import stats
from task_lab.scaling.law import Floats, Law, Peak, bounds, find_peak, throughput
from task_lab.scaling.residuals import (
    LackOfFit,
    Residual,
    lack_of_fit,
    residuals,
    say_pattern,
    say_restless,
    why_not,
)

# Three coefficients, and as many counts again to show whether they describe anything.
MIN_COUNTS = 6
# Fewer measurements of a count say nothing of their spread.
MIN_MEASUREMENTS = 2
RESAMPLES = stats.RESAMPLES
_SEED = 20_070_101
# An own spread of few measurements is itself uncertain: it is drawn to that of all counts, as if
# that were worth so many measurements more.
_PRIOR_MEASUREMENTS = 4
# Repeats that happen to agree to the last digit are not that exact.
_LEAST_SPREAD = 1e-3
_LEAST_SHARE = 1e-6
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Estimate:
    """A coefficient with its interval."""

    value: float
    low: float
    high: float

    @property
    def differs_from_0(self) -> bool:
        """Whether the interval leaves 0 out; if not, the data do not tell it apart from 0."""
        return self.low > 0


@dataclass(frozen=True)
class Fit:
    """The law that describes a workload, how well it does, and how far it can be trusted.

    counts: the worker counts it was made from; left_out: those it was not, and why; draws: what
    lambda, sigma and kappa might be as well, shape (n_draws, 3); notes: what to keep in mind.
    """

    law: Law
    lambda_per_s: Estimate
    sigma: Estimate
    kappa: Estimate
    peak: Peak
    counts: tuple[int, ...]
    left_out: Mapping[int, str]
    residuals: tuple[Residual, ...]
    lack_of_fit: LackOfFit
    draws: Floats
    notes: tuple[str, ...]

    def band(self, workers: Sequence[float] | Floats) -> tuple[Floats, Floats]:
        """Lower and upper bound of tasks/s at each worker count."""
        tail = (1 - stats.CONFIDENCE) / 2
        low, high = np.quantile(throughput(self.draws, workers), [tail, 1 - tail], axis=0)
        return low, high


@dataclass(frozen=True)
class Refused:
    """Why there is no law: none was fitted, or one was that does not describe the data.

    residuals, lack_of_fit: how it failed to; empty where none was fitted.
    """

    reason: str
    left_out: Mapping[int, str]
    residuals: tuple[Residual, ...] = ()
    lack_of_fit: LackOfFit | None = None


def fit_law(
    measured: Mapping[int, Sequence[float]],
    flagged: Collection[int] = (),
    *,
    resamples: int = RESAMPLES,
) -> Fit | Refused:
    """The law behind the throughputs measured, each count several times, or why there is none.

    measured: tasks/s of each measurement, by worker count; flagged: counts at which one worker did
    most of the work, which say nothing about workers and are left out.
    Raises ValueError for a count below 1 or a throughput that is not above 0.
    """
    if any(n < 1 or not all(0 < x < math.inf for x in xs) for n, xs in measured.items()):
        raise ValueError("worker counts start at 1, and a throughput is a number above 0")
    left_out = _left_out(measured, flagged)
    counts = tuple(sorted(n for n in measured if n not in left_out))
    if len(counts) < MIN_COUNTS:
        return Refused(_too_few(counts, left_out), left_out)
    times = [n / np.asarray(measured[n], dtype=np.float64) for n in counts]
    means = np.array([t.mean() for t in times])
    within, spreads = _spreads(times, means)
    basis = _basis(np.array(counts, dtype=np.float64))
    costs = _solve(basis, means, means * spreads)
    lack = lack_of_fit(
        basis[:, costs > 0] / means[:, None],
        basis @ costs / means,
        spreads,
        within=within,
        within_freedom=sum(t.size - 1 for t in times),
    )
    scale = means * np.hypot(spreads, lack.between)
    costs = _solve(basis, means, scale)
    found = residuals(counts, means, basis @ costs)
    if reason := why_not(found, lack):
        return Refused(reason, left_out, found, lack)
    drawn = _draw_means(times, means, lack, resamples)
    draws = _coefficients(np.array([_solve(basis, row, scale) for row in drawn]))
    law = Law(*_coefficients(costs[None, :])[0].tolist())
    return Fit(
        law=law,
        lambda_per_s=Estimate(law.lambda_per_s, *bounds(draws[:, 0])),
        sigma=Estimate(law.sigma, *bounds(draws[:, 1])),
        kappa=Estimate(law.kappa, *bounds(draws[:, 2])),
        peak=find_peak(law, draws, counts),
        counts=counts,
        left_out=left_out,
        residuals=found,
        lack_of_fit=lack,
        draws=draws,
        notes=_notes(min(t.size for t in times), found, lack),
    )


def _left_out(measured: Mapping[int, Sequence[float]], flagged: Collection[int]) -> dict[int, str]:
    return {
        n: "one worker did most of the work"
        if n in flagged
        else f"measurements: {len(measured[n])}, {MIN_MEASUREMENTS} needed"
        for n in sorted(measured)
        if n in flagged or len(measured[n]) < MIN_MEASUREMENTS
    }


def _too_few(counts: Sequence[int], left_out: Mapping[int, str]) -> str:
    named = f" ({', '.join(map(str, counts))})" if counts else ""
    dropped = "".join(f"; {n} left out ({why})" for n, why in left_out.items())
    return f"{len(counts)} usable worker counts{named}, {MIN_COUNTS} needed for a fit{dropped}"


def _notes(fewest: int, found: Sequence[Residual], lack: LackOfFit) -> tuple[str, ...]:
    notes = []
    if fewest < stats.MIN_FOR_INTERVAL:
        notes.append(
            f"a count was measured {fewest} times only: with fewer than {stats.MIN_FOR_INTERVAL} "
            "the intervals hold the truth less often than they say"
        )
    if pattern := say_pattern(found):
        notes.append(f"{pattern}: the law is near the truth, and not the whole of it")
    if restless := say_restless(lack):
        notes.append(restless)
    return tuple(notes)


def _basis(workers: Floats) -> Floats:
    """The law as a sum: N / X(N) = d + b N + c N (N - 1), with d, b, c >= 0 seconds per task.

    lambda = 1 / (b + d), sigma = b / (b + d), kappa = c / (b + d): whatever d, b and c are, sigma
    lies in [0, 1].
    """
    return np.stack([np.ones_like(workers), workers, workers * (workers - 1)], axis=-1)


def _coefficients(costs: Floats) -> Floats:
    """lambda, sigma and kappa of each row (d, b, c)."""
    # Where all of a task's cost is of pairs, one worker's rate is infinite: short of that, no law
    # measurably differs from it.
    first = np.maximum(costs[:, 0] + costs[:, 1], _LEAST_SHARE * costs[:, 2])
    shares = costs[:, 1:] / first[:, None]
    return np.column_stack([1 / first, np.where(shares < _ROUNDING, 0.0, shares)])


def _solve(basis: Floats, means: Floats, scale: Floats) -> Floats:
    """d, b and c by bounded least squares: one optimum, and no first guess.

    A measurement is the time that a fixed number of tasks took, so it is times that are fitted.
    Each of a count has the same weight, so their mean stands for all; scale: its standard error.
    """
    costs, _ = optimize.nnls(basis / scale[:, None], means / scale)
    return np.asarray(costs, dtype=np.float64)


def _spreads(times: Sequence[Floats], means: Floats) -> tuple[float, Floats]:
    """The relative standard deviation of repeats, and the standard error of each count's mean."""
    sizes = np.array([t.size for t in times], dtype=np.float64)
    own = np.array([t.var(ddof=1) for t in times]) / means**2
    pooled = float(((sizes - 1) * own).sum() / (sizes - 1).sum())
    shrunk = ((sizes - 1) * own + _PRIOR_MEASUREMENTS * pooled) / (sizes - 1 + _PRIOR_MEASUREMENTS)
    return math.sqrt(pooled), np.sqrt(np.maximum(shrunk, _LEAST_SPREAD**2) / sizes)


def _draw_means(times: Sequence[Floats], means: Floats, lack: LackOfFit, resamples: int) -> Floats:
    """Means of resampled measurements, shape (resamples, n_counts).

    Measurements are drawn within each count. Those of one count were made one after another, so
    they share what the machine and the split of the work happened to be: where the counts scatter
    more than their repeats explain, that is drawn as well, and how little is known of it. Without
    it, a scatter of 2 % between counts left the truth out of half of all intervals.
    """
    rng = np.random.default_rng(_SEED)
    drawn = np.empty((resamples, len(times)))
    for column, (values, mean) in enumerate(zip(times, means, strict=True)):
        n = values.size
        picked = values[rng.integers(0, n, (resamples, n))].mean(axis=1)
        # The mean of n drawn values varies by (n - 1) / n of what that of n measured ones does.
        drawn[:, column] = mean * np.exp(math.sqrt(n / (n - 1)) * (picked / mean - 1))
    if lack.between > 0:
        spread = lack.between * np.sqrt(lack.freedom / rng.chisquare(lack.freedom, resamples))
        drawn *= np.exp(spread[:, None] * rng.standard_normal(drawn.shape))
    return drawn
