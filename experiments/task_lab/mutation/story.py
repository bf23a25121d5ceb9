"""Sabotages of what the run wrote down as it went on: phases, scrapes, faults, its end."""

from __future__ import annotations

from task_lab.check.verdict import Verdict
from task_lab.mutation.copies import Copy, Record, last_of
from task_lab.mutation.sabotage import (
    ALL,
    ENDED,
    FAIL,
    FAULTS,
    INVALID,
    SATURATION,
    SCALING,
    THROUGHPUT,
    UNKNOWN,
    Sabotage,
)

_EVENTS = "events.jsonl"


def leave_out_a_phase(copy: Copy) -> None:
    """A phase of the plan never ran: no task of it, nothing counted, not a word."""
    _leave_out(copy, lambda phase: phase == last_of(copy.lines(_EVENTS), "phase_ended")["phase"])


def stop_before_the_end_of_a_phase(copy: Copy) -> None:
    """A phase began, and nobody saw it end."""
    last = last_of(copy.lines(_EVENTS), "phase_ended")["phase"]
    copy.forget_events(lambda e: e["event"] == "phase_ended" and e["phase"] == last)


def leave_a_queue_undrained(copy: Copy) -> None:
    """A phase's queue was not empty when its time was up."""
    copy.edit_event("phase_ended", drained=False)


def climb_no_ladder(copy: Copy) -> None:
    """A saturation run warmed up and went home: no step was planned, none was climbed."""
    steps = {
        phase["name"]
        for event in copy.lines(_EVENTS)
        if event["event"] == "plan"
        for phase in event["phases"]
        if phase["kind"] != "warmup"
    }
    _leave_out(copy, steps.__contains__)
    copy.forget_events(lambda e: e["event"] == "plan" and _plans(e) <= steps)


def load_in_a_phase_of_no_plan(copy: Copy) -> None:
    """Tasks were sent in a phase that was never planned and that has no figures."""
    events = copy.lines(_EVENTS)
    gone = last_of(events, "phase_ended")["phase"]
    for event in events:
        if event["event"] == "plan":
            event["phases"] = [phase for phase in event["phases"] if phase["name"] != gone]
    copy.write_lines(_EVENTS, [event for event in events if event.get("phase") != gone])


def read_the_counters_too_early(copy: Copy) -> None:
    """Prometheus had not scraped every worker once more when its counters were read."""
    copy.edit_event("settled", scraped=False)


def garble_an_event(copy: Copy) -> None:
    """A line in the middle of the events cannot be read."""
    lines = copy.path(_EVENTS).read_bytes().splitlines(keepends=True)
    lines[len(lines) // 2] = b'{"at": 17\n'
    copy.path(_EVENTS).write_bytes(b"".join(lines))


def end_early(copy: Copy) -> None:
    """The run crashed, after it had written all that it writes."""
    copy.folder.update_run(ended="crashed")


def interrupt(copy: Copy) -> None:
    """Somebody pressed Ctrl-C, after the run had written all that it writes."""
    copy.folder.update_run(ended="interrupted", verdict=Verdict.INTERRUPTED)


def never_strike(copy: Copy) -> None:
    """One of the planned faults never happened."""
    one = last_of(copy.lines(_EVENTS), "fault_injected")["number"]
    copy.forget_events(lambda e: e["event"] in _OF_A_FAULT and e.get("number") == one)


def strike_beside_the_target(copy: Copy) -> None:
    """A fault was injected, and nothing shows that it reached its target."""
    copy.edit_event("fault_injected", bit=False)


def leave_a_fault_unhealed(copy: Copy) -> None:
    """A fault was never healed."""
    one = last_of(copy.lines(_EVENTS), "fault_healed")["number"]
    copy.forget_events(lambda e: e["event"] == "fault_healed" and e["number"] == one)


def forget_the_fault_plan(copy: Copy) -> None:
    """Nobody wrote down which faults were planned."""
    copy.forget_events(lambda event: event["event"] == "fault_planned")


def plan_fewer_faults(copy: Copy) -> None:
    """The plan that was written down has one fault less than the run was asked for."""
    events = copy.lines(_EVENTS)
    last_of(events, "fault_planned")["faults"].pop()
    copy.write_lines(_EVENTS, events)


def _leave_out(copy: Copy, is_gone: object) -> None:
    """Take phases away with all that is known of them; they stay planned."""
    assert callable(is_gone)
    history = copy.lines("history.jsonl")
    gone = [line for line in history if is_gone(line["phase"])]
    copy.write_lines("history.jsonl", [line for line in history if not is_gone(line["phase"])])
    ids = {line["task_id"] for line in gone}
    copy.drop_tasks(ids)
    copy.forget_events(lambda e: is_gone(e.get("phase")))
    _count_none_of(copy, len(ids))


def _count_none_of(copy: Copy, tasks: int) -> None:
    """Take so many from the workers' counters, from each as far as it goes."""
    for suffix in ("last", "raw"):
        left = tasks

        def lower(answer: Record) -> None:
            nonlocal left
            for one in answer["series"]:
                value = one["points"][-1][1] or 0
                taken = min(left, value)
                one["points"][-1][1], left = value - taken, left - taken

        copy.edit_json(f"metrics/processed_{suffix}.json", lower)


def _plans(event: Record) -> set[str]:
    return {phase["name"] for phase in event["phases"]}


_OF_A_FAULT = ("fault_started", "fault_injected", "fault_healed")
_ALIKE = (THROUGHPUT, SATURATION, SCALING)

STORY = (
    Sabotage(leave_out_a_phase, UNKNOWN, "phases_complete", _ALIKE),
    Sabotage(stop_before_the_end_of_a_phase, UNKNOWN, "phases_complete"),
    Sabotage(leave_a_queue_undrained, FAIL, "phases_complete"),
    Sabotage(climb_no_ladder, UNKNOWN, "phases_complete", (SATURATION,)),
    Sabotage(load_in_a_phase_of_no_plan, UNKNOWN, "phases_complete", _ALIKE),
    Sabotage(read_the_counters_too_early, UNKNOWN, "counts_agree"),
    Sabotage(garble_an_event, INVALID, "Unreadable"),
    Sabotage(end_early, UNKNOWN, ENDED),
    Sabotage(interrupt, Verdict.INTERRUPTED, ENDED, ALL),
    Sabotage(never_strike, UNKNOWN, "faults_bit", (FAULTS,)),
    Sabotage(strike_beside_the_target, UNKNOWN, "faults_bit", (FAULTS,)),
    Sabotage(leave_a_fault_unhealed, UNKNOWN, "faults_bit", (FAULTS,)),
    Sabotage(forget_the_fault_plan, UNKNOWN, "faults_bit", (FAULTS,)),
    Sabotage(plan_fewer_faults, UNKNOWN, "faults_bit", (FAULTS,)),
)
