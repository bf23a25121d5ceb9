"""The Universal Scalability Law: throughput as a function of the number of workers.

    X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1))

lambda: tasks/s of one worker; sigma: the share of a task's work that waits its turn (contention);
kappa: what each pair of workers costs the other (coherency). N. J. Gunther, "Guerrilla Capacity
Planning", Springer 2007, doi:10.1007/978-3-540-31010-5, and "A General Theory of Computational
Scalability Based on Rational Functions", arXiv:0808.1431.

Pure. Many laws at once are an array of rows (lambda, sigma, kappa).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from task_lab import stats

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Law:
    """The law with its coefficients: lambda in tasks/s, sigma in [0, 1], kappa >= 0."""

    lambda_per_s: float
    sigma: float
    kappa: float

    def per_s(self, workers: float) -> float:
        """Tasks/s of so many workers."""
        return throughput(self._row(), workers).item()

    @property
    def peak(self) -> float:
        """The worker count of the highest throughput; infinite where each worker still adds."""
        return peaks(self._row()).item()

    def _row(self) -> Floats:
        return np.array([[self.lambda_per_s, self.sigma, self.kappa]])


@dataclass(frozen=True)
class Peak:
    """Where throughput is highest, as far as that was measured.

    workers, per_s: None unless the peak lies within the measured counts; `note` says it in words.
    low, high: bounds of `workers`, None where they leave the measured counts.
    """

    note: str
    workers: float | None = None
    low: float | None = None
    high: float | None = None
    per_s: float | None = None
    per_s_low: float | None = None
    per_s_high: float | None = None


def throughput(laws: Floats, workers: float | Sequence[float] | Floats) -> Floats:
    """Tasks/s of each law, shape (n_laws, 3), at each count: shape (n_laws, n_counts).

    workers: one count, counts of shape (n_counts,), or of shape (n_laws, n_counts) for each law's
    own.
    """
    n = np.atleast_1d(np.asarray(workers, dtype=np.float64))
    rate, sigma, kappa = laws[:, :1], laws[:, 1:2], laws[:, 2:]
    return np.asarray(rate * n / (1 + sigma * (n - 1) + kappa * n * (n - 1)), dtype=np.float64)


def peaks(laws: Floats) -> Floats:
    """The worker count of each law's highest throughput, shape (n_laws,)."""
    sigma, kappa = laws[:, 1], laws[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.sqrt((1 - sigma) / kappa)
    # With sigma = 1 and kappa = 0 one worker is as fast as any number.
    return np.where(kappa > 0, found, np.where(sigma < 1, math.inf, 1.0))


def find_peak(law: Law, draws: Floats, counts: Sequence[int]) -> Peak:
    """The peak of a law that was fitted to `counts` (rising); draws: what it might be as well."""
    first, last = counts[0], counts[-1]
    places = peaks(draws)
    low, high = bounds(places)
    if law.peak > last:
        earliest = f"; it may be at {low:.1f} already" if low <= last else ""
        note = f"beyond {last} workers, not measured{earliest}"
        return Peak(note, low=_within(low, first, last))
    if law.peak < first:
        note = f"at or below {first}, the fewest that were measured: more workers only cost"
        return Peak(note, high=_within(high, first, last))
    heights = throughput(draws, np.clip(places, first, last)[:, None])[:, 0]
    per_s_low, per_s_high = bounds(heights)
    return Peak(
        "within the measured counts" + (f", or beyond {last}" if high > last else ""),
        workers=law.peak,
        low=_within(low, first, last),
        high=_within(high, first, last),
        per_s=law.per_s(law.peak),
        per_s_low=per_s_low,
        per_s_high=per_s_high,
    )


def bounds(values: Floats) -> tuple[float, float]:
    """The percentile interval of drawn values, some of which may be infinite."""
    tail = (1 - stats.CONFIDENCE) / 2
    # Infinite values have an order, but nothing lies between two of them.
    low, high = np.quantile(values, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


def _within(value: float, first: int, last: int) -> float | None:
    return value if first <= value <= last else None
