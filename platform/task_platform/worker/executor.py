"""Running one task: handler in, outcome out. The only place where every exception is caught."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import Any

import msgspec
from pebble import ProcessExpired, ProcessPool
from pydantic import ValidationError

from task_platform.domain.retry import (
    RetryPolicy,
    backoff_s,
    has_attempts_left,
    within_policy_s,
)
from task_platform.errors import (
    NonRetryable,
    TaskTimeout,
    UnknownTaskType,
    WorkerLost,
)
from task_platform.handlers.context import Effects, NoEffects, TaskContext
from task_platform.handlers.registry import Handler, HandlerRegistry, Lane
from task_platform.storage.outcomes import Failure, Success
from task_platform.storage.transactions import HandlerConnections
from task_platform.worker.effects import LoopEffects, ThreadEffects
from task_platform.worker.results import Report, called_elsewhere, report_of, reported, result_text
from task_platform.worker.work import Assignment

Outcome = Success | Failure


class Executor:
    """Runs assignments in the lane their handler asks for.

    concurrency: threads, and processes, that run handlers of those lanes.
    connections: what handlers write to the database by.
    on_thread_freed: called when a thread that was given up has come to its end after all.
    """

    def __init__(
        self,
        handlers: HandlerRegistry,
        default_retry: RetryPolicy,
        concurrency: int,
        *,
        connections: HandlerConnections,
        max_result_bytes: int,
        on_thread_freed: Callable[[], None] = lambda: None,
    ) -> None:
        self._handlers = handlers
        self._default_retry = default_retry
        self._concurrency = concurrency
        self._connections = connections
        self._max_result_bytes = max_result_bytes
        self._on_thread_freed = on_thread_freed
        self._threads: ThreadPoolExecutor | None = None
        self._processes: ProcessPool | None = None
        self._stuck: set[asyncio.Future[Report]] = set()

    @property
    def stuck_threads(self) -> int:
        """Threads that ran past their limit: they cannot be stopped, and keep their place."""
        return len(self._stuck)

    def run_inline(self, assignment: Assignment) -> Outcome | None:
        """Run it now and return what became of it; None where that involves waiting."""
        started = monotonic()
        handler = self._handlers.get(assignment.task.task_type)
        if not (handler is None or handler.lane is Lane.INLINE or assignment.task.exhausted):
            return None
        try:
            _refuse_exhausted(assignment)
            known = _known(handler, assignment)
            arguments = _arguments(known, assignment, None)
            report = reported(self._max_result_bytes, known.function, *arguments)
        except Exception as error:
            report = report_of(error)
        return self._outcome(assignment, handler, report, started)

    async def run(self, assignment: Assignment) -> Outcome:
        """Run it in its own lane.

        Raises CancelledError only when the assignment was withdrawn.
        """
        started = monotonic()
        handler = self._handlers.get(assignment.task.task_type)
        effects = LoopEffects(self._connections, assignment.task, max_bytes=self._max_result_bytes)
        try:
            known = _known(handler, assignment)
            report = await self._in_lane(known, _arguments(known, assignment, effects))
            outcome = self._outcome(assignment, handler, report, started)
            if isinstance(outcome, Success) and effects.is_completing:
                outcome = await _completed(assignment, outcome, effects)
        except BaseException as error:  # a handler may raise anything, CancelledError too
            if isinstance(error, asyncio.CancelledError) and assignment.is_withdrawn:
                raise
            outcome = self._outcome(assignment, handler, report_of(error), started)
        finally:
            await effects.end()
        return outcome

    def outlives(self, assignment: Assignment) -> bool:
        """Whether its handler goes on although it was interrupted: a thread cannot be stopped."""
        handler = self._handlers.get(assignment.task.task_type)
        return handler is not None and handler.lane is Lane.THREAD

    def close(self) -> None:
        """End the processes, and let the threads go without waiting for what they still do."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        if self._processes is not None:
            self._processes.stop()  # type: ignore[no-untyped-call]
            with suppress(TimeoutError):
                self._processes.join(timeout=2)

    async def _in_lane(self, handler: Handler, arguments: tuple[Any, ...]) -> Report:
        limit_s = handler.timeout_s
        match handler.lane:
            case Lane.THREAD:
                future = asyncio.get_running_loop().run_in_executor(
                    self._thread_pool(),
                    reported,
                    self._max_result_bytes,
                    handler.function,
                    *arguments,
                )
                try:
                    async with asyncio.timeout(limit_s):
                        return await asyncio.shield(future)
                except TimeoutError:
                    self._give_up(future)
                    raise TaskTimeout(f"not finished within {limit_s} s") from None
                except asyncio.CancelledError:
                    # Its task is taken away, its thread is not: it keeps its place.
                    self._give_up(future)
                    raise
            case Lane.PROCESS:
                call = pickle.dumps((handler.function, arguments))
                try:
                    report: Report = await asyncio.wrap_future(
                        self._process_pool().schedule(
                            reported,
                            args=(self._max_result_bytes, called_elsewhere, call),
                            timeout=limit_s,
                        )
                    )
                except TimeoutError:
                    raise TaskTimeout(f"not finished within {limit_s} s") from None
                except ProcessExpired as error:
                    raise RuntimeError(
                        f"the process died with exit code {error.exitcode}"
                    ) from None
                return report
            case _:
                try:
                    async with asyncio.timeout(limit_s) as limit:
                        result = await handler.function(*arguments)
                        return Report(result_text(result, self._max_result_bytes))
                except TimeoutError:
                    if limit.expired():
                        raise TaskTimeout(f"not finished within {limit_s} s") from None
                    raise

    def _give_up(self, future: asyncio.Future[Report]) -> None:
        def on_end(ended: asyncio.Future[Report]) -> None:
            self._stuck.discard(ended)
            self._on_thread_freed()

        self._stuck.add(future)
        future.add_done_callback(on_end)

    def _outcome(
        self, assignment: Assignment, handler: Handler | None, report: Report, started: float
    ) -> Outcome:
        task = assignment.task
        if report.result is not None:
            return Success(
                task=task,
                result=report.result,
                started_at=assignment.at(started),
                service_s=monotonic() - started,
            )
        retry_in_s = None
        if report.may_retry and has_attempts_left(task.attempt, task.max_retries):
            policy = (handler.retry if handler else None) or self._default_retry
            if report.retry_after_s is not None:
                retry_in_s = within_policy_s(policy, report.retry_after_s)
            else:
                retry_in_s = backoff_s(policy, task.attempt, random.random())  # noqa: S311 - jitter
        return Failure(
            task=task,
            error_type=report.error_type,
            message=report.message,
            retry_in_s=retry_in_s,
            started_at=assignment.at(started),
            ended_at=assignment.now(),
        )

    def _thread_pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._concurrency, thread_name_prefix="handler")
        return self._threads

    def _process_pool(self) -> ProcessPool:
        if self._processes is None:
            # Spawned, not forked: a fork would take the event loop's sockets along.
            self._processes = ProcessPool(
                max_workers=min(self._concurrency, multiprocessing.cpu_count()),
                context=multiprocessing.get_context("spawn"),
            )
        return self._processes


