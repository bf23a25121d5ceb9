"""Running one task, in each lane: whatever a handler does becomes an outcome."""

from __future__ import annotations

import asyncio
import importlib
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from pydantic import BaseModel
from task_platform.domain.retry import RetryPolicy
from task_platform.errors import NonRetryable, RetryAfter
from task_platform.handlers import HandlerRegistry, TaskContext
from task_platform.handlers.registry import Handler, Lane
from task_platform.settings import Settings
from task_platform.storage.outcomes import Failure, Success
from task_platform.storage.transactions import HandlerConnections
from task_platform.worker.executor import Executor, Outcome

from ....factories import assignment, handler

RETRY = RetryPolicy(base_s=1, cap_s=10)
MAX_RESULT_BYTES = 1_000
SYNC = (Lane.INLINE, Lane.THREAD, Lane.PROCESS)


class Odd(Exception):
    """Cannot be built again from its arguments, nor printed."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("odd")

    def __str__(self) -> str:
        raise ValueError("no text")


class Bare(BaseException):
    """Not an Exception at all."""


def raise_by_name(name: str) -> None:
    """Raise what is asked for; with a function of its own, so that every lane can import it."""
    raise {
        "runtime": RuntimeError("told to"),
        "odd": Odd(1, 2),
        "stop": StopIteration(),
        "exit": SystemExit(3),
        "interrupt": KeyboardInterrupt(),
        "cancelled": asyncio.CancelledError(),
        "generator": GeneratorExit(),
        "timeout": TimeoutError("the handler's own"),
        "bare": Bare("x"),
        "final": NonRetryable("never again"),
    }[name]


async def raise_by_name_async(name: str) -> None:
    await asyncio.sleep(0)
    raise_by_name(name)


def executor_of(*handlers: Handler, **options: Any) -> Executor:
    """An executor that never gets as far as the database."""
    return Executor(
        HandlerRegistry(handlers),
        RETRY,
        concurrency=2,
        connections=HandlerConnections(Settings()),
        max_result_bytes=MAX_RESULT_BYTES,
        **options,
    )


@pytest.fixture(scope="module")
def processes() -> Any:
    """One pool of processes for the module: starting one takes a while."""
    executor = executor_of()
    yield executor._process_pool()
    executor.close()


@pytest.fixture
async def execute(processes: Any) -> AsyncIterator[Any]:
    """Runs a payload through a handler of our making, as a worker would."""
    made: list[Executor] = []

    async def run(made_handler: Handler | None, payload: Any = None, **fields: Any) -> Outcome:
        executor = executor_of(*([made_handler] if made_handler else []))
        executor._processes = processes
        made.append(executor)
        task = assignment(task_type="t", payload=msgspec.json.encode(payload).decode(), **fields)
        async with asyncio.timeout(20):
            return executor.run_inline(task) or await executor.run(task)

    yield run
    for executor in made:
        executor._processes = None
        executor.close()


@pytest.mark.parametrize("lane", SYNC)
async def test_a_result_is_stored_as_json(execute: Any, lane: Lane) -> None:
    outcome = await execute(handler("t", sum, lane=lane), [1, 2, 3])
    assert isinstance(outcome, Success)
    assert outcome.result == "6"
    assert outcome.task.claimed_at <= outcome.started_at <= outcome.ended_at


async def test_an_async_handler_runs_on_the_loop(execute: Any) -> None:
    async def where(_: Any) -> bool:
        return threading.current_thread() is threading.main_thread()

    assert (await execute(handler("t", where, lane=Lane.LOOP))).result == "true"


async def test_threads_and_processes_are_others(execute: Any) -> None:
    thread = await execute(handler("t", lambda _: threading.get_ident(), lane=Lane.THREAD))
    assert int(thread.result) != threading.get_ident()
    process = await execute(handler("t", eval, lane=Lane.PROCESS), "__import__('os').getpid()")
    assert int(process.result) != os.getpid()


NAMES = {
    "runtime": "RuntimeError",
    "odd": "Odd",
    "stop": "StopIteration",
    "exit": "SystemExit",
    "interrupt": "KeyboardInterrupt",
    "cancelled": "CancelledError",
    "generator": "GeneratorExit",
    "timeout": "TimeoutError",
    "bare": "Bare",
}


@pytest.mark.parametrize(
    ("lane", "raised"),
    [
        (lane, raised)
        for lane in (Lane.INLINE, Lane.THREAD, Lane.LOOP)
        for raised in NAMES
        # The language itself turns this one into a RuntimeError.
        if (lane, raised) != (Lane.LOOP, "stop")
    ],
)
async def test_whatever_a_handler_raises_is_a_failure_in11(
    execute: Any, lane: Lane, raised: str
) -> None:
    function = raise_by_name_async if lane is Lane.LOOP else raise_by_name
    outcome = await execute(handler("t", function, lane=lane, timeout_s=5), raised)
    assert isinstance(outcome, Failure)
    assert outcome.error_type == NAMES[raised]
    assert outcome.retry_in_s is not None


@pytest.mark.parametrize(
    ("code", "error_type"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("raise StopIteration", "StopIteration"),
        ("raise SystemExit(3)", "SystemExit"),
        ("raise TimeoutError('its own')", "TimeoutError"),
        (
            "class Odd(Exception):\n  def __init__(self, a, b): pass\nraise Odd(1, 2)",
            "Odd",
        ),
        ("import os; os._exit(7)", "RuntimeError"),
    ],
)
async def test_whatever_ends_a_process_is_a_failure(
    execute: Any, code: str, error_type: str
) -> None:
    outcome = await execute(handler("t", exec, lane=Lane.PROCESS, timeout_s=10), code)
    assert isinstance(outcome, Failure)
    assert outcome.error_type == error_type
    assert outcome.retry_in_s is not None
    if error_type == "RuntimeError":
        assert outcome.message == "the process died with exit code 7"


class Disturbing(dict[str, int]):
    """Looks like JSON until it is read."""

    def items(self) -> Any:
        raise ValueError("no items")


def never_ending() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


UNUSABLE: dict[str, Callable[[], Any]] = {
    "set": lambda: {1},
    "bytes": lambda: b"x",
    "datetime": lambda: datetime(2026, 1, 1, tzinfo=UTC),
    "uuid": lambda: UUID(int=1),
    "decimal": lambda: Decimal(1),
    "object": object,
    "coroutine": lambda: raise_by_name_async("runtime"),
    "generator": lambda: (n for n in range(3)),
    "function": lambda: print,
    "nan": lambda: float("nan"),
    "infinity": lambda: [1, {"a": float("-inf")}],
    "tuple as key": lambda: {(1, 2): 3},
    "surrogate": lambda: "\ud83d",
    "nul": lambda: {"a\x00": 1},
    "ring": never_ending,
    "disturbing": lambda: Disturbing(a=1),
    "digits": lambda: 10**5_000,
    "huge": lambda: "x" * MAX_RESULT_BYTES,
    "huge in bytes": lambda: "é" * (MAX_RESULT_BYTES // 2),
}


def make(name: str) -> Any:
    """What is asked for; with a function of its own, so that every lane can import it."""
    return UNUSABLE[name]()


async def make_async(name: str) -> Any:
    return make(name)


@pytest.mark.parametrize("unusable", UNUSABLE)
@pytest.mark.parametrize("lane", [Lane.INLINE, Lane.THREAD, Lane.LOOP])
async def test_a_result_that_cannot_be_stored_is_never_retried_in11(
    execute: Any, lane: Lane, unusable: str
) -> None:
    function = make_async if lane is Lane.LOOP else make
    outcome = await execute(handler("t", function, lane=lane), unusable)
    assert isinstance(outcome, Failure)
    assert (outcome.error_type, outcome.is_dead) == ("InvalidResult", True)
    assert outcome.message.startswith("the result ")


@pytest.mark.parametrize(
    "code", ["{1}", "b'x'", "object()", "float('nan')", "print", "'x' * 1000", "(n for n in 'x')"]
)
async def test_no_such_result_leaves_a_process_in11(execute: Any, code: str) -> None:
    outcome = await execute(handler("t", eval, lane=Lane.PROCESS), code)
    assert (outcome.error_type, outcome.is_dead) == ("InvalidResult", True)


@pytest.mark.parametrize("text", ["x" * (MAX_RESULT_BYTES - 2), "é" * (MAX_RESULT_BYTES // 2 - 1)])
async def test_a_result_may_have_the_whole_size(execute: Any, text: str) -> None:
    outcome = await execute(handler("t", lambda payload: payload), text)
    assert len(outcome.result.encode()) == MAX_RESULT_BYTES


class Soon(RetryAfter):
    """Says when by a clock, and not in seconds."""

    def __init__(self) -> None:
        Exception.__init__(self, "soon")


def ask_for_delay(seconds: Any) -> None:
    raise RetryAfter(seconds, "the quota is used up")


async def ask_for_delay_async(seconds: Any) -> None:
    ask_for_delay(seconds)


@pytest.mark.parametrize(
    ("lane", "function", "payload"),
    [
        (Lane.INLINE, ask_for_delay, 7.5),
        (Lane.THREAD, ask_for_delay, 7.5),
        (Lane.LOOP, ask_for_delay_async, 7.5),
        (
            Lane.PROCESS,
            exec,
            "from task_platform.errors import RetryAfter\n"
            "raise RetryAfter(7.5, 'the quota is used up')",
        ),
    ],
)
async def test_a_handler_may_say_when_to_try_again(
    execute: Any, lane: Lane, function: Any, payload: Any
) -> None:
    outcome = await execute(handler("t", function, lane=lane), payload)
    assert (outcome.retry_in_s, outcome.error_type) == (7.5, "RetryAfter")
    assert outcome.message == "the quota is used up"


@pytest.mark.parametrize(
    ("seconds", "delay_s"), [(0, 0.5), (0.01, 0.5), (9.5, 9.5), (11, 10), (1e300, 10)]
)
async def test_the_policy_bounds_what_a_handler_asks_for_rt04(
    execute: Any, seconds: float, delay_s: float
) -> None:
    assert (await execute(handler("t", ask_for_delay), seconds)).retry_in_s == delay_s


@pytest.mark.parametrize(
    "asked",
    [
        lambda _: ask_for_delay("soon"),
        lambda _: ask_for_delay(-1),
        lambda _: ask_for_delay(float("nan")),
        lambda _: ask_for_delay(float("inf")),
        lambda _: ask_for_delay(None),
        lambda _: ask_for_delay(object()),
        lambda _: (_ for _ in ()).throw(Soon()),
    ],
)
async def test_what_is_no_delay_falls_back_to_the_usual_one_rt04(execute: Any, asked: Any) -> None:
    outcome = await execute(handler("t", asked))
    assert 0.5 <= outcome.retry_in_s <= 1
    assert outcome.error_type in {"RetryAfter", "Soon"}
    assert "the usual back-off applies" in outcome.message


async def test_a_delay_gives_no_attempt_beyond_the_last(execute: Any) -> None:
    outcome = await execute(handler("t", ask_for_delay), 1, attempt=2, max_retries=1)
    assert (outcome.error_type, outcome.is_dead) == ("RetryAfter", True)


WISHES = """
def wish(payload, context):
    assert context.effect_key("a").endswith(":a")
    return eval(payload, {"context": context})
