"""Validation: here, once; nothing behind it checks again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from uuid_utils.compat import uuid7

from task_platform import strict_json
from task_platform.api.problems import said_of
from task_platform.api.requests import FORMS, KEY_PATTERN, parse_key
from task_platform.api.schemas import BatchItemIn, TaskIn
from task_platform.domain.task import NewTask
from task_platform.errors import InvalidInput
from task_platform.handlers.registry import HandlerRegistry

M = TypeVar("M", bound=BaseModel)

# The object of the submission stands around its payload.
_AROUND_PAYLOAD = 1


@dataclass(frozen=True, slots=True)
class Edge:
    """Turns what clients send into tasks, by the rules of this process.

    strict_types: refuse task types this process has no handler for, instead of leaving them to
        workers that may know them.
    """

    handlers: HandlerRegistry
    strict_types: bool = False

    def new_task(self, body: bytes, *, tenant: str, key: str | None) -> NewTask:
        """The validated submission. Raises MalformedJson, or InvalidInput naming the place."""
        raw = strict_json.loads(body, around=_AROUND_PAYLOAD)
        task = _validated(lambda: TaskIn.model_validate(raw), raw, "")
        return self._to_task(task, tenant, key, "")

    def new_batch_task(self, body: bytes, *, tenant: str, place: str) -> NewTask:
        """The same for an item of a batch. place: where it stands, as a JSON pointer."""
        try:
            raw = strict_json.loads(body, around=_AROUND_PAYLOAD)
        except InvalidInput as error:
            raise InvalidInput(error.detail, pointer=place + (error.pointer or "")) from None
        item = _validated(lambda: BatchItemIn.model_validate(raw), raw, place)
        key = item.idempotency_key
        if key is not None and (key := parse_key(key)) is None:
            raise InvalidInput(FORMS[KEY_PATTERN], pointer=f"{place}/idempotency_key")
        return self._to_task(item, tenant, key, place)

    def _to_task(self, task: TaskIn, tenant: str, key: str | None, place: str) -> NewTask:
        payload = strict_json.dumps(task.payload)
        handler = self.handlers.get(task.task_type)
        if handler is None and self.strict_types:
            raise InvalidInput("no such task type here", pointer=f"{place}/task_type")
        if handler is not None and (model := handler.payload) is not None:
            # From its text, as the worker reads it: strict fields take other things from JSON.
            pointer = f"{place}/payload"
            _validated(lambda: model.model_validate_json(payload), task.payload, pointer)
        return NewTask(
            id=uuid7(),
            tenant=tenant,
            task_type=task.task_type,
            payload=payload,
            max_retries=task.max_retries,
            idempotency_key=key,
            fingerprint=b"" if key is None else _fingerprint(task),
        )


def _fingerprint(task: TaskIn) -> bytes:
    return strict_json.fingerprint([task.task_type, task.payload, task.max_retries])


def _validated(validate: Callable[[], M], value: Any, place: str) -> M:
    try:
        return validate()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        path = _path_within(value, first["loc"], is_missing=first["type"] == "missing")
        pointer = "".join("/" + strict_json.pointer_part(part) for part in path)
        raise InvalidInput(said_of(first), pointer=place + pointer) from None


def _path_within(value: Any, loc: Sequence[str | int], *, is_missing: bool) -> list[str | int]:
    """The parts of pydantic's location that lead through the value.

    Others are names that a schema gives to one of several forms that a value may have.
    is_missing: the last part is what is not there.
    """
    path: list[str | int] = []
    for part in loc[:-1] if is_missing else loc:
        if isinstance(value, dict) and str(part) in value:
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            continue
        path.append(part)
    return [*path, loc[-1]] if is_missing else path
