"""Effects of one execution: done once, or committed together with the completion of the task.

A handler holds one connection at a time, never two: so no set of handlers can wait for each other,
however few connections there are.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from task_platform.domain.task import ClaimedTask
from task_platform.errors import BadData, InvalidResult, LeaseLost, NonRetryable
from task_platform.storage.effects import (
    is_completed,
    is_recorded,
    record_effect,
    recorded_effect,
)
from task_platform.storage.outcomes import Success, finish_in_transaction
from task_platform.storage.pool import until_available
from task_platform.storage.transactions import (
    Connection,
    HandlerConnections,
    HandlerTransaction,
)
from task_platform.worker.results import result_text

T = TypeVar("T")

_holds_connection: ContextVar[bool] = ContextVar("holds_connection", default=False)


class LoopEffects:
    """What a handler on the event loop can have done; the methods are those of `TaskContext`."""

    def __init__(
        self, connections: HandlerConnections, task: ClaimedTask, *, max_bytes: int
    ) -> None:
        self._connections = connections
        self._task = task
        self._max_bytes = max_bytes
        self._beginning = asyncio.Lock()
        self._completion: HandlerTransaction | None = None
        self._is_over = False

    async def once(self, name: str, function: Callable[..., Any]) -> Any:
        self._refuse_second_connection()
        wants_connection = takes_connection(function)
        text = await self.recorded(name)
        if text is None and wants_connection:
            text = await self._do_in_transaction(name, function)
        elif text is None:
            text = await self.record(name, self.text_of(await _called(function)))
        return json.loads(text)

    async def transaction(self) -> Connection:
        async with self._beginning:
            if self._completion is None:
                self._refuse_second_connection()
                transaction = await HandlerTransaction(self._connections).begin()
                if self._is_over:
                    await transaction.end()
                    raise LeaseLost("the handler has ended")
                self._completion = transaction
            return self._completion.connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        self._refuse_second_connection()
        async with self._connections.connection() as connection:
            with _holding_connection():
                yield connection

    @property
    def is_completing(self) -> bool:
        """Whether the handler began a transaction that is to be committed with its success."""
        return self._completion is not None

    async def complete(self, success: Success) -> None:
        """Commit what the handler wrote, and its success with it.

        When it raises, none of it is committed: LeaseLost (another execution owns the task),
        DatabaseUnavailable, or whatever the server has against it.
        """
        assert self._completion is not None
        await self._completion.hurry()
        try:
            is_ours = await finish_in_transaction(self._completion.connection, success)
        except BadData as error:
            raise InvalidResult(f"the database refuses the result: {error}"[:500]) from error
        if not is_ours:
            raise LeaseLost("the task was taken from this execution before it was completed")
        await self._completion.commit(lambda connection: is_completed(connection, self._task))

    async def end(self) -> None:
        """Roll back what is still open. To be called when the handler has ended, however."""
        self._is_over = True
        if self._completion is not None:
            await self._completion.end()

    def text_of(self, value: Any) -> str:
        """A result as it is recorded. Raises InvalidResult."""
        return result_text(value, self._max_bytes)

    async def recorded(self, name: str) -> str | None:
        """The recorded result of an effect, as JSON text. Raises LeaseLost."""
        async with self._connections.connection() as connection:
            return await recorded_effect(connection, self._task, name)

    async def record(self, name: str, text: str) -> str:
        """Record a result, however long the database is away; returns the one that stands.

        It was done, and is known nowhere else: only the loss of the lease ends this.
        """

        async def try_once() -> str:
            async with self._connections.connection() as connection:
                await record_effect(connection, self._task, name, text)
                return await recorded_effect(connection, self._task, name) or text

        return await until_available(try_once, waiting="an effect waits")

    async def _do_in_transaction(self, name: str, function: Callable[..., Any]) -> str:
        transaction = await HandlerTransaction(self._connections).begin()
        try:
            with _holding_connection():
                text = self.text_of(await _called(function, transaction.connection))
            await transaction.hurry()
            if await record_effect(transaction.connection, self._task, name, text):
                await transaction.commit(
                    lambda connection: is_recorded(connection, self._task, name)
                )
                return text
        finally:
            await transaction.end()
        # Two calls of this name at once: the other was first, and this one is rolled back.
        return await self.recorded(name) or text

    def _refuse_second_connection(self) -> None:
        if self._completion is not None or _holds_connection.get():
            raise NonRetryable(
                "a handler holds one connection at a time: call once before transaction, and not"
                " inside of another effect"
            )


class ThreadEffects:
    """The same for a handler in a thread, as far as that can be: it waits for the event loop."""

    def __init__(self, effects: LoopEffects, loop: asyncio.AbstractEventLoop) -> None:
        self._effects = effects
        self._loop = loop

    def once(self, name: str, function: Callable[..., Any]) -> Any:
        if takes_connection(function):
            raise self._refusal("an effect that writes by the platform's connection")
        text = self._answer(self._effects.recorded(name))
        if text is None:
            done = self._effects.text_of(function())
            text = self._answer(self._effects.record(name, done))
        return json.loads(text)

    def transaction(self) -> Any:
        raise self._refusal("context.transaction")

    def connection(self) -> Any:
        raise self._refusal("context.connection")

    def _answer(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    @staticmethod
    def _refusal(what: str) -> NonRetryable:
        return NonRetryable(f"{what} cannot be had in the thread lane: make the handler async")


def takes_connection(function: Callable[..., Any]) -> bool:
    """Whether a function of an effect wants the connection. Raises NonRetryable for more."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some built-in functions do not tell
        return False
    wanted = [
        parameter
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    if len(wanted) > 1:
        raise NonRetryable("the function of an effect takes nothing, or one connection")
    return bool(wanted)


@contextmanager
def _holding_connection() -> Iterator[None]:
    token = _holds_connection.set(True)
    try:
        yield
    finally:
        _holds_connection.reset(token)


async def _called(function: Callable[..., Any], *arguments: Any) -> Any:
    result = function(*arguments)
    return await result if inspect.isawaitable(result) else result