"""


@pytest.mark.parametrize("lane", [Lane.INLINE, Lane.PROCESS])
async def test_code_that_cannot_wait_for_the_database_is_told_so(
    lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A process imports its handler: it has to be in a module of its own.
    (tmp_path / "wishing_handlers.py").write_text(WISHES)
    monkeypatch.syspath_prepend(tmp_path)
    wish = importlib.import_module("wishing_handlers").wish
    executor = executor_of(handler("t", wish, lane=lane, takes_context=True))
    try:
        for call in ("once('a', list)", "transaction()", "connection()"):
            task = assignment(task_type="t", payload=f'"context.{call}"')
            outcome = executor.run_inline(task) or await executor.run(task)
            assert isinstance(outcome, Failure)
            assert (outcome.error_type, outcome.is_dead) == ("NonRetryable", True)
            assert f"context.{call.partition('(')[0]}" in outcome.message
            assert f"the {lane.value} lane" in outcome.message
    finally:
        executor.close()


async def test_a_module_that_only_the_worker_can_import_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "picky_handlers.py").write_text(
        "import multiprocessing\n"
        "if multiprocessing.parent_process():\n"
        "    raise ImportError('not in here')\n"
        "def answer(payload):\n"
        "    return 42\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    answer = importlib.import_module("picky_handlers").answer
    executor = executor_of(handler("t", answer, lane=Lane.PROCESS))
    try:
        async with asyncio.timeout(30):
            outcome = await executor.run(assignment(task_type="t", payload="1"))
    finally:
        executor.close()
    assert isinstance(outcome, Failure)
    assert (outcome.error_type, outcome.message) == ("ImportError", "not in here")


async def test_a_handler_may_say_that_trying_again_is_no_use(execute: Any) -> None:
    outcome = await execute(handler("t", raise_by_name), "final")
    assert (outcome.error_type, outcome.message) == ("NonRetryable", "never again")
    assert outcome.is_dead


@pytest.mark.parametrize(
    ("attempt", "max_retries", "is_dead"),
    [(1, 0, True), (1, 1, False), (2, 1, True), (3, 9, False)],
)
async def test_a_task_is_dead_when_its_attempts_are_used_up(
    execute: Any, attempt: int, max_retries: int, is_dead: bool
) -> None:
    outcome = await execute(
        handler("t", raise_by_name), "runtime", attempt=attempt, max_retries=max_retries
    )
    assert outcome.is_dead is is_dead


async def test_the_policy_of_the_type_goes_before_that_of_the_platform(execute: Any) -> None:
    own = RetryPolicy(base_s=1_000, cap_s=1_000)
    outcome = await execute(handler("t", raise_by_name, retry=own), "runtime")
    assert 500 <= outcome.retry_in_s <= 1_000
    outcome = await execute(handler("t", raise_by_name), "runtime")
    assert 0.5 <= outcome.retry_in_s <= 1


async def test_an_unknown_type_is_retried_because_it_may_be_deployed_later_rt11(
    execute: Any,
) -> None:
    outcome = await execute(None, {"x": 1})
    assert (outcome.error_type, outcome.is_dead) == ("UnknownTaskType", False)


async def test_an_exhausted_task_dies_without_running(execute: Any) -> None:
    ran: list[Any] = []
    outcome = await execute(handler("t", ran.append), exhausted=True, attempt=4)
    assert ran == []
    assert (outcome.error_type, outcome.is_dead) == ("WorkerLost", True)


class Numbers(BaseModel):
    numbers: list[int]


async def test_a_handler_gets_its_payload_in_its_own_schema(execute: Any) -> None:
    made = handler("t", lambda payload: sum(payload.numbers), payload=Numbers)
    assert (await execute(made, {"numbers": [1, 2]})).result == "3"
    outcome = await execute(made, {"numbers": ["secret"]})
    assert outcome.is_dead
    assert "secret" not in outcome.message


async def test_a_handler_may_ask_which_attempt_it_is(execute: Any) -> None:
    def told(_: Any, context: TaskContext) -> list[int]:
        return [context.attempt, context.fence]

    made = handler("t", told, takes_context=True)
    assert (await execute(made, attempt=2, fence=5)).result == "[2,5]"


async def test_an_async_handler_is_stopped_at_its_limit(execute: Any) -> None:
    stopped = asyncio.Event()

    async def hang(_: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    outcome = await execute(handler("t", hang, lane=Lane.LOOP, timeout_s=0.05))
    assert (outcome.error_type, outcome.is_dead) == ("TaskTimeout", False)
    assert stopped.is_set()


async def test_a_process_is_killed_at_its_limit(execute: Any) -> None:
    started = time.monotonic()
    outcome = await execute(handler("t", time.sleep, lane=Lane.PROCESS, timeout_s=0.5), 30)
    assert outcome.error_type == "TaskTimeout"
    assert time.monotonic() - started < 10


async def test_a_thread_past_its_limit_keeps_its_place_until_it_ends() -> None:
    release = threading.Event()
    freed = asyncio.Event()
    made = handler("t", lambda _: release.wait(10), lane=Lane.THREAD, timeout_s=0.05)
    executor = executor_of(made, on_thread_freed=freed.set)
    try:
        outcome = await executor.run(assignment(task_type="t", payload="null"))
        assert isinstance(outcome, Failure)
        assert outcome.error_type == "TaskTimeout"
        assert executor.stuck_threads == 1
    finally:
        release.set()
    async with asyncio.timeout(5):
        await freed.wait()
    assert executor.stuck_threads == 0
    executor.close()


async def test_a_withdrawn_task_is_no_outcome() -> None:
    made = handler("t", lambda _: asyncio.sleep(30), lane=Lane.LOOP)
    executor = executor_of(made)
    task = assignment(task_type="t", payload="null")
    running = asyncio.create_task(executor.run(task))
    await asyncio.sleep(0)
    task.is_withdrawn = True
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
