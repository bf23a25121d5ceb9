"""Imports point down: the packages know of each other only what the architecture allows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLATFORM = ROOT / "platform" / "task_platform"
LAB = ROOT / "experiments" / "task_lab"
PROCESSES = {"api", "relay", "worker"}
# What the bench holds against the API differs from it in nothing but the work.
SERVED_ALIKE = {
    ("experiments/task_lab/bench/empty_route.py", "task_platform.api.schemas.TaskIn"),
    ("experiments/task_lab/bench/empty_route.py", "task_platform.service.serving"),
}


def imports_of(path: Path) -> Iterator[str]:
    """Absolute names of every module or object that a file imports, at any depth."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(folder: Path) -> list[tuple[str, str]]:
    """(file, imported name) for every import of our own packages below a folder."""
    return [
        (str(path.relative_to(ROOT)), name)
        for path in sorted(folder.rglob("*.py"))
        for name in imports_of(path)
        if name.split(".")[0] in ("task_platform", "task_lab")
    ]


def test_the_packages_are_where_this_test_looks() -> None:
    assert len(ours(PLATFORM)) > 50
    assert len(ours(LAB)) > 20


def test_the_domain_imports_nothing_of_ours() -> None:
    allowed = "task_platform.domain."
    assert [found for found in ours(PLATFORM / "domain") if not found[1].startswith(allowed)] == []


def test_the_domain_does_no_io() -> None:
    banned = {"asyncio", "os", "socket", "time", "random", "asyncpg", "aiormq", "pathlib"}
    for path in (PLATFORM / "domain").glob("*.py"):
        assert banned.isdisjoint(name.split(".")[0] for name in imports_of(path)), path


@pytest.mark.parametrize("process", sorted(PROCESSES))
def test_the_processes_do_not_import_each_other(process: str) -> None:
    others = PROCESSES - {process}
    for path, name in ours(PLATFORM / process):
        parts = name.split(".")
        assert parts[0] == "task_platform", path
        assert parts[1] not in others, f"{path} imports {name}"


@pytest.mark.parametrize("below", ["storage", "broker", "handlers"])
def test_what_lies_below_knows_of_no_process(below: str) -> None:
    for path, name in ours(PLATFORM / below):
        assert name.split(".")[1] not in PROCESSES, f"{path} imports {name}"


def test_the_platform_knows_nothing_of_the_lab() -> None:
    assert [found for found in ours(PLATFORM) if found[1].startswith("task_lab")] == []


def test_the_lab_knows_only_the_domain_of_the_platform() -> None:
    for path, name in ours(LAB):
        if name.startswith("task_platform") and (path, name) not in SERVED_ALIKE:
            assert name.startswith("task_platform.domain."), f"{path} imports {name}"


def test_nothing_shadows_the_standard_library() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()
