"""How many database pages the platform's own statements touch, as the server itself explains them.

PostgreSQL's `auto_explain` writes the plan of each statement of a session to the server's log, with
the pages it touched. So what is counted are the platform's statements on the batches that its
worker really made of a queue, whatever they look like in this version. Reading the log is pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

# The server's own prefix (`%m [%p] `), then what auto_explain says before a plan.
_PLAN = re.compile(r"^\S+ \S+ \S+ \[(\d+)\] LOG:  duration: [\d.]+ ms  plan:$")
_TABLE = "tasks"


def pages_touched(log: Sequence[str], sessions: Collection[int]) -> int:
    """Pages that the sessions' statements touched which change tasks, cached or not, in all."""
    return sum(
        pages_of(document["Plan"])
        for session, document in explained(log)
        if session in sessions and changes(document["Plan"], _TABLE)
    )


def explained(log: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(process id of the session, explained statement) for each plan in the log's lines."""
    lines = iter(enumerate(log))
    for number, line in lines:
        if found := _PLAN.match(line):
            rest = log[number + 1 :]
            end = next((i for i, text in enumerate(rest) if not text.startswith("\t")), len(rest))
            yield int(found[1]), json.loads("\n".join(rest[:end]))


def changes(plan: Mapping[str, Any], table: str) -> bool:
    """Whether the plan writes to that table."""
    return any(
        node["Node Type"] == "ModifyTable" and node.get("Relation Name") == table
        for node in _nodes(plan)
    )


def pages_of(plan: Mapping[str, Any]) -> int:
    """Pages that a plan touched.

    A node's figure holds those of the nodes it drew rows from. A part of the statement that nobody
    draws from (`with … as (delete …)`) runs after the others, and is in no figure but its own.
    """
    nodes = list(_nodes(plan))
    drawn_from = {node.get("CTE Name") for node in nodes if node["Node Type"] == "CTE Scan"}
    apart = [
        node
        for node in nodes
        if str(node.get("Subplan Name", "")).startswith("CTE ")
        and node["Subplan Name"].removeprefix("CTE ") not in drawn_from
    ]
    return _own(plan) + sum(_own(node) for node in apart)


def _own(node: Mapping[str, Any]) -> int:
    return int(node.get("Shared Hit Blocks", 0)) + int(node.get("Shared Read Blocks", 0))


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
