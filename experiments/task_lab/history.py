"""The client's view of a run, one line per submitted task, written while the load goes on.

Only what the sender itself saw is here. Whether a task exists is the ledger's to say: a submission
without a clear answer is `unknown`, never failed. No data frames here, so that the sender, which
must stay light, can import it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

Outcome = Literal["accepted", "rejected", "unknown"]


class Submission(msgspec.Struct, frozen=True):
    """One submitted task. Times are unix seconds; status is None where no answer came.

    scheduled_at: when it was meant to be sent; in a closed loop, when a sender was free.
    """

    phase: str
    index: int
    task_id: str | None
    outcome: Outcome
    status: int | None
    scheduled_at: float
    sent_at: float
    answered_at: float


def key_prefix(phase: str) -> str:
    """What the idempotency keys of a phase begin with; the task's number follows."""
    return f"{phase}-"


class HistoryWriter:
    """Appends submissions to history.jsonl.

    Lines are kept until `flush`, which the sender calls every few hundredths of a second, so that
    a killed run loses no more than that.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")
        self._encoder = msgspec.json.Encoder()
        self._waiting: list[bytes] = []

    def add(self, submission: Submission) -> None:
        """Take a submission; it is on disk after the next flush."""
        self._waiting.append(self._encoder.encode(submission))

    def flush(self) -> None:
        """Hand all lines to the operating system."""
        if self._waiting:
            self._file.write(b"\n".join(self._waiting) + b"\n")
            self._file.flush()
            self._waiting.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.flush()
        self._file.close()


def read_phase(path: Path, phase: str) -> list[dict[str, object]]:
    """The submissions of one phase on disk, as records."""
    return [msgspec.structs.asdict(one) for one in read_history(path) if one.phase == phase]


def read_history(path: Path) -> Iterator[Submission]:
    """The submissions on disk, in the order of their answers.

    A last line cut by a kill is left out; any other unreadable line raises msgspec's error.
    """
    decoder = msgspec.json.Decoder(Submission)
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield decoder.decode(line)
