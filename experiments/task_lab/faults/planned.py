"""A fault plan as people write it: what is done to whom, when, for how long, how often. Pure.

One line a fault, `KIND [TARGET] at T [for D] [every E] [until U]`, joined by `;`; or one table a
fault, with the keys kind, target, at_s, for_s, every_s, until_s. All times are seconds from the
start of the load. Whatever does not fit is refused before anything is started.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from task_lab.errors import UsageError, did_you_mean


class Planned(StrEnum):
    """What can be done to a target of an experiment."""

    KILL = "kill"
    FREEZE = "freeze"
    BROKER_RESTART = "broker_restart"
    DATABASE_RESTART = "database_restart"
    DATABASE_CRASH = "database_crash"
    NETWORK_CUT = "network_cut"


@dataclass(frozen=True, slots=True)
class _Rule:
    """for_s: how long it lasts unless told. heal_s: air for its heal, until when its target is
    held. targets: whom it may strike; the one target there is need not be named."""

    for_s: float
    heal_s: float
    targets: tuple[str, ...]


BROKER, DATABASE = "broker", "database"
_PROCESSES = ("worker-1", "relay", "api")
_RULES: Mapping[Planned, _Rule] = MappingProxyType(
    {
        Planned.KILL: _Rule(2.0, 3.0, _PROCESSES),
        Planned.FREEZE: _Rule(4.0, 1.0, _PROCESSES),
        Planned.BROKER_RESTART: _Rule(0.0, 15.0, (BROKER,)),
        Planned.DATABASE_RESTART: _Rule(0.0, 5.0, (DATABASE,)),
        Planned.DATABASE_CRASH: _Rule(0.0, 5.0, (DATABASE,)),
        Planned.NETWORK_CUT: _Rule(4.0, 1.0, (BROKER, DATABASE)),
    }
)
NOTHING = "none"
_WORKER = re.compile(r"worker-[1-9]\d*")
_WORDS: Mapping[str, str] = MappingProxyType(
    {"at": "at_s", "for": "for_s", "every": "every_s", "until": "until_s"}
)
_KEYS = ("kind", "target", *_WORDS.values())
_MOST_STRIKES = 1_000


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault to be injected; `number` counts from 1 in the order of striking."""

    number: int
    kind: Planned
    target: str
    at_s: float
    for_s: float

    @property
    def held_until_s(self) -> float:
        """Until when no other fault may strike the target: its heal takes time too."""
        return self.at_s + self.for_s + _RULES[self.kind].heal_s

    def __str__(self) -> str:
        return f"{self.kind} of {self.target} at {seconds(self.at_s)} s"


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One entry of a plan. until_s: no repetition starts later; the load's end, if None."""

    kind: Planned
    target: str
    at_s: float
    for_s: float
    every_s: float | None = None
    until_s: float | None = None

    def starts(self, load_s: float) -> Iterator[float]:
        """When it strikes, in order."""
        yield self.at_s
        if self.every_s is not None:
            last_s = load_s - self.for_s if self.until_s is None else self.until_s
            for n in range(1, _MOST_STRIKES + 1):
                start_s = round(self.at_s + n * self.every_s, 3)
                if start_s > last_s:
                    return
                yield start_s

    def __str__(self) -> str:
        rule = _RULES[self.kind]
        words = [self.kind.value]
        words += [] if len(rule.targets) == 1 else [self.target]
        words += ["at", seconds(self.at_s)]
        words += [] if self.for_s == rule.for_s else ["for", seconds(self.for_s)]
        words += [] if self.every_s is None else ["every", seconds(self.every_s)]
        words += [] if self.until_s is None else ["until", seconds(self.until_s)]
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Faults in the order in which they were written. Its text reads back as the same plan."""

    faults: tuple[PlannedFault, ...]

    def strikes(self, load_s: float) -> tuple[Strike, ...]:
        """Every single fault of a load of so many seconds, in order of time."""
        starts = [(start_s, one) for one in self.faults for start_s in one.starts(load_s)]
        starts.sort(key=lambda pair: pair[0])
        return tuple(
            Strike(number, one.kind, one.target, start_s, one.for_s)
            for number, (start_s, one) in enumerate(starts, 1)
        )

    def check(self, *, load_s: float, workers: int) -> None:
        """Raise UsageError unless every fault fits the load, its target and its neighbours."""
        known = [*(f"worker-{n}" for n in range(1, workers + 1)), "relay", "api", BROKER, DATABASE]
        for fault in self.faults:
            if fault.target not in known:
                raise UsageError(
                    f"{fault}: no {fault.target} runs here{did_you_mean(fault.target, known)}"
                )
        strikes = self.strikes(load_s)
        if len(strikes) > _MOST_STRIKES:
            raise UsageError(f"{len(strikes)} faults are more than {_MOST_STRIKES}")
        for strike in strikes:
            if strike.at_s + strike.for_s > load_s:
                raise UsageError(f"{strike} would end after the load of {seconds(load_s)} s")
        for target in {strike.target for strike in strikes}:
            for one, other in pairwise(strike for strike in strikes if strike.target == target):
                if other.at_s < one.held_until_s:
                    raise UsageError(
                        f"{other} overlaps {one}, which holds {target} until "
                        f"{seconds(one.held_until_s)} s, its heal included"
                    )

    def __str__(self) -> str:
        return "; ".join(map(str, self.faults)) or NOTHING


def read_plan(given: str | Sequence[Mapping[str, Any]]) -> FaultPlan:
    """The plan of a text, or of tables; "none" or an empty list is a plan without faults.

    Raises UsageError for what is not known or not complete; `FaultPlan.check` does the rest.
    """
    if not isinstance(given, str):
        return FaultPlan(tuple(_of_table(table, what=_told(table)) for table in given))
    if given.strip() == NOTHING:
        return FaultPlan(())
    clauses = [clause.strip() for clause in given.split(";")]
    return FaultPlan(tuple(_of_clause(clause) for clause in clauses if clause))


def seconds(value: float) -> str:
    """Seconds as plans have them: to the millisecond, without needless digits."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _of_clause(clause: str) -> PlannedFault:
    kind, *words = clause.split()
    table: dict[str, Any] = {"kind": kind}
    if words and words[0] not in _WORDS and (len(words) % 2 or words[1] in _WORDS):
        table["target"] = words.pop(0)
    for word, value in zip(words[::2], [*words[1::2], ""], strict=False):
        if word not in _WORDS:
            raise UsageError(f"{clause!r}: unknown word {word!r}{did_you_mean(word, _WORDS)}")
        if _WORDS[word] in table:
            raise UsageError(f"{clause!r}: {word!r} stands twice")
        table[_WORDS[word]] = value
    return _of_table(table, what=clause)


