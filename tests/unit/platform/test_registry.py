"""Task types: how functions become handlers, and what cannot work."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from task_platform.domain.retry import RetryPolicy
from task_platform.errors import ConfigurationError
from task_platform.handlers import HandlerRegistry, TaskContext, task
from task_platform.handlers.registry import Handler, Lane

from ...factories import handler

BUILT_IN = {"sum", "sleep", "echo", "cpu", "flaky", "fail", "crash", "effect"}


def mark_of(function: Any) -> Handler:
    return next(v for v in vars(function).values() if isinstance(v, Handler))


async def waits(_: Any) -> None:
    pass


def works(_: Any) -> None:
    pass


def knows_itself(_: Any, context: TaskContext) -> int:
    return context.attempt


@pytest.mark.parametrize(
    ("function", "options", "lane"),
    [
        (waits, {}, Lane.LOOP),
        (works, {}, Lane.THREAD),
        (works, {"inline": True}, Lane.INLINE),
        (works, {"process": True, "timeout_s": 1}, Lane.PROCESS),
    ],
)
def test_the_lane_follows_the_function(function: Any, options: dict[str, Any], lane: Lane) -> None:
    assert mark_of(task("t", **options)(function)).lane is lane


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (waits, {"inline": True}),
        (waits, {"process": True}),
        (works, {"inline": True, "process": True}),
        (works, {"inline": True, "timeout_s": 1}),
    ],
)
def test_a_combination_that_cannot_work_is_refused(function: Any, options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"^t: "):
        task("t", **options)(function)


def test_a_handler_gets_its_context_when_it_takes_two() -> None:
    assert not mark_of(task("t")(works)).takes_context
    assert mark_of(task("t")(knows_itself)).takes_context


def test_a_type_keeps_its_own_policy() -> None:
    policy = RetryPolicy(1, 2)
    assert mark_of(task("t", retry=policy, timeout_s=3)(works)).retry is policy


def test_two_handlers_for_one_type_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'twice'"):
        HandlerRegistry([handler("twice", works), handler("twice", waits)])


def test_the_built_in_types_are_always_there() -> None:
    assert HandlerRegistry.load("").task_types >= BUILT_IN
    assert HandlerRegistry.load(" , ").get("nope") is None


MODULES = {
    "own_tasks": "@task('own', inline=True)\ndef own(payload):\n    return payload\n",
    "borrowed": "from task_platform.handlers.builtin import echo\n",
    "clashing": "@task('sum')\ndef other(payload):\n    return 0\n",
    "broken": "1 / 0\n",
    "not_python": "def\n",
}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in MODULES.items():
        source = f"from task_platform.handlers import task\n{text}"
        (tmp_path / f"handlers_{name}.py").write_text(source)
        monkeypatch.delitem(sys.modules, f"handlers_{name}", raising=False)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("modules")
def test_handlers_of_ones_own_are_loaded_beside_the_built_in() -> None:
    registry = HandlerRegistry.load("handlers_own_tasks")
    own = registry.get("own")
    assert own is not None
    assert own.function("x") == "x"
    assert registry.task_types >= BUILT_IN


@pytest.mark.usefixtures("modules")
def test_without_the_built_in_types_there_are_ones_own_only() -> None:
    assert HandlerRegistry.load("", builtin_types=False).task_types == frozenset()
    own = HandlerRegistry.load("handlers_own_tasks", builtin_types=False)
    assert own.task_types == {"own"}
    # Their names are free then.
    clashing = HandlerRegistry.load("handlers_clashing", builtin_types=False)
    assert clashing.task_types == {"sum"}


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("handlers_missing", "cannot import"),
        ("handlers_broken", "ZeroDivisionError"),
        ("handlers_not_python", "SyntaxError"),
        (".relative", "cannot import"),
        ("handlers_borrowed", "no @task function"),
        ("handlers_clashing", "'sum'"),
    ],
)
def test_a_module_that_does_not_work_says_why(name: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        HandlerRegistry.load(name)
