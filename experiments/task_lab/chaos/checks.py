"""What a trial shows beside its history: it came to rest, worked again, and no process gave up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from task_platform.domain.task import State

from task_lab.check.histories import Operation
from task_lab.check.histories_ledger import Ledger
from task_lab.check.verdict import Check, Verdict
from task_lab.runtime.restarter import Death


def check_settled(left: Mapping[str, int], *, within_s: float) -> Check:
    """Nothing was left to do in time. left: see `settle`."""
    remaining = {name: count for name, count in left.items() if count}
    return Check(
        "settled",
        Verdict.FAIL if remaining else Verdict.PASS,
        f"at rest within {within_s:g} s" if not remaining else "not at rest in time",
        expected={},
        observed=remaining,
    )


def check_works_again(key: str, operations: Sequence[Operation], ledger: Ledger) -> Check:
    """The task that was sent last, to a platform without faults, was accepted and succeeded."""
    (last,) = [one for one in operations if one.key == key]
    states = [str(row.state) for row in ledger.tasks if row.id == last.task_id]
    is_done = last.outcome == "ok" and states == [State.SUCCEEDED]
    return Check(
        "works_again",
        Verdict.PASS if is_done else Verdict.FAIL,
        f"a task sent after all faults: {last.outcome}, {', '.join(states) or 'no row'}",
        expected=["ok", State.SUCCEEDED],
        observed=[last.outcome, *states],
    )


def check_deaths(deaths: Sequence[Death], ledger: Ledger) -> Check:
    """Processes end by themselves only where a `crash` task tells a worker to, once a claim."""
    told_to = sum(row.fence for row in ledger.tasks if row.task_type == "crash")
    workers = sum(one.job == "worker" for one in deaths)
    others = [f"{one.name}: exit code {one.exit_code}" for one in deaths if one.job != "worker"]
    return Check(
        "processes_survive",
        Verdict.FAIL if others or workers > told_to else Verdict.PASS,
        f"{workers} workers ended by themselves, up to {told_to} were told to; others: {others}",
        expected={"others": [], "workers": told_to},
        observed={"others": others, "workers": workers},
    )
