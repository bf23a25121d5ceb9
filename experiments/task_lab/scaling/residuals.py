"""Whether a fitted law describes what was measured: its misses, and what repeats cannot explain.

Pure. R² is deliberately absent: it is near 1 for any curve that rises and near 0 for one that is
flat, however well either is met.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

Floats = npt.NDArray[np.float64]

# A law that misses a count by more than this does not describe it.
LIMIT = 0.10
# Less is enough where the repeats leave no room for it, or where the misses have a pattern. Below
# that, a law of three coefficients is as near as one can be.
DOUBTFUL = 0.05
UNEXPLAINED_P = 0.01
PATTERN_P = 0.05
# Repeats that scatter more than this had something else on their machine.
RESTLESS = 0.10
# Misses this small have signs, but no meaning.
PATTERN_FROM = 0.01


@dataclass(frozen=True)
class Residual:
    """A worker count as measured and as fitted; `relative` = measured ÷ fitted - 1."""

    workers: int
    measured_per_s: float
    fitted_per_s: float

    @property
    def relative(self) -> float:
        return self.measured_per_s / self.fitted_per_s - 1


@dataclass(frozen=True)
class LackOfFit:
    """How much more the counts scatter around the law than their repeats explain.

    f, p: the test of it, by F with `freedom` and the repeats' own degrees of freedom; between: the
    relative standard deviation of what is left to explain, 0 where nothing is; within: that of the
    repeats of one count.
    """

    f: float
    p: float
    freedom: int
    between: float
    within: float


def residuals(counts: Sequence[int], times: Floats, fitted: Floats) -> tuple[Residual, ...]:
    """One for each count. times, fitted: worker-seconds per task, shape (n_counts,)."""
    return tuple(
        Residual(n, measured_per_s=n / float(t), fitted_per_s=n / float(f))
        for n, t, f in zip(counts, times, fitted, strict=True)
    )


def lack_of_fit(
    columns: Floats, fitted: Floats, spreads: Floats, *, within: float, within_freedom: int
) -> LackOfFit:
    """The test of a weighted linear fit to means of repeats that were scaled to 1.

    columns: what was free in the fit, shape (n_counts, n_free); fitted, spreads: shape (n_counts,),
    fitted values and standard errors of the means; within_freedom: that of the repeats' spread.
    """
    weights = spreads**-2.0
    freedom = spreads.size - columns.shape[1]
    excess = float((weights * (1 - fitted) ** 2).sum())
    f = excess / freedom
    weighted = columns / spreads[:, None]
    leverage = np.einsum("ij,ji->i", weighted, np.linalg.pinv(weighted))
    between = max(0.0, (excess - freedom) / float((weights * (1 - leverage)).sum()))
    p = float(stats.f.sf(f, freedom, within_freedom))
    return LackOfFit(f, p, freedom, math.sqrt(between), within)


def why_not(found: Sequence[Residual], lack: LackOfFit) -> str | None:
    """Why the law does not describe the data; None if it does."""
    reason = _miss(found, lack)
    return f"{reason}; {restless}" if reason and (restless := say_restless(lack)) else reason


def say_restless(lack: LackOfFit) -> str | None:
    """That the repeats themselves differ too much to say much; None if they do not."""
    if lack.within <= RESTLESS:
        return None
    return (
        f"the repeats of one count scatter by {lack.within:.0%}, as they do where something else "
        "uses the machine"
    )


def _miss(found: Sequence[Residual], lack: LackOfFit) -> str | None:
    worst = max(found, key=lambda r: abs(r.relative))
    miss = abs(worst.relative)
    count = f"{worst.workers} worker{'' if worst.workers == 1 else 's'}"
    said = f"the law misses {count} by {miss:.1%}"
    if miss > LIMIT:
        return f"{said}; the limit is {LIMIT:.0%}"
    if miss <= DOUBTFUL:
        return None
    if lack.p < UNEXPLAINED_P:
        return (
            f"{said}, which the spread of the repeats does not explain (p = {lack.p:.2g}); the "
            f"limit is {DOUBTFUL:.0%} then"
        )
    pattern = say_pattern(found)
    return f"{said}, and {pattern}; the limit is {DOUBTFUL:.0%} then" if pattern else None


def say_pattern(found: Sequence[Residual]) -> str | None:
    """That the law is above and below the data in turns along the counts; None if it is not."""
    p = fewer_runs_p([r.relative for r in found])
    if p >= PATTERN_P or max(abs(r.relative) for r in found) <= PATTERN_FROM:
        return None
    return f"its misses have a pattern along the worker counts (p = {p:.2g})"


def fewer_runs_p(values: Sequence[float]) -> float:
    """How likely so few runs of one sign are in random order (Wald and Wolfowitz, exact).

    Zeros have no sign and are left out. Six values can never reach 5 %, eight can.
    """
    signs = np.sign([v for v in values if v != 0])
    above, below = int((signs > 0).sum()), int((signs < 0).sum())
    if not above or not below:
        return 1.0
    seen = 1 + int((np.diff(signs) != 0).sum())
    ways = sum(_arrangements(above, below, runs) for runs in range(2, seen + 1))
    return float(ways / special.comb(above + below, above, exact=True))


def _arrangements(above: int, below: int, runs: int) -> int:
    """In how many orders so many of each sign make exactly `runs` runs."""
    half, odd = divmod(runs, 2)

    def split(count: int, parts: int) -> int:
        return math.comb(count - 1, parts - 1)

    if odd:
        return split(above, half) * split(below, half + 1) + split(above, half + 1) * split(
            below, half
        )
    return 2 * split(above, half) * split(below, half)
