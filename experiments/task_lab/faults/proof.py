"""Whether every planned fault struck, bit and was healed: what the events of a run prove. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from task_lab.check.verdict import Check, Verdict, passed, some

_NAME = "faults_bit"
# The event that is proof of each step, in their order.
_STEPS = {
    "started": "fault_started",
    "injected": "fault_injected",
    "healed": "fault_healed",
}


def check_faults_bit(events: Sequence[Mapping[str, Any]]) -> Check:
    """UNKNOWN unless each fault that was planned struck, reached its target and was healed.

    expected: how many of each kind and target were planned; observed: how many bit and were
    healed. A run that was to be disturbed and was not proves nothing about disturbances.
    """
    plans = [event["faults"] for event in events if event["event"] == "fault_planned"]
    if len(plans) != 1:
        return Check(_NAME, Verdict.UNKNOWN, f"{len(plans)} fault plans were noted, not one")
    (planned,) = plans
    seen = {step: _by_number(events, name) for step, name in _STEPS.items()}
    reasons = {one["number"]: one["reason"] for one in events if one["event"] == "fault_skipped"}
    wrong = {
        fault["number"]: problem
        for fault in planned
        if (problem := _problem(fault["number"], seen, reasons))
    }
    expected = _counts(planned)
    observed = _counts(fault for fault in planned if fault["number"] not in wrong)
    if not wrong:
        what = f"all {len(planned)} planned faults bit, and each was healed"
        return passed(_NAME, what if planned else "no fault was planned", expected=expected)
    told = some(
        f"{_name_of(one)} {wrong[one['number']]}" for one in planned if one["number"] in wrong
    )
    return Check(
        _NAME,
        Verdict.UNKNOWN,
        f"{len(wrong)} of {len(planned)} planned faults prove nothing: {told}",
        expected=expected,
        observed=observed,
    )


def _problem(
    number: int,
    seen: Mapping[str, Mapping[int, Mapping[str, Any]]],
    reasons: Mapping[int, str],
) -> str:
    """Why this fault proves nothing; empty if it does."""
    if number in reasons:
        return f"was skipped: {reasons[number]}"
    if number not in seen["injected"]:
        return "never struck" if number not in seen["started"] else "was begun, not injected"
    if not seen["injected"][number]["bit"]:
        return "did not reach its target"
    return "" if number in seen["healed"] else "was not healed"


def _by_number(events: Iterable[Mapping[str, Any]], name: str) -> dict[int, Mapping[str, Any]]:
    return {event["number"]: event for event in events if event["event"] == name}


def _counts(faults: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    return dict(Counter(f"{fault['kind']} {fault['target']}" for fault in faults))


def _name_of(fault: Mapping[str, Any]) -> str:
    return f"{fault['kind']} of {fault['target']} at {fault['at_s']:g} s"
