"""Which processes of this host are those of containers."""

from __future__ import annotations

from pathlib import Path

import pytest
from task_lab.runtime.compose.containers import Container
from task_lab.runtime.compose.pids import process_groups

ID = "5b66ab" + "0" * 58


def container(pid: int, state: str = "running", service: str = "worker") -> Container:
    return Container(
        id=ID,
        service=service,
        number=1,
        image="sha256:1",
        state=state,
        health="",
        exit_code=0,
        pid=pid,
        restarts=0,
        address="",
        ports={},
    )


def host(folder: Path, pid: int, cgroup: str) -> Path:
    """A /proc with one process in that control group."""
    (folder / str(pid)).mkdir()
    (folder / str(pid) / "cgroup").write_text(cgroup)
    return folder


@pytest.mark.parametrize(
    "cgroup",
    [
        f"0::/system.slice/docker-{ID}.scope\n",
        f"0::/../docker-{ID}.scope\n",
        f"12:memory:/docker/{ID}\n11:cpu:/docker/{ID}\n",
    ],
)
def test_the_process_of_a_container_is_known_by_its_control_group(
    tmp_path: Path, cgroup: str
) -> None:
    proc = host(tmp_path, 77, cgroup)
    assert process_groups([container(77)], proc) == {"worker-1.5b66ab": [77]}
    assert process_groups([container(77, service="api")], proc) == {"api": [77]}


def test_another_process_of_that_id_is_not_taken_for_it(tmp_path: Path) -> None:
    proc = host(tmp_path, 77, "0::/user.slice/session-1.scope\n")
    assert process_groups([container(77)], proc) == {}


def test_a_container_of_another_host_has_none_here(tmp_path: Path) -> None:
    assert process_groups([container(77)], tmp_path) == {}


def test_a_container_that_has_ended_has_none(tmp_path: Path) -> None:
    proc = host(tmp_path, 0, f"0::/docker-{ID}.scope\n")
    assert process_groups([container(0, state="exited")], proc) == {}