def _of_table(table: Mapping[str, Any], *, what: str) -> PlannedFault:
    for key in table:
        if key not in _KEYS:
            raise UsageError(f"{what!r}: unknown key {key!r}{did_you_mean(key, _KEYS)}")
    kind = _known(str(table.get("kind", "")), [one.value for one in Planned], "kind", what)
    rule = _RULES[Planned(kind)]
    only = rule.targets[0] if len(rule.targets) == 1 else ""
    target = str(table.get("target", only))
    if not (_WORKER.fullmatch(target) and rule.targets == _PROCESSES):
        target = _known(target, rule.targets, f"target of {kind}", what)
    times = {key: _seconds(table[key], key, what) for key in _WORDS.values() if key in table}
    if "at_s" not in times:
        raise UsageError(f"{what!r}: when? (at, in seconds from the start of the load)")
    fault = PlannedFault(Planned(kind), target, **{"for_s": rule.for_s, **times})
    if fault.for_s == 0 and rule.for_s and fault.kind is not Planned.KILL:
        raise UsageError(f"{what!r}: a {kind} must last")
    if fault.every_s == 0:
        raise UsageError(f"{what!r}: every must be more than 0")
    if fault.until_s is not None and (fault.every_s is None or fault.until_s < fault.at_s):
        raise UsageError(f"{what!r}: until needs every, and comes after at")
    return fault


def _known(name: str, known: Sequence[str], noun: str, what: str) -> str:
    if name not in known:
        raise UsageError(f"{what!r}: unknown {noun} {name!r}{did_you_mean(name, known)}")
    return name


def _seconds(value: object, key: str, what: str) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        number = float(value)
        if not (math.isfinite(number) and number >= 0):
            raise ValueError
    except ValueError:
        raise UsageError(f"{what!r}: {key} is seconds, from 0 on, not {value!r}") from None
    return round(number, 3)


def _told(table: Mapping[str, Any]) -> str:
    return " ".join(str(value) for value in table.values())
