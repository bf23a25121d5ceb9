"""Handlers are plain functions: `@task("sum", payload=SumPayload)`.

The decorator only marks a function; a process collects the marked functions of the modules it is
told to load, so nothing is registered globally.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from types import ModuleType
from typing import Any, TypeVar

from pydantic import BaseModel

from task_platform.domain.retry import RetryPolicy
from task_platform.errors import ConfigurationError

_MARK = "__task_platform_handler__"
_BUILT_IN = "task_platform.handlers.builtin"
F = TypeVar("F", bound=Callable[..., Any])


class Lane(Enum):
    """Where a handler runs."""

    LOOP = "loop"  # async: on the event loop
    INLINE = "inline"  # trivial synchronous code: on the event loop, without a task of its own
    THREAD = "thread"  # other synchronous code
    PROCESS = "process"  # CPU-bound work; the only lane whose time limit can stop it


@dataclass(frozen=True, slots=True)
class Handler:
    """A task type and everything known about it.

    timeout_s: time limit of one attempt, or None.
    """

    task_type: str
    function: Callable[..., Any]
    payload: type[BaseModel] | None
    lane: Lane
    timeout_s: float | None
    retry: RetryPolicy | None
    takes_context: bool


def task(
    task_type: str,
    *,
    payload: type[BaseModel] | None = None,
    inline: bool = False,
    process: bool = False,
    timeout_s: float | None = None,
    retry: RetryPolicy | None = None,
) -> Callable[[F], F]:
    """Declare a handler. It is called with the payload, and with a TaskContext if it takes two.

    payload: a pydantic model; the API refuses submissions that do not fit, and the handler gets an
        instance. Without one it gets the plain JSON value.
    inline: synchronous code of microseconds. process: CPU-bound code, in a process of its own.
    retry: overrides the platform's back-off for this type.
    Raises TypeError for a combination that cannot work.
    """

    def mark(function: F) -> F:
        is_async = inspect.iscoroutinefunction(function)
        if is_async and (inline or process):
            raise TypeError(f"{task_type}: an async handler runs on the loop")
        if inline and (process or timeout_s is not None):
            raise TypeError(f"{task_type}: inline code cannot be stopped, nor moved")
        lane = (
            Lane.LOOP
            if is_async
            else Lane.INLINE
            if inline
            else Lane.PROCESS
            if process
            else Lane.THREAD
        )
        takes_context = len(inspect.signature(function).parameters) > 1
        handler = Handler(task_type, function, payload, lane, timeout_s, retry, takes_context)
        setattr(function, _MARK, handler)
        return function

    return mark


class HandlerRegistry:
    """The handlers of one process, by task type."""

    def __init__(self, handlers: Iterable[Handler]) -> None:
        self._by_type: dict[str, Handler] = {}
        for handler in handlers:
            if handler.task_type in self._by_type:
                raise ConfigurationError(f"two handlers for task type {handler.task_type!r}")
            self._by_type[handler.task_type] = handler

    @classmethod
    def load(cls, modules: str, *, builtin_types: bool = True) -> HandlerRegistry:
        """The handlers of the named modules (comma-separated), and the built-in ones if wanted.

        Raises ConfigurationError when a module cannot be imported or holds no handler.
        """
        names = [_BUILT_IN] if builtin_types else []
        names += [name.strip() for name in modules.split(",") if name.strip()]
        handlers: list[Handler] = []
        for name in names:
            try:
                module = importlib.import_module(name)
            except Exception as error:  # a module may fail in any way while it is imported
                raise ConfigurationError(
                    f"cannot import handlers from {name}: {type(error).__name__}: {error}"
                ) from error
            found = handlers_of(module)
            if not found:
                raise ConfigurationError(f"{name} holds no @task function")
            handlers += found
        return cls(handlers)

    def get(self, task_type: str) -> Handler | None:
        return self._by_type.get(task_type)

    @property
    def task_types(self) -> frozenset[str]:
        return frozenset(self._by_type)


def handlers_of(module: ModuleType) -> list[Handler]:
    """The functions of a module that `@task` has marked and that were defined there."""
    found = [getattr(value, _MARK, None) for value in vars(module).values()]
    return [
        handler
        for handler in found
        if isinstance(handler, Handler) and handler.function.__module__ == module.__name__
    ]
