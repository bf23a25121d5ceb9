"""The version of a run's documents, and how those of earlier ones are read.

Pure. A document is upgraded when it is read, one version at a time; the file stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from task_lab.errors import UsageError

SCHEMA = 2

Document = dict[str, Any]


class FromTheFuture(UsageError):
    """The document was written by a later version of the lab; `version` is its schema."""

    def __init__(self, version: object) -> None:
        self.version = version
        super().__init__(f"schema {version} is newer than this lab, which reads up to {SCHEMA}")


def upgraded_run(run: Mapping[str, Any]) -> Document:
    """run.json as this version writes it. Raises FromTheFuture."""
    return _upgraded(run, {1: _run_1_to_2})


def upgraded_summary(summary: Mapping[str, Any]) -> Document:
    """summary.json as this version writes it. Raises FromTheFuture."""
    return _upgraded(summary, {1: _summary_1_to_2})


def _upgraded(
    document: Mapping[str, Any], steps: Mapping[int, Callable[[Document], Document]]
) -> Document:
    found = dict(document)
    version = found.get("schema", 1)
    if not isinstance(version, int) or version > SCHEMA:
        raise FromTheFuture(version)
    while version < SCHEMA:
        found = steps[version](found)
        version += 1
        found["schema"] = version
    return found


def _run_1_to_2(run: Document) -> Document:
    """One kind of experiment became five, and a workload's one kind of task a list of parts."""
    params = run.get("params") or {}
    resolved = params.get("resolved") or {}
    if "workloads" not in resolved:
        return run  # the bench has parameters of its own, which did not change
    workloads = [
        {
            "name": old["name"],
            "parts": [{"name": old["name"], **_only(old, ("task_type", "payload", "expect"))}],
            **_only(old, ("tasks", "rounds", "drain_tasks")),
        }
        for old in resolved["workloads"]
    ]
    renewed = {**resolved, "kind": "throughput", "drains": 1, "workloads": workloads}
    return {**run, "params": {**params, "resolved": renewed}}


def _summary_1_to_2(summary: Document) -> Document:
    """There was one kind; headline figures and objectives were not kept apart from the points."""
    return {"kind": "throughput", "headline": [], "objectives": [], **summary}


def _only(record: Mapping[str, Any], names: tuple[str, ...]) -> Document:
    return {name: record[name] for name in names if name in record}
