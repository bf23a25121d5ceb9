"""The queues, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

TASKS = "tasks"
DEAD_LETTERS = "tasks.dlq"


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue on the default exchange, so that its name is its routing key."""

    name: str
    arguments: Mapping[str, str | int] = field(default_factory=dict)


def queues(tasks_type: Literal["quorum", "classic"]) -> tuple[Queue, ...]:
    """Every queue of the platform. Dead letters are few and kept for people: classic is enough."""
    return (
        Queue(TASKS, {"x-queue-type": tasks_type}),
        Queue(DEAD_LETTERS, {"x-queue-type": "classic"}),
    )
