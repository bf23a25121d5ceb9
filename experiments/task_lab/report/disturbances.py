"""What each fault did to the platform, and how long that lasted. Pure: records in, figures out.

Times are unix seconds, by the machine's clock; what is given to readers counts from the start of
the load, or from the fault: from when it was begun, as a server that is told to stop lets go of its
clients before it is gone. A fault's *span* lasts from then to the next one's, or to the end of the
run: whatever happens in it is put down to it. The *backlog* is of tasks
that were due by the schedule and are not finished, so that what could not even be submitted is in
it as well.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from task_lab.check.executions import ENDINGS, Ending, endings_of
from task_lab.check.histories_ledger import Ledger
from task_lab.report.points import clean, joined
from task_lab.report.records import Phase
from task_lab.report.signs import Telemetry, signs_of

Floats = npt.NDArray[np.float64]

GRID_S = 0.05
# What "before" means: long enough to be steady, short enough to be free of the fault before.
BASELINE_S = 5.0
# Fewer seconds of an undisturbed load are no baseline.
_LEAST_BASELINE_S = 2.0
# The dip is that of the worst second, and the backlog is back once it is so for a second.
_SECOND_S = 1.0
# Less than one task: a single one that hangs is seen, the unrest of a light load is not.
_UNREST_TASKS = 0.5


@dataclass(frozen=True)
class Struck:
    """A fault as the run noted it. process: the one that was struck, if it was one.

    started_at: when it was begun; injected_at: when it was proven to have bitten.
    """

    number: int
    kind: str
    target: str
    started_at: float
    injected_at: float
    healed_at: float | None
    means: str
    bit: bool
    process: str


@dataclass(frozen=True)
class Load:
    """A paced load: its first and last due times, and its finished tasks in order of id.

    Tasks whose submission nobody knows are left out: when they were due is not known. scheduled_at,
    finished_at: of the tasks, sorted each for itself.
    """

    start: float
    end: float
    finished: pd.DataFrame
    scheduled_at: Floats
    finished_at: Floats

    @classmethod
    def of(cls, sent: pd.DataFrame, ledger: pd.DataFrame) -> "Load":
        """The load of one phase's submissions and ledger rows."""
        finished = joined(sent, ledger).dropna(subset="scheduled_at").sort_values("id")
        return cls(
            start=float(sent["scheduled_at"].min()),
            end=float(sent["scheduled_at"].max()),
            finished=finished,
            scheduled_at=np.sort(finished["scheduled_at"].to_numpy(np.float64)),
            finished_at=np.sort(finished["finished_at"].to_numpy(np.float64)),
        )

    def finished_between(self, start: float, end: float) -> int:
        """Tasks finished from `start` up to `end`."""
        first, last = np.searchsorted(self.finished_at, [start, end])
        return int(last - first)

    def mean_backlog(self, grid: Floats) -> Floats:
        """The mean backlog of the second that begins at each instant, exactly."""
        return self._waited(grid + _SECOND_S) - self._waited(grid)

    def _waited(self, grid: Floats) -> Floats:
        """Seconds that all tasks together had been in the backlog by each instant."""
        waited = np.zeros(len(grid))
        for times, sign in ((self.scheduled_at, 1), (self.finished_at, -1)):
            sums = np.concatenate([[0.0], np.cumsum(times - self.start)])
            counts = np.searchsorted(times, grid, side="right")
            waited += sign * (counts * (grid - self.start) - sums[counts])
        return waited

    def backlog(self, grid: Floats) -> Floats:
        """Tasks due and not finished at each instant."""
        due = np.searchsorted(self.scheduled_at, grid, side="right")
        done = np.searchsorted(self.finished_at, grid, side="right")
        return (due - done).astype(np.float64)


def struck_faults(events: Sequence[Mapping[str, Any]]) -> list[Struck]:
    """The faults that were injected, in order of time."""
    started, healed = (
        {one["number"]: one["at"] for one in events if one["event"] == name}
        for name in ("fault_started", "fault_healed")
    )
    return sorted(
        (
            Struck(
                number=one["number"],
                kind=one["kind"],
                target=one["target"],
                started_at=started[one["number"]],
                injected_at=one["at"],
                healed_at=healed.get(one["number"]),
                means=one.get("means", ""),
                bit=one["bit"],
                process=one.get("process", ""),
            )
            for one in events
            if one["event"] == "fault_injected"
        ),
        key=lambda fault: fault.started_at,
    )


def spans_of(faults: Sequence[Struck], end: float) -> list[tuple[float, float]]:
    """The span of each fault; the last one's ends with the run."""
    starts = [fault.started_at for fault in faults]
    return list(zip(starts, [*starts[1:], max(end, *starts, 0.0)], strict=True)) if starts else []


