"""Results: what a task came to, where its payload alone says what that must be.

Absent: results of `effect`, which belong to its effects, and of types that are not built in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeGuard

from task_platform.domain.task import State

from task_lab.check.histories_index import History, answer
from task_lab.check.histories_ledger import TaskRow
from task_lab.check.values import as_json, canonical
from task_lab.check.verdict import Check


def check_results_right(history: History) -> Check:
    """A SUCCEEDED task has a result, no other has; one that its payload implies is that one."""
    wrong, known = [], 0
    for row in history.ledger.tasks:
        if (row.result is not None) != (row.state is State.SUCCEEDED):
            wrong.append(f"{row.id}: {row.state} with {row.result or 'no result'}")
        elif row.result is not None and row.task_type in _IS_RIGHT:
            known += 1
            if not _IS_RIGHT[row.task_type](as_json(row.payload), as_json(row.result), row):
                wrong.append(f"{row.id}: {row.task_type} of {row.payload} is not {row.result}")
    return answer("results_right", wrong, f"{known} results are those of their payloads")


def _is_sum(payload: Any, result: Any, _: TaskRow) -> bool:
    numbers = payload.get("numbers") if isinstance(payload, dict) else None
    if not isinstance(numbers, list) or not all(_is_number(one) for one in numbers):
        return True  # not a payload of the built-in type: nothing is known of its result
    total = sum(numbers)
    if all(isinstance(one, int) for one in numbers):
        return canonical(result) == canonical({"sum": total})
    found = result.get("sum") if isinstance(result, dict) else None
    # How floats are added up is Python's own business, and changed with 3.12.
    tolerance = 1e-9 * sum(map(abs, numbers))
    return isinstance(found, float) and math.isclose(found, total, rel_tol=0, abs_tol=tolerance)


def _is_slept(payload: Any, result: Any, _: TaskRow) -> bool:
    seconds = payload.get("seconds") if isinstance(payload, dict) else None
    if not _is_number(seconds):
        return True
    return canonical(result) == canonical({"slept_s": float(seconds)})


def _is_echo(payload: Any, result: Any, _: TaskRow) -> bool:
    return canonical(result) == canonical(payload)


def _is_after_failures(payload: Any, result: Any, row: TaskRow) -> bool:
    failures = payload.get("failures") if isinstance(payload, dict) else None
    is_late_enough = not isinstance(failures, int) or row.attempts > failures
    return is_late_enough and canonical(result) == canonical({"attempt": row.attempts})


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


_IS_RIGHT: Mapping[str, Callable[[Any, Any, TaskRow], bool]] = MappingProxyType(
    {"sum": _is_sum, "sleep": _is_slept, "echo": _is_echo, "flaky": _is_after_failures}
)
