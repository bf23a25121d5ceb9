"""What a handler is told of its own execution, and what it can have done once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from task_platform.errors import NonRetryable

MAX_EFFECT_NAME = 200


class Effects(Protocol):
    """What a lane has to offer: coroutines on the event loop, plain values in a thread."""

    def once(self, name: str, function: Callable[..., Any]) -> Any: ...

    def transaction(self) -> Any: ...

    def connection(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class NoEffects:
    """For code that cannot wait for the database: every call says which lane it is in."""

    lane: str

    def once(self, name: str, function: Callable[..., Any]) -> Any:
        raise self._refusal("once")

    def transaction(self) -> Any:
        raise self._refusal("transaction")

    def connection(self) -> Any:
        raise self._refusal("connection")

    def _refusal(self, what: str) -> NonRetryable:
        return NonRetryable(
            f"context.{what} cannot be had in the {self.lane} lane: make the handler async"
        )


@dataclass(frozen=True, slots=True)
class TaskContext:
    """What a handler may know about its own execution, and do under its protection.

    attempt: counted from 1. fence: rises with every claim of the task, so writers elsewhere can
    refuse an execution that has been superseded.
    """

    task_id: UUID
    attempt: int
    fence: int
    effects: Effects = field(default=NoEffects("test"), repr=False, compare=False)

    def once(self, name: str, function: Callable[..., Any]) -> Any:
        """The JSON result of `function`, called only if no execution of this task recorded it yet.

        Async handlers await it; handlers in threads call it. A function with one parameter gets the
        connection of the transaction in which the record is written: what it writes there happens
        exactly once. What it does elsewhere may happen again, when a worker dies between the deed
        and the record: hand `effect_key` to the other system.
        Raises LeaseLost when another execution owns the task, DatabaseUnavailable, NonRetryable.
        """
        return self.effects.once(_checked(name), function)

    def effect_key(self, name: str) -> str:
        """A key for other systems: the same in every attempt of this task, and in no other task."""
        return f"{self.task_id}:{_checked(name)}"

    def transaction(self) -> Any:
        """A connection in a transaction that commits together with the success of this task.

        Async handlers only: `connection = await context.transaction()`. A failure, a time-out, a
        drain or a lost lease rolls it back at once. Repeated calls bring the same connection.
        """
        return self.effects.transaction()

    def connection(self) -> Any:
        """A plain connection for a block, without any promise: every statement commits by itself.

        Async handlers only: `async with context.connection() as connection`.
        """
        return self.effects.connection()


def _checked(name: str) -> str:
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_EFFECT_NAME:
        raise NonRetryable(f"the name of an effect has 1 to {MAX_EFFECT_NAME} characters")
    if "\x00" in name or not _is_unicode(name):
        raise NonRetryable("the name of an effect contains what Postgres cannot hold")
    return name


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
