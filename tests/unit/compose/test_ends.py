"""When containers ended and came back, from what the engine tells."""

from __future__ import annotations

from typing import Any

from task_lab.runtime.compose.ends import End, ends_of

WORKER = "5b66ab" + "0" * 58
POSTGRES = "c0ffee" + "0" * 58


def event(at: float, action: str, container: str = WORKER, **told: str) -> dict[str, Any]:
    """As `docker events` writes it, with the labels that compose put on the container."""
    service = "worker" if container == WORKER else "postgres"
    labels = {
        "com.docker.compose.service": service,
        "com.docker.compose.container-number": "1",
    }
    return {
        "Type": "container",
        "Action": action,
        "Actor": {"ID": container, "Attributes": {**labels, **told}},
        "time": int(at),
        "timeNano": int(at * 1e9),
    }


def test_c9_a_killed_container_did_not_return() -> None:
    events = [
        event(1, "create"),
        event(2, "start"),
        event(3, "health_status: healthy"),
        event(10, "kill", signal="9"),
        event(10.5, "die", exitCode="137"),
    ]
    (end,) = ends_of(events)
    assert end == End(WORKER, "worker-1.5b66ab", 9, 10.5, 137, None)
    assert str(end) == "worker-1.5b66ab ended by signal 9, exit code 137; did not return"


def test_c9_a_crashed_container_ended_by_itself_and_returned() -> None:
    events = [event(10, "die", exitCode="137"), event(10.5, "start"), event(20, "start", POSTGRES)]
    (end,) = ends_of(events)
    assert (end.signal, end.ended_at, end.returned_at) == (None, 10.0, 10.5)
    assert str(end).endswith("ended by itself, exit code 137; returned after 0.5 s")


def test_each_end_has_its_own_return() -> None:
    events = [
        event(1, "die", exitCode="1"),
        event(2, "kill", POSTGRES, signal="15"),
        event(3, "start"),
        event(4, "die", POSTGRES, exitCode="0"),
        event(5, "die", exitCode="1"),
        event(6, "start", POSTGRES),
    ]
    found = [(end.name.split(".")[0], end.ended_at, end.returned_at) for end in ends_of(events)]
    assert found == [("worker-1", 1, 3), ("postgres", 4, 6), ("worker-1", 5, None)]


def test_a_signal_that_ends_nothing_is_no_end() -> None:
    hup = event(1, "kill", POSTGRES, signal="1")
    assert ends_of([hup]) == []
    assert ends_of([{"Type": "network", "Action": "disconnect"}]) == []
