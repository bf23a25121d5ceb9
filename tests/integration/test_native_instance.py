"""Whatever ends the lab, its processes end and its data goes (case F1)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from task_lab.errors import DataFolderUnusable, NotEnoughDisk
from task_lab.runtime.instance import MARK, Instance, sweep
from task_lab.runtime.process import run_boots, until

# A lab that starts one program which detaches itself as epmd does: other session, other parent.
LAB = """
import sys, time
from pathlib import Path
from task_lab.runtime.instance import Instance

root = Path(sys.argv[1])
instance = Instance(root, needed_bytes=0)
instance.spawn(
    "detaching", ["setsid", "--fork", "sleep", "600"], log=root / "log", cwd=instance.folder
)
print(instance.folder, instance._keeper.pid, flush=True)
try:
    time.sleep(600)
finally:
    if sys.argv[2] == "close":
        instance.close()
"""


class Lab:
    """A lab in a process of its own, holding one instance with one detached program."""

    def __init__(self, root: Path, at_exit: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAB, str(root), at_exit],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout
        folder, keeper = self.process.stdout.readline().split()
        self.folder, self.keeper = Path(folder), int(keeper)
        wait_until(lambda: "sleep" in programs_of(self.folder), "the detached program")

    def end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.communicate(timeout=30)


StartLab = Callable[..., Lab]


@pytest.fixture
def start_lab(tmp_path: Path) -> Iterator[StartLab]:
    labs: list[Lab] = []

    def start(at_exit: str = "close") -> Lab:
        labs.append(Lab(tmp_path, at_exit))
        return labs[-1]

    yield start
    for lab in labs:
        lab.process.kill()
        lab.process.communicate()


def programs_of(folder: Path) -> list[str]:
    """Names of the running programs that carry the instance's mark."""
    mark = f"{MARK}={folder}".encode()
    names = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                names.append((entry / "comm").read_text().strip())
        except OSError:
            continue
    return names


def wait_until(is_done: Callable[[], bool], what: str) -> None:
    run_boots(until(is_done, what=what, deadline_s=30))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_after_a_signal(start_lab: StartLab, number: signal.Signals) -> None:
    lab = start_lab()
    lab.end(number)
    wait_until(lambda: not lab.folder.exists(), "removal of the data folder")
    assert programs_of(lab.folder) == []


def test_nothing_is_left_when_the_lab_ends_without_closing(start_lab: StartLab) -> None:
    lab = start_lab(at_exit="forget")
    lab.end(signal.SIGINT)
    wait_until(lambda: not lab.folder.exists(), "removal of the data folder")
    assert programs_of(lab.folder) == []


def test_the_next_lab_sweeps_what_a_killed_lab_and_keeper_left(
    start_lab: StartLab, tmp_path: Path
) -> None:
    lab = start_lab()
    os.kill(lab.keeper, signal.SIGKILL)
    lab.end(signal.SIGKILL)
    assert lab.folder.exists()
    assert programs_of(lab.folder) == ["sleep"]
    instance = Instance(tmp_path, needed_bytes=0)
    try:
        assert not lab.folder.exists()
        assert programs_of(lab.folder) == []
    finally:
        instance.close()


def test_a_living_lab_is_not_swept(start_lab: StartLab, tmp_path: Path) -> None:
    lab = start_lab()
    assert sweep(tmp_path) == []
    assert programs_of(lab.folder) == ["sleep"]


def test_folders_of_other_names_are_not_swept(tmp_path: Path) -> None:
    for name in ("task-lab-report", "task-lab-0123456789ab.old", "other"):
        (tmp_path / name).mkdir()
    assert sweep(tmp_path) == []


def test_a_link_that_looks_like_an_instance_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "task-lab-0123456789ab").symlink_to(precious)
    assert sweep(tmp_path) == []
    assert precious.exists()


def test_closing_ends_the_keeper_and_can_be_repeated(tmp_path: Path) -> None:
    instance = Instance(tmp_path, needed_bytes=0)
    instance.close()
    instance.close()
    assert list(tmp_path.iterdir()) == []
    keepers = subprocess.run(
        ["pgrep", "-f", f"keeper {instance.folder}"], capture_output=True, text=True, check=False
    )
    assert keepers.stdout == ""


def test_too_little_disk_space_is_an_error_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughDisk) as caught:
        Instance(tmp_path, needed_bytes=2**60)
    assert caught.value.needed_bytes == 2**60
    assert 0 < caught.value.free_bytes < 2**60
    assert list(tmp_path.iterdir()) == []


def test_the_data_root_can_be_named_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASK_LAB_DATA_ROOT", str(tmp_path))
    instance = Instance(needed_bytes=0)
    instance.close()
    assert instance.folder.parent == tmp_path


@pytest.mark.parametrize("kind", ["missing", "a file"])
def test_a_data_root_that_is_no_folder_is_an_error_that_names_it(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "root"
    if kind == "a file":
        root.touch()
    with pytest.raises(DataFolderUnusable) as caught:
        Instance(root, needed_bytes=0)
    assert caught.value.folder == root


def test_a_data_root_that_cannot_be_written_is_an_error() -> None:
    with pytest.raises(DataFolderUnusable, match="TASK_LAB_DATA_ROOT"):
        Instance(Path("/sys"), needed_bytes=0)  # not even root may make folders there
