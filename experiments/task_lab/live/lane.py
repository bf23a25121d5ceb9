"""A fault as a line of the picture: its name, its stretch of the load, and how far it has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from task_lab.live.faults import FaultState, LiveFault
from task_lab.live.glyphs import Glyphs
from task_lab.live.state import RunState

_STYLES = {
    FaultState.PLANNED: "yellow",
    FaultState.STRIKING: "bold red",
    FaultState.BITING: "bold red",
    FaultState.MISSED: "bold magenta",
    FaultState.HEALING: "bold cyan",
    FaultState.STUCK: "bold red",
    FaultState.HEALED: "green",
    FaultState.SKIPPED: "magenta",
}
_NAME, _STATUS = 22, 20
_LEAST_COLUMNS = 10


@dataclass(frozen=True)
class Drawing:
    """Draws the faults of a state at a moment, `width` columns wide."""

    state: RunState
    now: float
    width: int
    glyphs: Glyphs

    def line(self, fault: LiveFault) -> Text:
        """The fault's line; its lane is left out where there is no room."""
        columns = self.width - _NAME - _STATUS - 4
        style = _STYLES[fault.state]
        text = Text(f" {fault.name:<{_NAME}.{_NAME}} ")
        if columns >= _LEAST_COLUMNS:
            text.append_text(self._lane(fault, columns, style))
        return text.append(f" {self._status(fault):>{_STATUS}}", style)

    def _status(self, fault: LiveFault) -> str:
        if fault.state is FaultState.PLANNED:
            due_in_s = self.state.lane.due_in_s(fault, self.now)
            if due_in_s is not None and not self.state.is_over:
                return f"planned in {due_in_s:.0f} s"
            return "planned" if fault.at_s is None else f"planned at {fault.at_s:g} s"
        struck_at, over_at = fault.struck_at, fault.over_at
        if fault.is_active and struck_at is not None:
            return f"{fault.state} {max(0.0, self.now - struck_at):.0f} s"
        if fault.state is FaultState.HEALED and struck_at is not None and over_at is not None:
            told = "no bite, healed" if fault.has_bitten is False else "healed"
            return f"{told} in {max(0.0, over_at - struck_at):.1f} s"
        return str(fault.state)

    def _lane(self, fault: LiveFault, columns: int, style: str) -> Text:
        """The load from its start to its end, with the stretch of this fault marked.

        What of the load is over is drawn in colour.
        """
        length_s, lane = self._load_s(), self.state.lane
        passed_s = 0.0 if lane.load_started_at is None else self.now - lane.load_started_at
        passed = min(columns, max(0, round(passed_s / length_s * columns))) if length_s else 0
        text = Text(self.glyphs.quiet * passed, "blue")
        text.append(self.glyphs.quiet * (columns - passed), "dim")
        if (stretch := self._stretch(fault)) is None or not length_s:
            return text
        begin_s, end_s, mark = stretch
        first = min(columns - 1, max(0, int(begin_s / length_s * columns)))
        last = min(columns, max(first + 1, round(end_s / length_s * columns)))
        return Text.assemble(text[:first], (mark * (last - first), style), text[last:])

    def _stretch(self, fault: LiveFault) -> tuple[float, float, str] | None:
        """From when to when the fault lasts, in seconds of the load, and what to draw it with."""
        start_at = self.state.lane.load_started_at
        if start_at is not None and fault.struck_at is not None:
            mark = self.glyphs.biting if fault.is_active else self.glyphs.over
            return fault.struck_at - start_at, (fault.over_at or self.now) - start_at, mark
        if fault.at_s is None:
            return None
        return fault.at_s, fault.at_s + (fault.for_s or 0.0), self.glyphs.planned

    def _load_s(self) -> float:
        """How long the load with the faults lasts, as far as anybody said."""
        loads = [phase.plan for phase in self.state.phases.values() if phase.plan.kind == "load"]
        loads += [plan for plan in self.state.plan.values() if plan.kind == "load"]
        lasting = [plan.duration_s for plan in loads if plan.duration_s]
        ends = [(one.at_s or 0.0) + (one.for_s or 0.0) for one in self.state.lane.faults]
        return max([lasting[0] if lasting else 0.0, *ends])


def nearest(faults: Sequence[LiveFault], rows: int) -> Sequence[LiveFault]:
    """So many of the faults, in their order: those that are active, then next, then over last.

    Where they are more than the rows, one row stays free to say so.
    """

    def rank(pair: tuple[int, LiveFault]) -> tuple[int, int]:
        place, fault = pair
        if fault.is_active:
            return 0, place
        return (1, place) if fault.state is FaultState.PLANNED else (2, -place)

    if len(faults) <= rows:
        return faults
    ranked = sorted(enumerate(faults), key=rank)[: max(1, rows - 1)]
    return [fault for _, fault in sorted(ranked, key=lambda pair: pair[0])]
