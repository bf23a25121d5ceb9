"""What became of a handler, as it is stored: a result as JSON text, or the reason why not."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from task_platform import strict_json
from task_platform.domain.retry import delay_asked_for
from task_platform.errors import InvalidResult, NonRetryable, RetryAfter, WorkerLost
from task_platform.scrub import describe, scrub


class Report(Struct, frozen=True):
    """What a handler did, as text: `result` is JSON, or None and the rest says why.

    retry_after_s: the delay that it asked for.
    Exceptions do not travel well between threads and processes: StopIteration cannot be set on a
    future, and one with arguments of its own cannot be unpickled.
    """

    result: str | None
    error_type: str = ""
    message: str = ""
    may_retry: bool = True
    retry_after_s: float | None = None


def result_text(value: Any, max_bytes: int) -> str:
    """JSON text of a result. Raises InvalidResult when it is not JSON, or too large."""
    if inspect.iscoroutine(value):
        # A synchronous function may have called an async one; left alone, it would warn for ever.
        value.close()
    text = strict_json.dump_result(value)
    # A character has at most 4 bytes: most results need no second look.
    if 4 * len(text) > max_bytes and (size := len(text.encode())) > max_bytes:
        raise InvalidResult(f"the result has {size} bytes, more than {max_bytes}")
    return text


def reported(max_bytes: int, function: Callable[..., Any], *arguments: Any) -> Report:
    """Run synchronous code and tell what became of it, whatever it raises."""
    try:
        return Report(result_text(function(*arguments), max_bytes))
    except BaseException as error:
        return report_of(error)


def called_elsewhere(call: bytes) -> Any:
    """In another process: a pickled (function, arguments) called.

    Unpickled here and not by whoever receives it: a module that this process cannot import, or a
    payload that it cannot rebuild, is then an error like any other of the handler's.
    """
    function, arguments = pickle.loads(call)  # noqa: S301 - of the worker's own making
    return function(*arguments)


def report_of(error: BaseException) -> Report:
    """What an exception of a handler's means, whatever it is."""
    if isinstance(error, RetryAfter):
        return _report_of_delay(error)
    return Report(
        None, *describe(error), may_retry=not isinstance(error, NonRetryable | WorkerLost)
    )


def _report_of_delay(error: RetryAfter) -> Report:
    error_type, message = describe(error)
    # A subclass may have forgotten to set it.
    given = getattr(error, "seconds", None)
    delay_s = delay_asked_for(given)
    if delay_s is None:
        message = scrub(
            f"{message} (the delay is no number of seconds from 0 up but a"
            f" {type(given).__name__}: the usual back-off applies)"
        )
    return Report(None, error_type, message, retry_after_s=delay_s)
