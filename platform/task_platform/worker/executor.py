"""Running one task: handler in, outcome out. The only place where every exception is caught."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import msgspec
from pebble import ProcessExpired, ProcessPool
from pydantic import ValidationError

from task_platform import strict_json
from task_platform.domain.retry import RetryPolicy, backoff_s, has_attempts_left
from task_platform.errors import NonRetryable, TaskTimeout, UnknownTaskType, WorkerLost
from task_platform.handlers.registry import Handler, HandlerRegistry, Lane, TaskContext
from task_platform.storage.outcomes import Failure, Success
from task_platform.worker.scrub import describe
from task_platform.worker.work import Assignment

Outcome = Success | Failure


class Executor:
    """Runs assignments in the lane their handler asks for.

    concurrency: threads, and processes, that run handlers of those lanes.
    """

    def __init__(
        self, handlers: HandlerRegistry, default_retry: RetryPolicy, concurrency: int
    ) -> None:
        self._handlers = handlers
        self._default_retry = default_retry
        self._concurrency = concurrency
        self._threads: ThreadPoolExecutor | None = None
        self._processes: ProcessPool | None = None

    def runs_inline(self, assignment: Assignment) -> bool:
        """Whether `run_inline` may run it: no waiting is involved."""
        if assignment.task.exhausted:
            return True
        handler = self._handlers.get(assignment.task.task_type)
        return handler is None or handler.lane is Lane.INLINE

    def run_inline(self, assignment: Assignment) -> Outcome:
        """Run it now and return what became of it."""
        started = monotonic()
        handler = self._handlers.get(assignment.task.task_type)
        try:
            _refuse_exhausted(assignment)
            handler = _known(handler, assignment)
            result = handler.function(*_arguments(handler, assignment))
            return _success(assignment, result, started)
        except (Exception, SystemExit) as error:
            return self._failure(assignment, handler, error, started)

    async def run(self, assignment: Assignment) -> Outcome:
        """Run it in its own lane.

        Raises CancelledError only when the assignment was withdrawn.
        """
        started = monotonic()
        handler = self._handlers.get(assignment.task.task_type)
        try:
            handler = _known(handler, assignment)
            arguments = _arguments(handler, assignment)
            result = await self._in_lane(handler, arguments)
            return _success(assignment, result, started)
        except asyncio.CancelledError as error:
            if assignment.is_withdrawn:
                raise
            return self._failure(assignment, handler, error, started)
        except (Exception, SystemExit) as error:
            return self._failure(assignment, handler, error, started)

    def close(self) -> None:
        """Let the threads and processes go, without waiting for what they still do."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        if self._processes is not None:
            self._processes.stop()  # type: ignore[no-untyped-call]

    async def _in_lane(self, handler: Handler, arguments: tuple[Any, ...]) -> Any:
        try:
            match handler.lane:
                case Lane.THREAD:
                    future = asyncio.get_running_loop().run_in_executor(
                        self._thread_pool(), handler.function, *arguments
                    )
                    # A thread cannot be stopped: past its limit it is left to itself, and keeps
                    # its place in the pool until it ends.
                    async with asyncio.timeout(handler.timeout_s):
                        return await asyncio.shield(future)
                case Lane.PROCESS:
                    return await asyncio.wrap_future(
                        self._process_pool().schedule(
                            handler.function, args=arguments, timeout=handler.timeout_s
                        )
                    )
                case _:
                    async with asyncio.timeout(handler.timeout_s) as limit:
                        return await handler.function(*arguments)
        except TimeoutError as error:
            ours = handler.lane is not Lane.LOOP or limit.expired()
            if ours and handler.timeout_s is not None:
                raise TaskTimeout(f"not finished within {handler.timeout_s} s") from error
            raise
        except ProcessExpired as error:
            raise RuntimeError(f"the process died with exit code {error.exitcode}") from error

    def _failure(
        self,
        assignment: Assignment,
        handler: Handler | None,
        error: BaseException,
        started: float,
    ) -> Failure:
        task = assignment.task
        error_type, message = describe(error)
        may_retry = not isinstance(error, NonRetryable | WorkerLost)
        retry_in_s = None
        if may_retry and has_attempts_left(task.attempt, task.max_retries):
            policy = (handler.retry if handler else None) or self._default_retry
            retry_in_s = backoff_s(policy, task.attempt, random.random())  # noqa: S311 - jitter
        return Failure(
            task=task,
            error_type=error_type,
            message=message,
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


def _arguments(handler: Handler, assignment: Assignment) -> tuple[Any, ...]:
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
    return payload, TaskContext(task_id=task.id, attempt=task.attempt, fence=task.fence)


def _success(assignment: Assignment, result: Any, started: float) -> Success:
    return Success(
        task=assignment.task,
        result=strict_json.dump_result(result),
        started_at=assignment.at(started),
        ended_at=assignment.now(),
    )
