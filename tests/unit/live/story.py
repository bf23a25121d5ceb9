"""What a run would have written up to a moment: made-up phases, submissions, samples, faults."""

from __future__ import annotations

import functools
import math
from typing import Any

from task_lab.live.feed import News, Sent
from task_lab.live.state import RunState

START = 1_760_000_000.0
RUN_ID = "20251009T085320Z-23cf451-1a2b"
RUN = {
    "experiment": "faults",
    "runtime": "native",
    "verdict": "UNKNOWN",
    "started_at": "2025-10-09T08:53:20.000+00:00",
    "ended_at": None,
    "ended": "crashed",
}
WARMUP = {"kind": "warmup", "workload": "effect", "workers": 3, "tasks": 1000}
LOAD = {
    "kind": "load",
    "workload": "effect",
    "workers": 3,
    "tasks": 24_000,
    "offered_per_s": 400.0,
    "duration_s": 60.0,
}
STEPS = [
    {"kind": "step", "workload": "sleep", "workers": 1, "tasks": 500, "duration_s": 10.0}
    | {"offered_per_s": 50.0 * n, "name": f"sleep-w1-step{n}"}
    for n in (1, 2)
]
PLAN = [{"name": "effect-w3-warmup", **WARMUP}, {"name": "effect-w3-load", **LOAD}, *STEPS]
FAULTS = [
    {"number": 1, "kind": "kill", "target": "worker-2", "at_s": 10.0, "for_s": 4.0},
    {"number": 2, "kind": "database_restart", "target": "database", "at_s": 25.0, "for_s": 0.0},
    {"number": 3, "kind": "network_cut", "target": "broker", "at_s": 45.0, "for_s": 4.0},
]
LOAD_AT = 14.0


def events() -> list[dict[str, Any]]:
    """All of them, as the lab would write them."""
    told: list[tuple[float, str, dict[str, Any]]] = [
        (0.5, "plan", {"phases": PLAN}),
        (6.0, "stack_up", {"api": "http://127.0.0.1:8000"}),
        (8.0, "floor_measured", {"end_to_end_per_s": 6100.0}),
        (9.0, "calibrated", {"stub_per_s": 5200.0}),
        (10.0, "scaled", {"workers": 3, "replicas": ["worker-1", "worker-2", "worker-3"]}),
        (10.5, "phase_started", {"phase": "effect-w3-warmup", **WARMUP}),
        (
            13.5,
            "phase_ended",
            {"phase": "effect-w3-warmup", **WARMUP, "drained": True, "accepted": 1000}
            | {"submit_per_s": 1210.0},
        ),
        (13.9, "fault_planned", {"faults": FAULTS}),
        (LOAD_AT, "phase_started", {"phase": "effect-w3-load", **LOAD}),
    ]
    for fault, lasting in zip(FAULTS, (4.0, 6.5, 4.0), strict=True):
        about = {key: fault[key] for key in ("number", "kind", "target")}
        at = LOAD_AT + float(fault["at_s"])  # type: ignore[arg-type]
        told += [
            (at, "fault_started", about),
            (at + 0.1, "fault_injected", {**about, "bit": True}),
            (at + lasting, "heal_started", about),
            (at + lasting + 1.2, "fault_healed", {**about, "heal": "start it again"}),
        ]
    told += [
        (
            76.0,
            "phase_ended",
            {"phase": "effect-w3-load", **LOAD, "drained": True, "accepted": 23_950}
            | {"submit_per_s": 399.0},
        ),
        (77.0, "healed", {}),
        (78.0, "settled", {"settled": True}),
        (80.0, "collected", {"tasks": 24_950}),
        (81.0, "checked", {"verdict": "PASS"}),
        (84.0, "stopped", {"ended": "completed"}),
    ]
    return [{"at": START + at, "event": name, **fields} for at, name, fields in told]


def state_at(moment_s: float) -> RunState:
    """The state of the run so many seconds after its start."""
    state = RunState(run_id=RUN_ID)
    state.take(News(run=RUN))
    for news in _told_until(moment_s):
        state.take(news)
    return state


def _told_until(moment_s: float) -> list[News]:
    """What was written within so many seconds of the start, in the order of its times."""
    return [news for at, news in _all_news() if at <= START + moment_s]


@functools.cache
def _all_news() -> list[tuple[float, News]]:
    samples = [_sample(n / 4) for n in range(40, 312)]
    # An event comes before what was sent at the same time.
    told = [
        *((event["at"], 0, News(events=[event])) for event in events()),
        *((one.answered_at or 0.0, 1, News(sent=[one])) for one in _sent()),
        *((sample["at"], 2, News(samples=[sample])) for sample in samples),
        *((one["at"], 2, News(resources=[one])) for one in map(_use, range(20, 156))),
    ]
    return [(at, news) for at, _, news in sorted(told, key=lambda one: one[:2])]


def _sent() -> list[Sent]:
    found = []
    for n in range(1000):
        found.append(Sent("accepted", START + 10.6 + n / 1210, "effect-w3-warmup"))
    for n in range(24_000):
        at = LOAD_AT + n / 400
        is_cut = 39.2 < at < 41.0  # the database is away
        outcome = "unknown" if is_cut and n % 15 == 0 else "accepted"
        answered_at = max(at, 41.0) if is_cut else at
        found.append(Sent(outcome, START + answered_at + 0.01, "effect-w3-load"))
    return found


def _use(half_second: int) -> dict[str, Any]:
    """Parts that each use the same share of a core all the time."""
    for_s = half_second / 2
    cores = {"postgres": 0.52, "worker": 0.38, "api": 0.31, "rabbitmq": 0.12, "generator": 0.2}
    return {
        "at": START + for_s,
        "groups": {part: {"cpu_s": used * for_s} for part, used in cores.items()},
        "machine": {"cpu": {"busy_s": [0.9 * for_s, 0.8 * for_s]}},
    }


def _sample(at: float) -> dict[str, Any]:
    depth = 12 + 10 * math.sin(at)
    if 24 <= at <= 30:
        depth += (at - 24) * 80
    elif 30 < at < 33:
        depth += (33 - at) * 160
    is_away = 39 <= at < 41
    return {"at": START + at, "ready": None if is_away else int(depth), "consumers": 3}
