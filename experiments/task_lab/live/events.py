"""A run for other programs: one line of strict JSON for each event as it happens, on any stream.

Between the run's own events there is a `progress` event each second, with the state's numbers.
Standard output is no business of this module: it has the one object at a command's end.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from task_lab.live.faults import FaultState
from task_lab.live.feed import News
from task_lab.live.state import OUTCOMES, RunState

PROGRESS_EVERY_S = 1.0


class JsonLines:
    """Writes to the stream and flushes it after each look."""

    look_every_s = 0.1

    def __init__(self, stream: TextIO, path: Path, *, is_own: bool = True) -> None:
        self._stream, self._path, self._is_own = stream, path, is_own
        self._told_at: float | None = None

    def show(self, state: RunState, news: News, now: float) -> None:
        if self._told_at is None:
            self._write({"at": now, "event": "watching", "run": str(self._path)})
        for event in news.events:
            self._write(event)
        if self._told_at is None or now - self._told_at >= PROGRESS_EVERY_S:
            self._progress(state, now)
        self._stream.flush()

    def interrupted(self, state: RunState, now: float) -> None:
        if not self._is_own:
            return
        healing = [fault.name for fault in state.lane.faults if fault.is_active]
        fields = {"run": str(self._path), "healing": healing, "stopping": not state.is_stopped}
        self._write({"at": now, "event": "interrupted", **fields})
        self._stream.flush()

    def close(self, state: RunState, now: float) -> None:
        self._progress(state, now)
        self._stream.flush()

    def _progress(self, state: RunState, now: float) -> None:
        self._told_at = now
        self._write({"at": now, "event": "progress", **numbers_of(state, now)})

    def _write(self, event: Mapping[str, Any]) -> None:
        self._stream.write(strict_json(event) + "\n")


def numbers_of(state: RunState, now: float) -> dict[str, Any]:
    """The state as a JSON-ready object: the fields of a `progress` event."""
    running, eta, lane = state.running, state.eta(now), state.lane
    plan = running.plan if running else None
    return {
        "stage": state.stage_text(),
        "phase": plan.name if plan else None,
        "kind": plan.kind if plan else None,
        "workload": plan.workload if plan else None,
        "workers": plan.workers if plan else None,
        "offered_per_s": plan.offered_per_s if plan else None,
        "phases_done": state.done,
        "phases_planned": state.planned,
        "offered": state.offered,
        **{outcome: state.outcomes[outcome] for outcome in OUTCOMES},
        "submit_per_s": state.submit_per_s(now),
        "backlog": state.backlog(now),
        "faults_planned": len(lane.of(FaultState.PLANNED)),
        "faults_active": sum(fault.is_active for fault in lane.faults),
        "faults_healed": len(lane.of(FaultState.HEALED)),
        "cores": {name: round(used, 3) for name, used in state.cores.used(now).items()},
        "checks": state.checked,
        "elapsed_s": round(state.elapsed_s(now), 3),
        "eta_s": round(eta.seconds, 3) if eta else None,
        "eta_method": eta.method if eta else None,
    }


def strict_json(document: Mapping[str, Any]) -> str:
    """The document as one line; a number that JSON does not have is null."""
    try:
        return json.dumps(document, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(document), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
