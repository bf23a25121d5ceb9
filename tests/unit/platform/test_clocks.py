"""No duration comes from the wall clock, which people and servers of time set forward and back."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import task_platform

FOLDER = Path(task_platform.__file__).parent
WALL_CLOCKS = {
    *("time", "time_ns", "time.time", "time.time_ns", "time.localtime", "time.gmtime"),
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
}


def wall_clock_calls(tree: ast.AST) -> Iterator[tuple[ast.Call, ast.Call | None]]:
    """Each call of a wall clock, with the call whose argument it is part of."""

    def walk(node: ast.AST, outer: ast.Call | None) -> Iterator[tuple[ast.Call, ast.Call | None]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call):
                if ast.unparse(child.func) in WALL_CLOCKS:
                    yield child, outer
                yield from walk(child, child)
            else:
                yield from walk(child, outer)

    yield from walk(tree, None)


def test_the_wall_clock_only_tells_which_ids_are_old_obs09() -> None:
    readers = set()
    for path in FOLDER.rglob("*.py"):
        for call, outer in wall_clock_calls(ast.parse(path.read_text(encoding="utf-8"))):
            readers.add(str(path.relative_to(FOLDER)))
            use = ast.unparse(outer.func) if outer else "nothing"
            assert use == "uuid7_floor", f"{path}:{call.lineno}"
    assert readers == {"relay/reannounce.py", "relay/census.py", "relay/retention.py"}
