"""One definition of a container's memory, on what engines of both cgroup versions say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from task_lab.collect.memory import (
    DEFINITION,
    FILE,
    cgroup_version,
    held_bytes,
    keep_memory,
    memory_document,
)
from task_lab.report.text import summary_text
from task_lab.report.words import memory_note
from task_lab.runtime.compose.engine import NoEngine
from task_lab.runtime.compose.runtime import ComposeRuntime
from task_lab.runtime.native import NativeRuntime
from task_lab.store import PROJECT, RunFolder

MIB = 2**20
V1: dict[str, Any] = {
    "usage": 300 * MIB,
    "max_usage": 310 * MIB,
    "stats": {
        "cache": 210 * MIB,
        "rss": 80 * MIB,
        "inactive_file": 150 * MIB,
        "total_cache": 240 * MIB,
        "total_inactive_file": 200 * MIB,
        "total_rss": 90 * MIB,
    },
    "limit": 1024 * MIB,
}
V2: dict[str, Any] = {
    "usage": 300 * MIB,
    "stats": {
        "anon": 90 * MIB,
        "file": 200 * MIB,
        "active_file": 10 * MIB,
        "inactive_file": 200 * MIB,
    },
    "limit": 1024 * MIB,
}
# What an engine says of a container that has just ended.
NOTHING: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("raw", "version", "held"), [(V1, 1, 100 * MIB), (V2, 2, 100 * MIB), (NOTHING, None, None)]
)
def test_c10_memory_is_the_same_on_cgroup_1_and_2(
    raw: dict[str, Any], version: int | None, held: int | None
) -> None:
    assert cgroup_version(raw) == version
    assert held_bytes(raw) == held


def test_c10_the_definition_and_the_raw_fields_are_kept() -> None:
    document = memory_document({"worker-1": V2, "api": V1, "redis": NOTHING}, at=5.0)
    assert document["definition"] == DEFINITION
    assert [one["name"] for one in document["containers"]] == ["api", "redis", "worker-1"]
    assert [one["raw"] for one in document["containers"]] == [V1, NOTHING, V2]


def test_c10_the_definition_is_printed_with_the_figures() -> None:
    run = {"experiment": "throughput", "verdict": "PASS", "ended": "completed"}
    counts = {"client": 1, "ledger": 1, "prometheus": 1}
    memory = memory_document({"api": V1, "redis": NOTHING}, at=5.0)
    summary = {"kind": "throughput", "points": [], "counts": counts, "objectives": []}
    text = summary_text(run, {**summary, "memory": memory})
    assert "| api | 100 MiB |" in text
    assert "| redis | n/a |" in text
    assert DEFINITION in text
    without = summary_text(run, {**summary, "memory": None})
    assert "container" not in without


def test_an_engine_that_does_not_tell_spoils_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: ComposeRuntime) -> None:
        raise NoEngine("its API is far away")

    monkeypatch.setattr(ComposeRuntime, "memory_stats", refuse)
    folder = RunFolder(tmp_path)
    keep_memory(folder, ComposeRuntime(tmp_path / "runtime"))
    memory = folder.read_json(FILE)
    assert memory["containers"] == []
    assert "its API is far away" in memory_note(memory)


def test_nothing_is_written_where_there_are_no_containers(tmp_path: Path) -> None:
    keep_memory(RunFolder(tmp_path), NativeRuntime(tmp_path / "runtime"))
    assert not (tmp_path / FILE).exists()


def test_the_file_is_documented() -> None:
    page = (PROJECT / "docs" / "reference" / "results.md").read_text(encoding="utf-8")
    assert f"| `{FILE}` |" in page
