"""What the lab and its sender process say to each other: one JSON line each way per load."""

from __future__ import annotations

import msgspec


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """The sender's first line. precedence: the kernel runs it before the processes it measures."""

    precedence: bool


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One phase's load.

    bodies: JSON text of one submission of each kind. mix: which of them each task is; empty where
    there is one kind. keys: what each task's idempotency key begins with, before its number; None
    sends none. batch_size: tasks per request; 1 means single POSTs.
    schedule_s: seconds after the start at which each request is due; None is a closed loop.
    timeout_s: longest wait for one answer. deadline_s: after it nothing more is sent.
    """

    phase: str
    api_url: str
    bodies: list[str]
    tasks: int
    in_flight: int
    history: str
    mix: list[int] = []
    keys: str | None = None
    batch_size: int = 1
    schedule_s: list[float] | None = None
    timeout_s: float = 30.0
    deadline_s: float = 120.0


class SenderReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the sender says about a load, and about itself.

    first_id, last_id: lowest and highest accepted task id (UUIDv7: they bound the phase's rows).
    cpu_s: processor seconds of the sender. loop_lag_s: how late its event loop woke up, a sample
    every 10 ms. send_lag_s: how late each request left, open loop only; own_lag_s: of those among
    them that a place of the loop was waiting for, so that nothing but the sender was late.
    """

    phase: str
    submitted: int
    accepted: int
    rejected: int
    unknown: int
    first_scheduled_at: float
    first_sent_at: float
    last_answered_at: float
    duration_s: float
    cpu_s: float
    loop_lag_s: list[float]
    send_lag_s: list[float]
    first_id: str | None
    last_id: str | None
    problems: dict[str, int]
    own_lag_s: list[float] = []

    @property
    def submit_per_s(self) -> float:
        """Accepted tasks over first send to last answer."""
        return self.accepted / max(self.last_answered_at - self.first_sent_at, 1e-9)

    @property
    def cpu_share(self) -> float:
        """Share of one core that the sender used."""
        return self.cpu_s / max(self.duration_s, 1e-9)
