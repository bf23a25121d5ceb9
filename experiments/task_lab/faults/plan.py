"""Which faults strike when: drawn from a seed, the same ones for ever. Nothing happens here.

A fault holds its target from its start to the end of its heal, so no two faults on one target
overlap; faults on different targets may, and should.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeVar

T = TypeVar("T")


class Kind(StrEnum):
    """What is done to the target."""

    KILL = "kill"
    FREEZE = "freeze"
    DRAIN = "drain"
    DATABASE_STOP = "database_stop"
    DATABASE_CRASH = "database_crash"
    DATABASE_CUT = "database_cut"
    DATABASE_READ_ONLY = "database_read_only"
    DATABASE_FREEZE = "database_freeze"
    BROKER_STOP = "broker_stop"
    BROKER_CRASH = "broker_crash"
    BROKER_CUT = "broker_cut"
    BROKER_FREEZE = "broker_freeze"
    CHANNELS_CLOSED = "channels_closed"
    QUEUE_PURGED = "queue_purged"
    QUEUE_DELETED = "queue_deleted"


HEALS: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.KILL: "start the process again",
        Kind.FREEZE: "let the process go on",
        Kind.DRAIN: "start the process again",
        Kind.DATABASE_STOP: "start the database",
        Kind.DATABASE_CRASH: "start the database",
        Kind.DATABASE_CUT: "nothing: the platform connects again",
        Kind.DATABASE_READ_ONLY: "allow writes",
        Kind.DATABASE_FREEZE: "let the database go on",
        Kind.BROKER_STOP: "start the broker",
        Kind.BROKER_CRASH: "start the broker",
        Kind.BROKER_CUT: "nothing: the platform connects again",
        Kind.BROKER_FREEZE: "let the broker go on",
        Kind.CHANNELS_CLOSED: "nothing: the platform opens channels again",
        Kind.QUEUE_PURGED: "purge no more: the platform announces again",
        Kind.QUEUE_DELETED: "nothing: the platform declares it again",
    }
)

DATABASE, BROKER = "database", "broker"
PROCESSES = ("worker-1", "worker-2", "worker-3", "relay", "relay-2", "api", "api-2")
_OF_PROCESSES = (Kind.KILL, Kind.FREEZE, Kind.DRAIN)
# Over at once; what they do to the platform lasts as long as it needs to notice.
_MOMENTARY = frozenset(
    {
        Kind.DATABASE_CUT,
        Kind.BROKER_CUT,
        Kind.CHANNELS_CLOSED,
        Kind.QUEUE_DELETED,
    }
)
# As often as each is drawn, in parts: what happens most in production, and loses most, comes first.
_WEIGHTS: Mapping[Kind, int] = MappingProxyType(
    {
        Kind.KILL: 6,
        Kind.FREEZE: 5,
        Kind.DRAIN: 2,
        Kind.DATABASE_STOP: 1,
        Kind.DATABASE_CRASH: 3,
        Kind.DATABASE_CUT: 2,
        Kind.DATABASE_READ_ONLY: 1,
        Kind.DATABASE_FREEZE: 2,
        Kind.BROKER_STOP: 1,
        Kind.BROKER_CRASH: 2,
        Kind.BROKER_CUT: 2,
        Kind.BROKER_FREEZE: 2,
        Kind.CHANNELS_CLOSED: 2,
        Kind.QUEUE_PURGED: 3,
        Kind.QUEUE_DELETED: 1,
    }
)
_FIRST_S, _LAST_S = 0.3, 5.0
_SHORTEST_S, _LONGEST_S = 0.3, 4.0
# Air for the heal of a fault before the next one may strike the same target.
_HEAL_S = 1.5
# A broker boots for seconds: two such faults are never of one schedule.
_BROKER_BOOT_S = 30.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: it strikes `start_s` after the load began and is healed `duration_s` later."""

    kind: Kind
    target: str
    start_s: float
    duration_s: float

    @property
    def heal(self) -> str:
        """How it is healed, in words."""
        return HEALS[self.kind]

    @property
    def held_until_s(self) -> float:
        """Until when no other fault may strike this target."""
        boots = self.kind in (Kind.BROKER_STOP, Kind.BROKER_CRASH)
        return self.start_s + self.duration_s + (_BROKER_BOOT_S if boots else _HEAL_S)

    def clashes_with(self, other: Fault) -> bool:
        """Whether both hold one target at one time."""
        return (
            self.target == other.target
            and self.start_s < other.held_until_s
            and other.start_s < self.held_until_s
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """The faults of one trial, in the order in which they strike."""

    seed: int
    faults: tuple[Fault, ...]

    def document(self) -> dict[str, Any]:
        """JSON-ready, heals included."""
        faults = [{**asdict(fault), "heal": fault.heal} for fault in self.faults]
        return {"seed": self.seed, "faults": faults}

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Schedule:
        """The schedule that `document` came from. Raises KeyError, ValueError."""
        faults = tuple(
            Fault(Kind(one["kind"]), one["target"], one["start_s"], one["duration_s"])
            for one in document["faults"]
        )
        return cls(document["seed"], faults)


def schedule(seed: int) -> Schedule:
    """Two to four faults. Only `random()` is drawn from: its stream never changes in Python."""
    rng = random.Random(seed)  # noqa: S311 - faults, not secrets
    wanted = 2 + int(rng.random() * 3)
    faults: list[Fault] = []
    while len(faults) < wanted:
        fault = _draw(rng)
        if not any(fault.clashes_with(other) for other in faults):
            faults.append(fault)
    return Schedule(seed, tuple(sorted(faults, key=lambda fault: fault.start_s)))


def _draw(rng: random.Random) -> Fault:
    kind = _pick(rng, [kind for kind, weight in _WEIGHTS.items() for _ in range(weight)])
    target = DATABASE if kind.startswith("database") else BROKER
    if kind in _OF_PROCESSES:
        target = _pick(rng, PROCESSES)
    start_s = _between(rng, _FIRST_S, _LAST_S)
    duration_s = 0.0 if kind in _MOMENTARY else _between(rng, _SHORTEST_S, _LONGEST_S)
    return Fault(kind, target, start_s, duration_s)


def _pick(rng: random.Random, options: Sequence[T]) -> T:
    return options[int(rng.random() * len(options))]


def _between(rng: random.Random, low: float, high: float) -> float:
    return round(low + rng.random() * (high - low), 2)