def measure_faults(
    phase: Phase, history: pd.DataFrame, tasks: pd.DataFrame, telemetry: Telemetry
) -> list[dict[str, Any]]:
    """One record a fault of the phase. history, tasks: the phase's own rows."""
    load = Load.of(history, tasks)
    faults = struck_faults(telemetry.events)
    spans = spans_of(faults, phase.ended_at)
    witness = telemetry.witness
    endings: Sequence[Mapping[Ending, int | None]] = (
        _count_endings(witness, spans) if witness else [dict.fromkeys(ENDINGS)] * len(spans)
    )
    found = [
        {
            "number": fault.number,
            "kind": fault.kind,
            "target": fault.target,
            "at_s": clean(start - load.start),
            "injected_s": clean(fault.injected_at - start),
            "down_s": None if fault.healed_at is None else clean(fault.healed_at - start),
            "bit": fault.bit,
            "means": fault.means,
            **_dip(load, start, min(end, load.end)),
            **_recovery(load, start, end),
            **_notice(telemetry, start, end, fault.process),
            **_latencies(load, start, end),
            "unanswered": _answered_between(history, start, end, "unknown"),
            "refused": _answered_between(history, start, end, "rejected"),
            **of_span,
        }
        for fault, (start, end), of_span in zip(faults, spans, endings, strict=True)
    ]
    return [
        {
            **fault,
            "alone": all(_is_over(earlier, fault["at_s"]) for earlier in found[:place]),
            "undisturbed": place + 1 == len(found) or _is_over(fault, found[place + 1]["at_s"]),
        }
        for place, fault in enumerate(found)
    ]


def _is_over(fault: Mapping[str, Any], at_s: float) -> bool:
    """Whether a fault was healed and made good by then."""
    lasted = [fault["down_s"], fault["recovered_s"]]
    return None not in lasted and bool(fault["at_s"] + max(lasted) <= at_s)


def _dip(load: Load, start: float, end: float) -> dict[str, Any]:
    """Throughput before the fault, that of the worst second of its span, and the dip between."""
    begin = max(load.start + _SECOND_S, start - BASELINE_S)
    none = {"baseline_per_s": None, "lowest_per_s": None, "dip": None}
    if start - begin < _LEAST_BASELINE_S or end - start < _SECOND_S:
        return none
    baseline = load.finished_between(begin, start) / (start - begin)
    ends = np.arange(start + _SECOND_S, end, GRID_S)
    if not baseline or not len(ends):
        return none
    counts = np.searchsorted(load.finished_at, ends) - np.searchsorted(
        load.finished_at, ends - _SECOND_S
    )
    lowest = float(counts.min()) / _SECOND_S
    return {
        "baseline_per_s": clean(baseline),
        "lowest_per_s": clean(lowest),
        "dip": clean(max(0.0, 1 - lowest / baseline)),
    }


def _recovery(load: Load, start: float, end: float) -> dict[str, Any]:
    """When the backlog was back at its level before the fault, on the mean of a second.

    The level is the highest such mean of the seconds before, and half a task: what chance alone
    brings about is no fault's doing. recovered_s: 0 where the backlog did not rise above it up to
    `end`; None where it was not back before the load ended, whatever struck meanwhile.
    """
    last = start - _SECOND_S
    before = load.mean_backlog(np.arange(max(load.start, start - BASELINE_S), last, GRID_S))
    grid = np.arange(start, load.end - _SECOND_S, GRID_S)
    if not len(before) or not len(grid):
        return {"backlog_before": None, "backlog_peak": None, "recovered_s": None}
    level, after = float(before.max()), load.mean_backlog(grid)
    within = max(1, round((end - start - _SECOND_S) / GRID_S))
    return {
        "backlog_before": clean(level),
        "backlog_peak": clean(float(after[:within].max())),
        "recovered_s": _back_after(after > level + _UNREST_TASKS, within),
    }


def _back_after(is_above: npt.NDArray[np.bool_], within: int) -> float | None:
    """Seconds until, once above, it is so no more; on the grid, of which `within` steps count."""
    if not is_above[:within].any():
        return 0.0
    above = int(np.argmax(is_above))
    if is_above[above:].all():
        return None
    return clean((above + int(np.argmin(is_above[above:]))) * GRID_S)


def _notice(telemetry: Telemetry, start: float, end: float, process: str) -> dict[str, Any]:
    """Every sign of the fault in the order seen; the first is when it was noticed."""
    signs = [
        {"sign": sign.what, "after_s": clean(sign.at - start)}
        for sign in signs_of(telemetry, start, end, process)
    ]
    return {"noticed": signs[0] if signs else None, "signs": signs}


def _latencies(load: Load, start: float, end: float) -> dict[str, Any]:
    """The slowest task that was due in the span, or shortly enough before to be caught by it."""
    tasks = load.finished
    caught = tasks[(tasks["scheduled_at"] < end) & (tasks["finished_at"] >= start)]
    slowest = float(caught["end_to_end_s"].max()) if len(caught) else float("nan")
    return {"slowest_s": clean(slowest)}


def _answered_between(history: pd.DataFrame, start: float, end: float, outcome: str) -> int:
    answered = history[(history["outcome"] == outcome) & history["answered_at"].between(start, end)]
    return len(answered)


def _count_endings(
    witness: Ledger, spans: Sequence[tuple[float, float]]
) -> Sequence[dict[Ending, int | None]]:
    """How executions ended in each span that came to no success; see `Ended`."""
    found = [Counter[Ending]() for _ in spans]
    for ended in endings_of(witness):
        for counts, (start, end) in zip(found, spans, strict=True):
            counts[ended.how] += start <= ended.at < end
    return [{how: counts[how] for how in ENDINGS} for counts in found]
