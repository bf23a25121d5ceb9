"""The client's view of a chaos trial, in Jepsen's form: a line before each send, one after it.

`invoke` is written before a submission leaves; then `ok` (201, 200), `fail` (4xx) or `info` (any
other answer, or none: nobody knows). A key may be sent several times.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from task_lab.chaos.load import Submission
from task_lab.check.histories import Operation
from task_lab.check.verdict import Check, Verdict
from task_lab.store import read_lines

Outcome = Literal["ok", "fail", "info"]
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one submission. detail: the status, or the name of the error."""

    outcome: Outcome
    task_id: str | None
    detail: str


class History:
    """Appends to history.jsonl; each line is with the operating system before the send goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def invoked(self, submissions: Sequence[Submission], *, call: int, api: int) -> None:
        """About to send these in one request."""
        now = time.time()
        self._append(
            {
                "at": now,
                "kind": "invoke",
                "call": call,
                "api": api,
                "key": one.key,
                **one.body(),
                "expected": one.expected,
            }
            for one in submissions
        )

    def answered(
        self, submissions: Sequence[Submission], answers: Sequence[Answer], *, call: int
    ) -> None:
        """The request has ended, one way or another."""
        now = time.time()
        self._append(
            {
                "at": now,
                "kind": answer.outcome,
                "call": call,
                "key": one.key,
                "task_id": answer.task_id,
                "detail": answer.detail,
            }
            for one, answer in zip(submissions, answers, strict=True)
        )

    def _append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)


@dataclass(frozen=True)
class Sent:
    """All that happened to one key. sends: how often it was sent, answered or not."""

    first: Mapping[str, Any]
    sends: int
    answers: tuple[Mapping[str, Any], ...]

    def outcome(self) -> Literal["ok", "failed", "unknown"]:
        """What its client knows: an `ok` settles whatever was unclear before, a refusal does not.

        A send without a clear answer may have been committed, whatever a later one was told.
        """
        kinds = [answer["kind"] for answer in self.answers]
        if "ok" in kinds:
            return "ok"
        return "failed" if kinds.count("fail") == self.sends else "unknown"

    def task_ids(self) -> list[str]:
        """The tasks it was answered with, in order of the answers."""
        return [answer["task_id"] for answer in self.answers if answer["kind"] == "ok"]


def read_sent(path: Path) -> dict[str, Sent]:
    """Every key of a history with what happened to it."""
    invoked: dict[str, list[Mapping[str, Any]]] = {}
    answers: dict[str, list[Mapping[str, Any]]] = {}
    for line in read_lines(path):
        if line["kind"] == "invoke":
            invoked.setdefault(line["key"], []).append(line)
        else:
            answers.setdefault(line["key"], []).append(line)
    return {
        key: Sent(lines[0], len(lines), tuple(answers.get(key, ())))
        for key, lines in invoked.items()
    }


def operations_of(sent: Mapping[str, Sent]) -> list[Operation]:
    """The history as its judge takes it."""
    return [
        Operation(
            key=key,
            task_type=one.first["task_type"],
            payload=one.first["payload"],
            max_retries=one.first["max_retries"],
            outcome=one.outcome(),
            task_id=next(iter(one.task_ids()), None),
            expected="SUCCEEDED" if one.first["expected"] == "SUCCEEDED" else "FAILED",
        )
        for key, one in sent.items()
    ]


def check_answers(sent: Mapping[str, Sent]) -> list[Check]:
    """What a history shows by itself: repeats name one task, and only what is wrong is refused."""
    torn = {key: one.task_ids() for key, one in sent.items() if len(set(one.task_ids())) > 1}
    wrong = {
        key: [answer["detail"] for answer in one.answers]
        for key, one in sent.items()
        if any(answer["kind"] == _forbidden(one) for answer in one.answers)
    }
    return [
        _check("repeats_name_one_task", torn, "keys were answered with different tasks"),
        _check("answers_fit", wrong, "keys were refused, or accepted, against the rules"),
    ]


def count_repeats(sent: Mapping[str, Sent]) -> dict[str, int]:
    """repeats: sends of a key after its first. replayed: those answered although it had been."""
    return {
        "repeats": sum(max(0, len(one.answers) - 1) for one in sent.values()),
        "replayed": sum(max(0, len(one.task_ids()) - 1) for one in sent.values()),
    }


def _forbidden(one: Sent) -> Outcome:
    return "ok" if one.first["expected"] == "REFUSED" else "fail"


def _check(name: str, found: Mapping[str, Any], what: str) -> Check:
    verdict = Verdict.FAIL if found else Verdict.PASS
    shown = dict(list(found.items())[:_SHOWN])
    return Check(name, verdict, f"{len(found)} {what}", expected={}, observed=shown)
