"""Validation: here, once; nothing behind it checks again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from uuid_utils.compat import uuid7

from task_platform import strict_json
from task_platform.api.problems import said_of
from task_platform.api.requests import parse_key
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
        task = _validated(lambda: TaskIn.model_validate(raw), "")
        return self._to_task(task, tenant, key, "")

    def new_batch_task(self, body: bytes, *, tenant: str, place: str) -> NewTask:
        """The same for an item of a batch. place: where it stands, as a JSON pointer."""
        try:
            raw = strict_json.loads(body, around=_AROUND_PAYLOAD)
        except InvalidInput as error:
            raise InvalidInput(error.detail, pointer=place + (error.pointer or "")) from None
        item = _validated(lambda: BatchItemIn.model_validate(raw), place)
        key = item.idempotency_key
        if key is not None:
            key = parse_key(key, pointer=f"{place}/idempotency_key")
        return self._to_task(item, tenant, key, place)

    def _to_task(self, task: TaskIn, tenant: str, key: str | None, place: str) -> NewTask:
        payload = strict_json.dumps(task.payload)
        handler = self.handlers.get(task.task_type)
        if handler is None and self.strict_types:
            raise InvalidInput("no such task type here", pointer=f"{place}/task_type")
        if handler is not None and (model := handler.payload) is not None:
            # From its text, as the worker reads it: strict fields take other things from JSON.
            _validated(lambda: model.model_validate_json(payload), f"{place}/payload")
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


def _validated(validate: Callable[[], M], place: str) -> M:
    try:
        return validate()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        pointer = "".join("/" + strict_json.pointer_part(part) for part in first["loc"])
        raise InvalidInput(said_of(first), pointer=place + pointer) from None
