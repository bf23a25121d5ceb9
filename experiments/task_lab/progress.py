"""A run's events as lines for people: what a notebook prints, and what every live view tells."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

_SHOWN = 4


def describe(event: Mapping[str, Any]) -> str | None:
    """The event in a line for people; None for those that tell them nothing.

    An event without the fields it used to have is told by its name.
    """
    line = _LINES.get(event["event"])
    if line is None:
        return None
    try:
        return line(event)
    except (LookupError, TypeError, ValueError):
        return str(event["event"]).replace("_", " ")


def tell(event: Mapping[str, Any]) -> None:
    """Print the event, if it says something to people: a notebook's progress."""
    if line := describe(event):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def phase_text(phase: Mapping[str, Any]) -> str:
    """Which phase it is: `sum, 3 workers, round 7`, `sleep, 1 worker, step at 450/s`."""
    kind, offered, workers = phase.get("kind"), phase.get("offered_per_s"), phase.get("workers")
    told = f"round {phase.get('round')}" if kind == "round" else str(kind or "phase")
    pace = "" if offered is None else f" at {_rate(offered)}/s"
    about = [str(phase["workload"])] if phase.get("workload") else []
    about += [_workers(workers)] if workers else []
    return ", ".join([*about, told + pace])


def _workers(count: int) -> str:
    return f"{count} worker" if count == 1 else f"{count} workers"


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.3g}"


def _plan(event: Mapping[str, Any]) -> str:
    count = len(event["phases"])
    return f"{count} phase{'' if count == 1 else 's'} planned"


def _phase_started(event: Mapping[str, Any]) -> str:
    duration = event.get("duration_s")
    lasting = "" if duration is None else f" in {duration:g} s"
    return f"{phase_text(event)}: {event['tasks']:,} tasks{lasting}"


def _phase_ended(event: Mapping[str, Any]) -> str:
    if not event["drained"]:
        return f"{phase_text(event)}: did not drain in time"
    accepted, rate = f"{event['accepted']:,}", f"{event['submit_per_s']:,.0f}/s"
    if event.get("kind") == "drain":
        return f"{phase_text(event)}: {accepted} filled in at {rate}, then drained"
    return f"{phase_text(event)}: {accepted} submitted at {rate}, all finished"


def _floor(event: Mapping[str, Any]) -> str:
    if "reason" in event:
        return f"no floor: {event['reason']}"
    return f"the floor of this machine: {event['end_to_end_per_s']:,.0f} tasks/s end to end"


def fault_text(fault: Mapping[str, Any]) -> str:
    """What is done to whom: `kill of worker-2`, `broker_restart`."""
    kind, target = str(fault["kind"]), str(fault["target"])
    return kind if kind.startswith(target) else f"{kind} of {target}"


def _faults_planned(event: Mapping[str, Any]) -> str:
    faults = event["faults"]
    if not faults:
        return "no fault is planned"
    named = [f"{fault_text(one)} at {one['at_s']:g} s" for one in faults[:_SHOWN]]
    more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return f"faults planned: {', '.join(named)}{more}"


def _bitten(event: Mapping[str, Any]) -> str:
    return (
        f"{fault_text(event)} {'bites' if event.get('bit', True) else 'did not reach its target'}"
    )


def _settled(event: Mapping[str, Any]) -> str:
    is_at_rest = event.get("settled", True)
    return "the platform is at rest" if is_at_rest else "the platform did not come to rest in time"


def _stopped(event: Mapping[str, Any]) -> str:
    return "the stack is stopped" + _ENDS.get(event.get("ended", ""), "")


_ENDS = {
    "completed": "; summary, figures and page are made",
    "interrupted": ", the run was interrupted",
    "crashed": ", the run came to no end",
}
_LINES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "plan": _plan,
    "stack_up": lambda event: f"the stack is up: API {event['api']}",
    "floor_measured": _floor,
    "calibrated": lambda event: f"the generator reaches {event['stub_per_s']:,.0f}/s on a stub",
    "scaled": lambda event: f"{_workers(event['workers'])} ready",
    "phase_started": _phase_started,
    "phase_ended": _phase_ended,
    "fault_planned": _faults_planned,
    "fault_injected": _bitten,
    "heal_failed": lambda event: f"{fault_text(event)} could not be healed: {event['reason']}",
    "fault_healed": lambda event: f"{fault_text(event)} is healed",
    "fault_skipped": lambda event: f"{fault_text(event)} is skipped: {event['reason']}",
    "searched": lambda event: f"the highest sustainable rate: {_rate(event['rate_per_s'])}/s",
    "healed": lambda _: "every fault is healed",
    "settled": _settled,
    "collected": lambda event: f"{event['tasks']:,} tasks of the ledger kept",
    "checked": lambda event: f"checks: {event['verdict']}",
    "stopped": _stopped,
}
