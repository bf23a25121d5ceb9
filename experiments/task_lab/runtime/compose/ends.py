"""When containers ended, and whether they came back: read from what the engine told. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from task_lab.runtime.compose.containers import NUMBER_LABEL, SERVICE_LABEL, name_of


@dataclass(frozen=True, slots=True)
class End:
    """One end of one container. Times are unix seconds, by the engine's clock.

    signal: what people sent it before, None where it ended by itself. Those who are killed are not
    brought back by the restart policy; those who end by themselves are.
    returned_at: when it was started again, None if it did not return.
    """

    container: str
    name: str
    signal: int | None
    ended_at: float
    exit_code: int
    returned_at: float | None = None

    def __str__(self) -> str:
        how = "by itself" if self.signal is None else f"by signal {self.signal}"
        back = (
            "did not return"
            if self.returned_at is None
            else f"returned after {self.returned_at - self.ended_at:.1f} s"
        )
        return f"{self.name} ended {how}, exit code {self.exit_code}; {back}"


def ends_of(events: Iterable[Mapping[str, Any]]) -> list[End]:
    """Every end that the engine told of, in order. events: as `docker events` writes them."""
    ends: list[End] = []
    latest: dict[str, int] = {}
    signals: dict[str, int] = {}
    for event in events:
        if event.get("Type") != "container":
            continue
        container, told = event["Actor"]["ID"], event["Actor"]["Attributes"]
        at = event["timeNano"] / 1e9
        if event["Action"] == "kill":
            signals[container] = int(told["signal"])
        elif event["Action"] == "die":
            latest[container] = len(ends)
            ends.append(
                End(
                    container=container,
                    name=name_of(told[SERVICE_LABEL], int(told[NUMBER_LABEL]), container),
                    signal=signals.pop(container, None),
                    ended_at=at,
                    exit_code=int(told["exitCode"]),
                )
            )
        elif event["Action"] == "start" and container in latest:
            number = latest.pop(container)
            ends[number] = replace(ends[number], returned_at=at)
    return ends
