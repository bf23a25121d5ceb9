"""What each part of the stack used, by phase and by point, from the samples in resources.jsonl.

Pure. CPU time comes from counters: what two samples do not show between them is not made up. Where
samples are missing (a frozen machine, a sampler that was stopped) nothing is known, and said so.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from task_lab.report.records import Phase
from task_lab.spec import MEASURED

Floats = npt.NDArray[np.float64]

# In the order in which they are shown; a part that is not named here comes after them.
FAMILIES = (
    "api",
    "worker",
    "relay",
    "postgres",
    "rabbitmq",
    "redis",
    "prometheus",
    "generator",
    "lab",
)
# A beat that is late by more than its half has been missed.
_GAP_BEATS = 2.5
# A mean needs samples over so much of a phase; a cost per task, over all but the rounding.
_MEAN_NEEDS, _COST_NEEDS = 0.5, 0.98
_FIELDS = (
    "cpu_s",
    "rss_bytes",
    "private_bytes",
    "shared_bytes",
    "fds",
    "threads",
    "read_bytes",
    "written_bytes",
    "processes",
)
_MACHINE = (
    "memory_available_bytes",
    "swap_used_bytes",
    "disk_read_bytes",
    "disk_written_bytes",
    "loopback_bytes",
)
_CPU = ("busy_s", "idle_s", "iowait_s", "steal_s")


@dataclass(frozen=True)
class Group:
    """One part in all samples. values: by field, shape (n,), NaN where it did not run or the
    kernel did not tell. roots: its first processes; None where it did not run."""

    name: str
    roots: tuple[tuple[int, ...] | None, ...]
    values: Mapping[str, Floats]

    @property
    def memory_bytes(self) -> Floats:
        """Private pages, and the largest shared part once."""
        return self.values["private_bytes"] + self.values["shared_bytes"]


@dataclass(frozen=True)
class Samples:
    """All samples of a run, in order; arrays have shape (n,), those in `cpu` (n, cores).

    at: unix seconds. monotonic_s: what rates go by. cost_s: CPU time of the sampling itself so far.
    cpu: seconds since the boot by kind (`busy_s`, `idle_s`, `iowait_s`, `steal_s`). machine: by
    name as in resources.jsonl.
    """

    at: Floats
    monotonic_s: Floats
    every_s: Floats
    cost_s: Floats
    groups: Mapping[str, Group]
    cpu: Mapping[str, Floats]
    machine: Mapping[str, Floats]

    @property
    def elapsed_s(self) -> Floats:
        """Length of each step from a sample to the next, shape (n - 1,)."""
        return np.diff(self.monotonic_s)

    @property
    def is_gap(self) -> npt.NDArray[np.bool_]:
        """Steps over which samples are missing, or a clock went back; shape (n - 1,)."""
        longest = self.every_s[1:] * _GAP_BEATS
        wall_s = np.diff(self.at)
        late = (self.elapsed_s > longest) | (wall_s > longest)
        found: npt.NDArray[np.bool_] = late | (self.elapsed_s <= 0) | (wall_s <= 0)
        return found


def samples_from(lines: Iterable[Mapping[str, Any]]) -> Samples:
    """The lines of resources.jsonl; no lines give arrays without elements."""
    found = list(lines)
    names = dict.fromkeys(name for line in found for name in line["groups"])
    cores = max((len(line["machine"]["cpu"]["busy_s"]) for line in found), default=0)
    return Samples(
        at=_column(line["at"] for line in found),
        monotonic_s=_column(line["monotonic_s"] for line in found),
        every_s=_column(line["every_s"] for line in found),
        cost_s=_column(line["cost_s"] for line in found),
        groups={name: _group(name, found) for name in sorted(names, key=_by_order)},
        cpu={kind: _matrix([line["machine"]["cpu"][kind] for line in found], cores)
             for kind in _CPU},
        machine={name: _column(line["machine"][name] for line in found) for name in _MACHINE},
    )  # fmt: skip


def family(name: str) -> str:
    """The kind of part: `worker` for worker-3, whatever comes after it."""
    found = re.match(r"[a-z]+", name)
    return found[0] if found else name


def families(samples: Samples) -> list[str]:
    """The kinds of parts that were seen, in the order in which they are shown."""
    return list(dict.fromkeys(family(name) for name in samples.groups))


def gains(samples: Samples, group: Group, field: str) -> Floats:
    """How much a counter of a group rose in each step, shape (n - 1,); NaN over a gap.

    A group that was started anew counts from 0. What it used between its last sample and its end
    is not known, and not in it.
    """
    values = group.values[field]
    ceiling = samples.elapsed_s * max(1, samples.cpu["busy_s"].shape[1])
    found = np.zeros(max(0, len(values) - 1))
    last = (group.roots[0], values[0]) if len(values) else (None, np.nan)
    for step, (roots, value) in enumerate(zip(group.roots[1:], values[1:], strict=True)):
        if roots is None:
            continue
        is_same = roots == last[0]
        # Sums of accounts that are not read at one instant may fall by a little.
        found[step] = max(0.0, value - last[1]) if is_same else value
        if not is_same and field == "cpu_s":
            # It was first seen late: more than all cores gave in the step was used before it.
            found[step] = min(found[step], ceiling[step])
        if np.isnan(value):
            found[step] = np.nan
        last = (roots, value)
    found[samples.is_gap] = np.nan
    return found


def cores_by_family(samples: Samples) -> dict[str, Floats]:
    """Cores that each kind of part kept busy in each step, shape (n - 1,); NaN over a gap."""
    return {
        kind: gained / samples.elapsed_s
        for kind, gained in gains_by_family(samples, "cpu_s").items()
    }


def gains_by_family(samples: Samples, field: str) -> dict[str, Floats]:
    """See `gains`; those of one kind added up."""
    found: dict[str, Floats] = {}
    for name, group in samples.groups.items():
        gained = gains(samples, group, field)
        found[family(name)] = found[family(name)] + gained if family(name) in found else gained
    return found


def level_by_family(samples: Samples, field: str) -> dict[str, Floats]:
    """A level of each kind of part at each sample, shape (n,); 0 where none of them ran.

    field: of resources.jsonl, or `memory_bytes`.
    """
    found: dict[str, Floats] = {}
    for name, group in samples.groups.items():
        level = group.memory_bytes if field == "memory_bytes" else group.values[field]
        total = found.setdefault(family(name), np.zeros(len(level)))
        total += np.nan_to_num(level)
    return found


def machine_cores(samples: Samples, kind: str) -> Floats:
    """Cores of the whole machine that were `busy_s`, `steal_s` … in each step; NaN over a gap."""
    rose = np.diff(np.nansum(samples.cpu[kind], axis=1))
    used: Floats = np.divide(
        rose, samples.elapsed_s, out=np.full(len(rose), np.nan), where=~samples.is_gap
    )
    return used


def machine_rate(samples: Samples, name: str) -> Floats:
    """How fast a counter of the machine rose in each step, per second; NaN over a gap."""
    rose = np.diff(samples.machine[name])
    used: Floats = np.divide(
        rose, samples.elapsed_s, out=np.full(len(rose), np.nan), where=~samples.is_gap
    )
    return used


def per_phase(phases: Sequence[Phase], samples: Samples) -> list[dict[str, Any]]:
    """What each phase used, one record a phase; see `_use_of` for the figures in it."""
    look = _Look(samples)
    return [
        {
            "phase": p.name,
            "kind": p.kind,
            "workload": p.workload,
            "workers": p.workers,
            **_use_of([p], look),
        }
        for p in phases
    ]


def per_point(phases: Sequence[Phase], samples: Samples) -> list[dict[str, Any]]:
    """What each point used, one record for each kind of measured phase in it, and in a ladder of
    rates for each fraction. Warm-ups and probes are left out."""
    look = _Look(samples)
    points: dict[tuple[str, int, str, float | None], list[Phase]] = {}
    for p in phases:
        if p.kind in MEASURED:
            points.setdefault((p.workload, p.workers, p.kind, p.fraction), []).append(p)
    return [
        {
            "workload": workload,
            "workers": workers,
            "kind": kind,
            "fraction": fraction,
            **_use_of(own, look),
        }
        for (workload, workers, kind, fraction), own in points.items()
    ]


def sampling(samples: Samples) -> dict[str, Any]:
    """What was sampled, how often, at what cost, with which gaps. None where nothing is known.

    cost_cores: of the sampling itself. steal_share, iowait_share: of the time of all cores.
    other_cores: busy cores of the machine that no part accounts for, the mean.
    """
    steps = ~samples.is_gap
    span_s = float(samples.elapsed_s[steps].sum())
    every_s = float(np.median(samples.every_s)) if len(samples.at) else None
    gaps = [
        {"from": float(samples.at[i]), "to": float(samples.at[i + 1])}
        for i in np.flatnonzero(~steps)
    ]
    found: dict[str, Any] = {"samples": len(samples.at), "every_s": every_s, "gaps": gaps}
    if not span_s:
        nothing = ("cost_cores", "steal_share", "iowait_share", "other_cores")
        return {**found, "sampled_s": 0.0, **dict.fromkeys(nothing)}
    kinds = {kind: np.diff(values, axis=0)[steps].sum() for kind, values in samples.cpu.items()}
    whole_s = np.nansum(list(kinds.values()))
    own_s = sum(gained[steps].sum() for gained in gains_by_family(samples, "cpu_s").values())
    return {
        **found,
        "sampled_s": _rounded(span_s),
        "cost_cores": _rounded(np.maximum(np.diff(samples.cost_s)[steps], 0).sum() / span_s),
        "steal_share": _rounded(kinds["steal_s"] / whole_s),
        "iowait_share": _rounded(kinds["iowait_s"] / whole_s),
        "other_cores": _rounded(max(0.0, float(kinds["busy_s"] - own_s)) / span_s),
    }


def resource_summary(phases: Sequence[Phase], samples: Samples) -> dict[str, Any] | None:
    """All of it as a plain record; None for a run that was not sampled."""
    if not len(samples.at):
        return None
    return {
        "sampling": sampling(samples),
        "points": per_point(phases, samples),
        "phases": per_phase(phases, samples),
    }


class _Look:
    """The series that every phase asks for, made once."""

    def __init__(self, samples: Samples) -> None:
        self.at = samples.at
        self.is_gap = samples.is_gap
        self.cpu_s = gains_by_family(samples, "cpu_s")
        self.memory_bytes = level_by_family(samples, "memory_bytes")

    def shares(self, start: float, end: float) -> Floats:
        """How much of each step lies inside a span, 0 to 1, shape (n - 1,); 0 for gaps."""
        left, right = self.at[:-1], self.at[1:]
        inside = np.clip(np.minimum(right, end) - np.maximum(left, start), 0, None)
        found: Floats = np.divide(
            inside, right - left, out=np.zeros(len(inside)), where=~self.is_gap
        )
        return found


def _use_of(phases: Sequence[Phase], look: _Look) -> dict[str, Any]:
    """What these phases used together.

    seconds: their length, drains from the moment their workers were let go; sampled_s: how much of
    it samples cover. cores: means over what is covered; None where that is less than half. A step
    that a phase shares with its neighbour is split by time. memory_bytes: the peak at samples in
    the phases or beside them. cpu_ms_per_task: over phases that are covered whole, else None.
    """
    spans = [(p.resumed_at or p.started_at, p.ended_at) for p in phases]
    shares = [look.shares(start, end) for start, end in spans]
    lengths = [end - start for start, end in spans]
    covered = [float((share * np.diff(look.at)).sum()) for share in shares]
    share = np.sum(shares, axis=0) if shares else np.zeros(0)
    used = {
        kind: float((np.where(share > 0, gained, 0) * share).sum())
        for kind, gained in look.cpu_s.items()
    }
    seconds, sampled_s = sum(lengths), sum(covered)
    is_known = sampled_s > 0 and sampled_s >= _MEAN_NEEDS * seconds
    is_whole = sampled_s > 0 and all(
        known >= _COST_NEEDS * length for known, length in zip(covered, lengths, strict=True)
    )
    tasks = sum(p.tasks for p in phases)
    touched = np.flatnonzero(share > 0)
    beside = np.union1d(touched, touched + 1)
    return {
        "seconds": _rounded(seconds),
        "sampled_s": _rounded(sampled_s),
        "cores": {k: _rounded(v / sampled_s) for k, v in used.items()} if is_known else None,
        "memory_bytes": {k: int(level[beside].max()) for k, level in look.memory_bytes.items()}
        if is_known
        else None,
        "cpu_ms_per_task": {k: _rounded(1e3 * v / tasks) for k, v in used.items()}
        if is_whole and tasks
        else None,
    }


def _group(name: str, lines: Sequence[Mapping[str, Any]]) -> Group:
    own = [line["groups"].get(name) for line in lines]
    return Group(
        name,
        roots=tuple(one and tuple(one["roots"]) for one in own),
        values={field: _column(one and one.get(field) for one in own) for field in _FIELDS},
    )


def _by_order(name: str) -> tuple[int, str, int, str]:
    """The families in their order, the replicas of one by number."""
    kind = family(name)
    number = re.search(r"\d+", name)
    place = FAMILIES.index(kind) if kind in FAMILIES else len(FAMILIES)
    return place, kind, int(number[0]) if number else 0, name


def _column(values: Iterable[float | None]) -> Floats:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def _matrix(rows: Sequence[Sequence[float | None]], width: int) -> Floats:
    """Shape (rows, width); NaN where a row has fewer values, or None."""
    found = np.full((len(rows), width), np.nan)
    for index, row in enumerate(rows):
        found[index, : len(row)] = _column(row)
    return found


def _rounded(value: float) -> float | None:
    """To three digits; None for what is no number."""
    return float(f"{value:.3g}") if np.isfinite(value) else None
