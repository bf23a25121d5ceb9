"""The picture of a run for a terminal: lines that fit its width, and as many as it has rows.

Draws a state and decides nothing. Colour is never the only sign of a difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from task_lab.live.faults import FaultState
from task_lab.live.glyphs import ASCII, BLOCKS, Glyphs, bar, clock, sparkline
from task_lab.live.lane import Drawing, nearest
from task_lab.live.rates import resampled
from task_lab.live.state import OUTCOMES, RunState, vars_of
from task_lab.progress import phase_text

# Rows that messages get at least, and that faults get at most in a small terminal.
_LEAST_MESSAGES, _FEW_FAULTS = 3, 4
# From this width on there is room for what explains a number.
_WIDE = 100
_VERDICTS = {"PASS": "bold green", "FAIL": "bold red"}


@dataclass(frozen=True)
class View:
    """What a console prints of a state at a moment. hint: a line at the very bottom, if any.

    rows: how high it may be; None for as high as the terminal.
    """

    state: RunState
    now: float
    hint: str = ""
    rows: int | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        glyphs = ASCII if options.ascii_only else BLOCKS
        page = _Page(self.state, self.now, options.max_width, glyphs)
        rows = self.rows or options.height or console.height
        for line in page.lines(rows, self.hint):
            line.truncate(options.max_width, overflow="crop" if options.ascii_only else "ellipsis")
            line.no_wrap = True
            yield line


@dataclass(frozen=True)
class _Page:
    state: RunState
    now: float
    width: int
    glyphs: Glyphs

    def lines(self, rows: int, hint: str) -> list[Text]:
        tail = [Text(f" {hint}", "dim")] if hint else []
        above = [*self._header(), *self._phases(), *self._rates()]
        left = rows - len(above) - len(tail)
        faults = list(self._faults(max(min(_FEW_FAULTS, left), left - _LEAST_MESSAGES - 2)))
        messages = list(self._messages(left - len(faults) - 1))
        page = [*above, *faults, *messages][: max(1, rows - len(tail))]
        if hint:
            page += [Text()] * (rows - len(tail) - len(page))
        return [*page, *tail]

    def _header(self) -> Iterator[Text]:
        state = self.state
        dot = self.glyphs.dot
        title = Text.assemble(
            (f" {state.experiment or 'a run'}", "bold"), (f" {dot} {state.runtime}", "dim")
        )
        yield self._apart(title, self._times())
        verdict = state.verdict if state.is_over else state.checked or ""
        told = Text(f"{verdict} ", _VERDICTS.get(verdict, "bold yellow")) if verdict else Text()
        yield self._apart(Text(f" {state.run_id}", "dim"), told)

    def _times(self) -> Text:
        state, eta = self.state, self.state.eta(self.now)
        text = Text.assemble((f"{clock(state.elapsed_s(self.now))} elapsed", "bold"))
        if eta is not None:
            text.append(f", load ends in {clock(eta.seconds)}", "cyan")
            if self.width >= _WIDE:
                text.append(f" by {eta.method}", "dim")
        return text.append(" ")

    def _phases(self) -> Iterator[Text]:
        state = self.state
        yield self._rule("phases")
        yield Text(f" {state.stage_text()}", self._stage_style())
        done, planned = state.done, state.planned
        if running := state.running:
            plan = running.plan
            if plan.duration_s:
                passed_s = min(max(0.0, self.now - running.started_at), plan.duration_s)
                told = f"{passed_s:.0f} of {plan.duration_s:g} s"
                yield self._bar("phase", passed_s / plan.duration_s, told)
            else:
                share = running.offered / plan.tasks if plan.tasks else 0.0
                yield self._bar("phase", share, f"{running.offered:,} of {plan.tasks:,} tasks")
        if planned is None:
            yield self._labelled("run", Text(f"{done} done" if done else "nothing planned yet"))
        else:
            yield self._bar(
                "run", done / planned if planned else 0.0, f"{done} of {planned} phases"
            )
        if waiting := state.waiting():
            more = f", then {len(waiting) - 1} more" if len(waiting) > 1 else ""
            yield self._labelled("next", Text(phase_text(vars_of(waiting[0])) + more, "dim"))

    def _stage_style(self) -> str:
        if self.state.interrupted_at is not None:
            return "bold yellow"
        return "bold" if self.state.running else "default"

    def _rates(self) -> Iterator[Text]:
        state, moment = self.state, self.state.moment(self.now)
        counts = Text.assemble("offered ", (f"{state.offered:,}", "bold"))
        for outcome in OUTCOMES:
            count = state.outcomes[outcome]
            alarm = "bold yellow" if count and outcome != "accepted" else "bold"
            counts.append("   ").append(f"{outcome} ").append(f"{count:,}", alarm)
        yield self._rule("tasks", "last 60 s")
        yield Text(" ").append_text(counts)
        rate = f"{state.submit_per_s(moment):,.0f}/s"
        first = next(iter(state.phases.values()), None)
        accepted = state.accepted.last(moment, since=first.started_at if first else moment)
        yield self._curve("accepted", accepted, rate, "green")
        backlog = state.backlog(moment)
        depth = "n/a" if backlog is None else f"{backlog:,}"
        yield self._curve("in queue", state.depth.last(moment), depth, "cyan")
        if busy := state.cores.busy(moment):
            used = [f"{name} {cores:.2f}" for name, cores in state.cores.used(moment).items()]
            told = f"{busy[0]:.1f} of {busy[1]} busy: {', '.join(used)}"
            yield self._labelled("cores", Text(told))

    def _curve(self, label: str, values: list[float | None], told: str, style: str) -> Text:
        top = max((value for value in values if value is not None), default=0.0)
        height = f" top {top:<9,.0f}" if self.width >= _WIDE else ""
        height = height if top else " " * len(height)
        columns = max(8, self.width - 21 - len(height))
        drawn = sparkline(resampled(values, columns), self.glyphs)
        return Text.assemble(
            (f" {label:<9}", "dim"), (drawn, style), (f" {told:>9} ", "bold"), (height, "dim")
        )

    def _faults(self, rows: int) -> Iterator[Text]:
        lane = self.state.lane
        if not lane.faults:
            return
        planned, healed = lane.of(FaultState.PLANNED), lane.of(FaultState.HEALED)
        active = sum(fault.is_active for fault in lane.faults)
        yield self._rule("faults", f"{len(planned)} planned, {active} active, {len(healed)} healed")
        drawing = Drawing(self.state, self.now, self.width, self.glyphs)
        shown = nearest(lane.faults, max(1, rows - 1))
        for fault in shown:
            yield drawing.line(fault)
        if len(shown) < len(lane.faults):
            yield Text(f" and {len(lane.faults) - len(shown)} more", "dim")

    def _messages(self, rows: int) -> Iterator[Text]:
        if rows < 1:
            return
        yield self._rule("messages")
        started_at = self.state.started_at or 0.0
        recent = list(self.state.messages)[-rows:]
        for number, (at, line) in enumerate(recent, 1):
            style = "default" if number == len(recent) else "dim"
            yield Text.assemble((f"{clock(at - started_at):>8}  ", "dim"), (line, style))

    def _labelled(self, label: str, text: Text) -> Text:
        return Text.assemble((f" {label:<9}", "dim"), text)

    def _bar(self, label: str, share: float, told: str) -> Text:
        width = max(4, self.width - 12 - max(23, len(told)))
        done, left = bar(share, width, self.glyphs)
        text = self._labelled(label, Text.assemble((done, "green"), (left, "dim")))
        return text.append(f" {told}")

    def _rule(self, title: str, told: str = "") -> Text:
        line = self.glyphs.rule
        end = f" {told} {line}" if told else ""
        begin = f"{line} {title} "
        filling = line * max(0, self.width - len(begin) - len(end))
        return Text.assemble((begin, "bold blue"), (filling, "blue"), (end, "blue"))

    def _apart(self, left: Text, right: Text) -> Text:
        """Both on one line, at its two ends; the right one is left out where both do not fit."""
        gap = self.width - left.cell_len - right.cell_len
        return Text.assemble(left, " " * gap, right) if gap >= 1 else left
