"""The load of a chaos trial: which submissions are sent when, drawn from a seed. Pure.

Expectations come with each submission. They hold under any faults because whoever is to succeed may
lose more workers than a trial has: a task that runs alone pays for a worker it loses.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeVar

T = TypeVar("T")

DURATION_S = 6.0
APIS = 2
_FEWEST_TASKS, _MOST_TASKS = 150, 250
_LARGEST_BATCH = 40
# Losses that a task may survive on top of the failures it is told to have.
_SPARE_RETRIES = 12
# Each costs three workers: once in company, uncharged, then alone until its retry is used up.
_MOST_CRASHES = 2
# Crashes come early, so that a trial does not have to wait for their leases at its end.
_CRASHES_UNTIL_S = 3.0
_MOST_TRIES = 8

Expected = Literal["SUCCEEDED", "FAILED", "REFUSED"]


@dataclass(frozen=True, slots=True)
class Submission:
    """One task as it is sent, and how it must end. REFUSED: with a 4xx, and no task."""

    key: str
    task_type: str
    payload: Any
    max_retries: int
    expected: Expected

    def body(self) -> dict[str, Any]:
        """What `POST /tasks` gets."""
        return {
            "task_type": self.task_type,
            "payload": self.payload,
            "max_retries": self.max_retries,
        }


@dataclass(frozen=True, slots=True)
class Call:
    """One request: a single task, or a batch.

    at_s: seconds after the start. api: which API gets it first; repeats go to the next one.
    tries: how often it is sent at most until its answer is clear. is_replayed: whether it is sent
    once more after a clear answer.
    """

    at_s: float
    api: int
    is_batch: bool
    submissions: tuple[Submission, ...]
    tries: int
    is_replayed: bool


def mixed_load(seed: int) -> list[Call]:
    """150 to 250 tasks in single requests and batches over six seconds, in order of sending."""
    rng = random.Random(f"load {seed}")  # noqa: S311 - work, not secrets
    wanted = _FEWEST_TASKS + int(rng.random() * (_MOST_TASKS - _FEWEST_TASKS + 1))
    crashes = int(rng.random() * (_MOST_CRASHES + 1))
    drawn = [
        _crash(rng) if index < crashes else _pick(rng, _WEIGHTED)(rng) for index in range(wanted)
    ]
    submissions = [
        Submission(f"chaos-{seed}-{index}", *fields) for index, fields in enumerate(drawn)
    ]
    calls: list[Call] = []
    while submissions:
        is_batch = rng.random() < 0.03
        size = 2 + int(rng.random() * (_LARGEST_BATCH - 1)) if is_batch else 1
        sent, submissions = submissions[:size], submissions[size:]
        latest_s = _CRASHES_UNTIL_S if any(_is_crash(one) for one in sent) else DURATION_S
        calls.append(
            Call(
                at_s=round(rng.random() * latest_s, 3),
                api=int(rng.random() * APIS),
                is_batch=is_batch,
                submissions=tuple(sent),
                tries=1 if rng.random() < 0.25 else _MOST_TRIES,
                is_replayed=rng.random() < 0.15,
            )
        )
    return sorted(calls, key=lambda call: call.at_s)


def one_more(seed: int) -> Call:
    """A task that must succeed, for when the faults are over: does the platform work again?"""
    task = Submission(again_key(seed), "sum", {"numbers": [1, 2, 3]}, _SPARE_RETRIES, "SUCCEEDED")
    return Call(0.0, 0, is_batch=False, submissions=(task,), tries=_MOST_TRIES, is_replayed=False)


def again_key(seed: int) -> str:
    """The key of that task."""
    return f"chaos-{seed}-again"


# task type, payload, max_retries, expected
_Fields = tuple[str, Any, int, Expected]


def _sum(rng: random.Random) -> _Fields:
    numbers = [int(rng.random() * 1_000) for _ in range(3)]
    return "sum", {"numbers": numbers}, _SPARE_RETRIES, "SUCCEEDED"


def _sleep(rng: random.Random) -> _Fields:
    # A few outlive the lease of the trial's platform.
    longest_s = 3.0 if rng.random() < 0.05 else 0.6
    seconds = round(rng.random() * longest_s, 2)
    return "sleep", {"seconds": seconds}, _SPARE_RETRIES, "SUCCEEDED"


def _flaky(rng: random.Random) -> _Fields:
    failures = 1 + int(rng.random() * 3)
    return "flaky", {"failures": failures}, failures + _SPARE_RETRIES, "SUCCEEDED"


def _effect(rng: random.Random) -> _Fields:
    longest_s = 3.0 if rng.random() < 0.1 else 0.5
    fail_first = int(rng.random() * 3)
    payload = {
        "seconds": round(rng.random() * longest_s, 2),
        "fail_first": fail_first,
        "via": "once" if rng.random() < 0.5 else "transaction",
    }
    return "effect", payload, fail_first + _SPARE_RETRIES, "SUCCEEDED"


def _effect_in_vain(rng: random.Random) -> _Fields:
    via = "once" if rng.random() < 0.5 else "transaction"
    return "effect", {"fail_first": 1_000, "via": via}, int(rng.random() * 3), "FAILED"


def _fail(rng: random.Random) -> _Fields:
    return "fail", {"message": "told to"}, int(rng.random() * 3), "FAILED"


def _fail_at_once(rng: random.Random) -> _Fields:
    return "fail", {"retryable": False}, 5, "FAILED"


def _unknown_type(rng: random.Random) -> _Fields:
    return "nobody.knows", {"x": rng.random()}, int(rng.random() * 3), "FAILED"


def _refused(rng: random.Random) -> _Fields:
    return "sum", {"numbers": "none"}, 0, "REFUSED"


def _crash(rng: random.Random) -> _Fields:
    return "crash", {}, int(rng.random() * 2), "FAILED"


def _is_crash(submission: Submission) -> bool:
    return submission.task_type == "crash"


_WEIGHTS: Mapping[Callable[[random.Random], _Fields], int] = MappingProxyType(
    {
        _sum: 25,
        _sleep: 20,
        _flaky: 10,
        _effect: 20,
        _effect_in_vain: 2,
        _fail: 6,
        _fail_at_once: 4,
        _unknown_type: 5,
        _refused: 2,
    }
)
_WEIGHTED = [maker for maker, weight in _WEIGHTS.items() for _ in range(weight)]


def _pick(rng: random.Random, options: Sequence[T]) -> T:
    return options[int(rng.random() * len(options))]
