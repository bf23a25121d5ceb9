"""Pages touched, out of plans in a server's log."""

from __future__ import annotations

import json
from typing import Any

from task_lab.bench.buffers import changes, explained, pages_of, pages_touched


def node(kind: str, pages: int, *plans: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "Node Type": kind,
        "Shared Hit Blocks": pages - 1,
        "Shared Read Blocks": 1,
        "Plans": list(plans),
        **more,
    }


FINISH = node(
    "CTE Scan",
    10,
    node("ModifyTable", 10, **{"Relation Name": "tasks", "Subplan Name": "CTE finished"}),
    # Nobody draws from it: it runs at the end, and only its own figure tells of it.
    node("ModifyTable", 3, **{"Relation Name": "claims", "Subplan Name": "CTE closed"}),
    **{"CTE Name": "finished"},
)
RENEW = node("ModifyTable", 5, **{"Relation Name": "claims"})


def log_of(session: int, plan: dict[str, Any]) -> list[str]:
    text = json.dumps({"Query Text": "-- Record\nupdate", "Plan": plan}, indent=2)
    first = f"2026-01-02 03:04:05.678 UTC [{session}] LOG:  duration: 1.234 ms  plan:"
    return [first, *(f"\t{line}" for line in text.splitlines())]


LOG = [
    "2026-01-02 03:04:05.000 UTC [1] LOG:  checkpoint starting: immediate force wait",
    *log_of(7, FINISH),
    *log_of(7, RENEW),
    "2026-01-02 03:04:05.000 UTC [1] LOG:  checkpoint complete",
    *log_of(8, FINISH),
    *log_of(7, FINISH),
]


def test_a_plan_counts_its_top_and_what_nobody_draws_from() -> None:
    assert pages_of(FINISH) == 13
    assert pages_of(RENEW) == 5


def test_every_plan_of_the_log_is_read_with_its_session() -> None:
    assert [session for session, _ in explained(LOG)] == [7, 7, 8, 7]
    assert [document["Plan"] for _, document in explained(LOG)] == [FINISH, RENEW, FINISH, FINISH]


def test_only_statements_that_change_tasks_count() -> None:
    assert changes(FINISH, "tasks") and not changes(RENEW, "tasks")


def test_only_the_sessions_asked_for_count() -> None:
    assert pages_touched(LOG, {7}) == 26
    assert pages_touched(LOG, {7, 8}) == 39
    assert pages_touched(LOG, {9}) == 0
    assert pages_touched([], {7}) == 0
