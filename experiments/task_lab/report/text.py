"""summary.md: the verdict, what was found, the counts, the memory."""

from __future__ import annotations

from typing import Any

from task_lab.check.objectives import told_limit
from task_lab.report import words
from task_lab.report.kinds import KINDS


def summary_text(run: dict[str, Any], summary: dict[str, Any]) -> str:
    """The summary as Markdown, for people."""
    counts = summary["counts"]
    return "\n".join(
        [
            f"# {run['experiment']}: {run['verdict']}",
            "",
            words.verdict_sentence(run),
            "",
            *KINDS[summary["kind"]].text(summary),
            *_objective_lines(summary["objectives"]),
            "",
            f"Terminal tasks: client {words.count(counts['client'])}, "
            f"ledger {words.count(counts['ledger'])}, "
            f"Prometheus {words.count(counts['prometheus'])}.",
            "",
            *_memory_lines(summary.get("memory")),
        ]
    )


def _objective_lines(objectives: list[dict[str, Any]]) -> list[str]:
    if not objectives:
        return []
    rows = [
        f"| {one['name']} | {one['where']} | {told_limit(one)} | {words.figure(one['observed'])} "
        f"| {one['verdict']} |"
        for one in objectives
    ]
    head = "| objective | where | limit | observed | verdict |"
    return ["", head, "|---|---|---|---|---|", *rows]


def _memory_lines(memory: dict[str, Any] | None) -> list[str]:
    if not memory:
        return []
    if "reason" in memory:
        return [words.memory_note(memory), ""]
    rows = [
        f"| {one['name']} | {words.mebibytes(one['held_bytes'])} |" for one in memory["containers"]
    ]
    return ["| container | memory |", "|---|---|", *rows, "", words.memory_note(memory), ""]