def _refuse_exhausted(assignment: Assignment) -> None:
    if assignment.task.exhausted:
        raise WorkerLost(f"{assignment.task.attempt} attempts ended with the death of their worker")


def _known(handler: Handler | None, assignment: Assignment) -> Handler:
    if handler is None:
        raise UnknownTaskType(f"no handler for task type {assignment.task.task_type!r}")
    return handler


async def _completed(assignment: Assignment, success: Success, effects: LoopEffects) -> Success:
    """The success, committed with what the handler wrote."""
    if assignment.is_withdrawn:
        raise asyncio.CancelledError
    assignment.is_completing = True
    await effects.complete(success)
    return msgspec.structs.replace(success, is_committed=True)


def _arguments(
    handler: Handler, assignment: Assignment, effects: LoopEffects | None
) -> tuple[Any, ...]:
    payload: Any
    if handler.payload is None:
        payload = msgspec.json.decode(assignment.task.payload)
    else:
        try:
            payload = handler.payload.model_validate_json(assignment.task.payload)
        except ValidationError as error:
            # The type was unknown, or had another schema, when the task was submitted.
            raise NonRetryable(f"the payload does not fit: {error.error_count()} errors") from None
    if not handler.takes_context:
        return (payload,)
    task = assignment.task
    return payload, TaskContext(
        task_id=task.id,
        attempt=task.attempt,
        fence=task.fence,
        effects=_effects_in(handler.lane, effects),
    )


def _effects_in(lane: Lane, effects: LoopEffects | None) -> Effects:
    if effects is not None and lane is Lane.LOOP:
        return effects
    if effects is not None and lane is Lane.THREAD:
        return ThreadEffects(effects, asyncio.get_running_loop())
    return NoEffects(lane.value)
