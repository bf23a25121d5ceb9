"""How many workers a load needs so that its tasks start in time, answered from a fitted law.

N workers with so many slots each are a queue with m = N · slots servers, which together finish as
many tasks/s as the law says. Arrivals are taken as random (Poisson) and service times as
exponential, M/M/m: tasks of one length wait less, about half as long where the queue is long, so
for these the answer is on the safe side. The way of a task into the queue (milliseconds) is not in
it, nor are bursts, retries or tasks of very different lengths.

Pure. A. K. Erlang 1917; the waiting time of those who wait is exponential, see any textbook of
queueing (Gross et al., "Fundamentals of Queueing Theory", chapter 3).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from task_lab import stats
from task_lab.scaling.law import throughput
from task_lab.scaling.usl import Fit, Refused

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ask:
    """A load and what is asked of it: a share `quantile` of tasks waits less than `wait_s`."""

    per_s: float
    wait_s: float
    quantile: float = 0.95

    def __post_init__(self) -> None:
        if not self.per_s > 0 or not self.wait_s >= 0 or not 0 < self.quantile < 1:
            raise ValueError(f"no load to size for: {self}")


@dataclass(frozen=True)
class Answer:
    """The fewest workers that meet an ask; `workers` is None, and `reason` says why, if none do.

    low, high: bounds of `workers` from the fit's draws; None where they leave the measured counts.
    capacity_per_s, busy, wait_s: of that many workers, `busy` as a share of their capacity.
    """

    ask: Ask
    workers: int | None
    low: int | None = None
    high: int | None = None
    capacity_per_s: float | None = None
    busy: float | None = None
    wait_s: float | None = None
    reason: str | None = None


def workers_needed(ask: Ask, fit: Fit | Refused, slots: int) -> Answer:
    """The answer, among the worker counts between the smallest and the largest measured.

    slots: tasks that one worker runs at once.
    """
    if isinstance(fit, Refused):
        return Answer(ask, None, reason=f"no law was fitted: {fit.reason}")
    counts = np.arange(fit.counts[0], fit.counts[-1] + 1)
    capacity = np.array([fit.law.per_s(float(n)) for n in counts])
    waits = wait_quantile(counts * slots, ask.per_s, capacity, ask.quantile)
    drawn = wait_quantile(
        counts * slots, ask.per_s, throughput(fit.draws, counts.astype(np.float64)), ask.quantile
    )
    low, high = _bounds(drawn <= ask.wait_s, counts)
    meeting = np.flatnonzero(waits <= ask.wait_s)
    if not meeting.size:
        return Answer(ask, None, low=low, reason=_why_none(ask, fit, capacity, waits))
    at = int(meeting[0])
    return Answer(
        ask,
        workers=int(counts[at]),
        low=low,
        high=high,
        capacity_per_s=float(capacity[at]),
        busy=ask.per_s / float(capacity[at]),
        wait_s=float(waits[at]),
    )


def wait_quantile(
    servers: npt.NDArray[np.int64], per_s: float, capacity_per_s: Floats, quantile: float
) -> Floats:
    """Seconds that a share `quantile` of tasks waits at most; infinite at or beyond the capacity.

    servers: shape (n,); capacity_per_s: of all servers together, shape (…, n).
    """
    spare = capacity_per_s - per_s
    with np.errstate(divide="ignore", invalid="ignore"):
        log_waiting = log_erlang_c(servers, servers * (per_s / capacity_per_s))
        waits = np.maximum(0.0, (log_waiting - math.log1p(-quantile)) / spare)
    return np.where(spare > 0, waits, math.inf)


def log_erlang_c(servers: npt.NDArray[np.int64], load: Floats) -> Floats:
    """The logarithm of the share of arrivals that have to wait at all.

    load: arrivals/s ÷ what one server finishes a second (Erlang); 0 (all wait) from `servers` on.
    In logarithms, since a thousand servers at half their load leave less than a float can hold.
    """
    m = np.asarray(servers, dtype=np.float64)
    a = np.minimum(np.asarray(load, dtype=np.float64), m)
    # Erlang B, a Poisson probability over its sum; the sum up to m >= a is never near 0.
    log_b = m * np.log(a) - a - special.gammaln(m + 1) - np.log(special.gammaincc(m + 1, a))
    log_c = log_b - np.log1p(-(a / m) * -np.expm1(log_b))
    return np.where(a < m, np.minimum(log_c, 0.0), 0.0)


def _bounds(
    meets: npt.NDArray[np.bool_], counts: npt.NDArray[np.int64]
) -> tuple[int | None, int | None]:
    """Bounds over the draws; a draw that no count meets is beyond every count."""
    fewest = np.where(meets.any(axis=1), counts[meets.argmax(axis=1)].astype(np.float64), math.inf)
    tail = (1 - stats.CONFIDENCE) / 2
    low, high = np.quantile(fewest, [tail, 1 - tail], method="inverted_cdf")
    return _whole(low), _whole(high)


def _whole(value: float) -> int | None:
    return int(value) if math.isfinite(value) else None


def _why_none(ask: Ask, fit: Fit, capacity: Floats, waits: Floats) -> str:
    last = fit.counts[-1]
    best = int(capacity.argmax())
    most = f"{capacity[best]:,.0f} tasks/s with {fit.counts[0] + best} workers"
    is_past_peak = fit.law.peak <= last
    if ask.per_s >= capacity[best]:
        if is_past_peak:
            return f"more than any number of workers does: the law's peak is {most}"
        return f"more than {last} workers do ({most}), and more were not measured"
    shortest = f"{waits.min():.3g} s at best"
    name = stats.percentile_name(ask.quantile)
    if is_past_peak:
        return f"no number of workers brings the {name} wait below {ask.wait_s:g} s: {shortest}"
    return f"up to {last} workers the {name} wait is {shortest}, and more were not measured"
