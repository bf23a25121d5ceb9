"""When each task of an open loop is meant to be sent, decided before the first one is.

A closed loop needs no schedule: it sends when an answer frees a place. Every schedule is a list of
seconds after the start, never falling; the same arguments give the same one on every machine.
"""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from task_lab.errors import UsageError
from task_lab.spec.arrivals import Arrivals


def schedule(arrivals: Arrivals, tasks: int, per_s: float, seed: int) -> list[float]:
    """The schedule of so many tasks with these arrivals, at `per_s` on average.

    A ramp goes by its own two rates; a trace is replayed as it was recorded, over and over where
    it has fewer arrivals. Raises UsageError for a trace that cannot be read.
    """
    match arrivals.shape:
        case "poisson":
            return poisson_schedule(tasks, per_s, seed)
        case "burst":
            assert arrivals.burst is not None
            return burst_schedule(tasks, per_s, arrivals.burst)
        case "ramp":
            assert arrivals.start_per_s is not None and arrivals.end_per_s is not None
            return ramp_schedule(tasks, arrivals.start_per_s, arrivals.end_per_s)
        case "trace":
            assert arrivals.trace is not None
            return trace_schedule(tasks, read_trace(Path(arrivals.trace)))
    return constant_schedule(tasks, per_s)


def constant_schedule(tasks: int, per_s: float) -> list[float]:
    """Evenly spaced."""
    return [index / per_s for index in range(tasks)]


def poisson_schedule(tasks: int, per_s: float, seed: int) -> list[float]:
    """Independent arrivals at a mean rate."""
    rng = random.Random(seed)  # noqa: S311 - arrivals, not secrets
    return list(accumulate(rng.expovariate(per_s) for _ in range(tasks)))


def burst_schedule(tasks: int, per_s: float, burst: int) -> list[float]:
    """So many at one instant, then nothing until the next burst is due."""
    return [index // burst * burst / per_s for index in range(tasks)]


def ramp_schedule(tasks: int, start_per_s: float, end_per_s: float) -> list[float]:
    """A rate that changes linearly from the first task to the last.

    With rates a and b over the time T = 2 n / (a + b), a t + (b - a) t^2 / 2T tasks are due by t;
    each is due when that reaches its index.
    """
    mean = (start_per_s + end_per_s) / 2
    slope = (end_per_s - start_per_s) * mean / tasks
    if math.isclose(start_per_s, end_per_s):
        return constant_schedule(tasks, mean)
    # 2 index / (a + sqrt(...)), not the textbook quotient: nothing cancels for a flat ramp.
    return [
        2 * index / (start_per_s + math.sqrt(max(0.0, start_per_s**2 + 2 * slope * index)))
        for index in range(tasks)
    ]


def trace_schedule(tasks: int, at_s: Sequence[float]) -> list[float]:
    """A recorded trace from its first arrival on; repeated, a mean gap apart, where it is short."""
    first, length = at_s[0], len(at_s)
    span = at_s[-1] - first
    period = span * length / (length - 1) if length > 1 else 1.0
    return [index // length * period + (at_s[index % length] - first) for index in range(tasks)]


def read_trace(path: Path) -> list[float]:
    """The column `at_s` of a CSV file, sorted: seconds (or unix seconds), finite.

    Raises UsageError, naming the line, for anything else.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if "at_s" not in (rows.fieldnames or ()):
                raise UsageError(f"{path}: a trace has a column at_s, not {rows.fieldnames}")
            found = [_moment(path, rows.line_num, row["at_s"]) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read as a trace: {error}") from error
    if not found:
        raise UsageError(f"{path}: a trace needs one arrival at least")
    return sorted(found)


def _moment(path: Path, line: int, text: str | None) -> float:
    try:
        moment = float(text or "")
    except ValueError:
        moment = math.nan
    if not math.isfinite(moment):
        raise UsageError(f"{path}, line {line}: {text!r} is no number of seconds")
    return moment
