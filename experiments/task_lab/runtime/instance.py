"""One instance of the stack on this machine: its data folder, its processes, its end.

The owner (the process that started it) holds a file lock in the data folder; the kernel drops that
lock when the owner ends, even by SIGKILL. Every process of the instance carries the folder's path
in its environment, so all can be found without keeping books, also those that detached themselves
(Erlang's epmd). Whoever gets the lock may therefore clean up: the keeper, a small process that does
nothing but wait for it, or the next instance, which sweeps what a killed keeper left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO

from task_lab.errors import DataFolderUnusable, NotEnoughDisk
from task_lab.runtime.process import Child

DEFAULT_DATA_ROOT = Path("/var/tmp")  # noqa: S108  (unlike /tmp never in memory: fsync is real)
DATA_ROOT_VARIABLE = "TASK_LAB_DATA_ROOT"
MARK = "TASK_LAB_INSTANCE"
NEEDED_BYTES = 2 * 2**30
NO_VARIABLES: Mapping[str, str] = MappingProxyType({})

_NAME = re.compile(r"task-lab-[0-9a-f]{12}")
_LOCK = "owner.lock"
_END_WITHIN_S = 10.0


def default_data_root() -> Path:
    """Where data folders are made unless somebody asks for another place."""
    return Path(os.environ.get(DATA_ROOT_VARIABLE) or DEFAULT_DATA_ROOT)


class Instance:
    """A fresh data folder, owned by this process until `close`.

    data_root: where the folder is made; TASK_LAB_DATA_ROOT, then /var/tmp, if None.
    Raises `DataFolderUnusable` or, with less than `needed_bytes` free, `NotEnoughDisk`.
    """

    def __init__(self, data_root: Path | None = None, *, needed_bytes: int = NEEDED_BYTES) -> None:
        root = (data_root or default_data_root()).absolute()
        sweep(root)
        self.folder = root / f"task-lab-{secrets.token_hex(6)}"
        try:
            free_bytes = shutil.disk_usage(root).free
            if free_bytes < needed_bytes:
                raise NotEnoughDisk(root, free_bytes=free_bytes, needed_bytes=needed_bytes)
            self._lock = _make_locked(self.folder)
        except OSError as error:
            raise DataFolderUnusable(root, error.strerror or str(error)) from error
        self._children: list[Child] = []
        self._keeper = subprocess.Popen(
            [sys.executable, "-P", "-m", "task_lab.runtime.keeper", str(self.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def subfolder(self, name: str, user: str | None = None) -> Path:
        """A private folder for one program, belonging to `user`.

        Raises `DataFolderUnusable` if that user cannot get there.
        """
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        if user:
            account = pwd.getpwnam(user)
            os.chown(folder, account.pw_uid, account.pw_gid)
            reached = subprocess.run(
                ["test", "-w", str(folder)], user=user, group=user, extra_groups=[], check=False
            )
            if reached.returncode != 0:
                raise DataFolderUnusable(
                    self.folder.parent, f"the user {user}, who runs the database, has no way there"
                )
        return folder

    def spawn(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        cwd: Path,
        variables: Mapping[str, str] = NO_VARIABLES,
        user: str | None = None,
    ) -> Child:
        """Start a program that belongs to this instance and ends with it."""
        env = self.environment(cwd, variables)
        child = Child.start(name, argv, log=log, env=env, cwd=cwd, user=user)
        self._children.append(child)
        return child

    def environment(self, cwd: Path, variables: Mapping[str, str]) -> dict[str, str]:
        """A bare environment (the caller's own settings must not leak in) and `variables`."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(cwd),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            **variables,
            MARK: str(self.folder),
        }

    def process_groups(self) -> dict[str, list[int]]:
        """The process of each program that runs now, by its name without `-server`."""
        running = [child for child in tuple(self._children) if child.exit_code is None]
        return {child.name.removesuffix("-server"): [child.pid] for child in running}

    def close(self) -> None:
        """End every process of the instance and delete its data; a second call does nothing."""
        if self._lock.closed:
            return
        remove(self.folder)
        for child in self._children:
            child.end(grace_s=0)
        self._keeper.kill()
        self._keeper.wait()
        self._lock.close()


def wait_for_owner_to_end(folder: Path) -> None:
    """Block until the instance's owner is gone, then clean up after it: the keeper's whole work."""
    with contextlib.suppress(FileNotFoundError), _open_lock(folder) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove(folder)


def sweep(data_root: Path) -> list[Path]:
    """Remove instances below `data_root` whose owner and keeper are both gone; returns them."""
    removed = []
    with contextlib.suppress(OSError):
        candidates = [path for path in data_root.iterdir() if _NAME.fullmatch(path.name)]
        for folder in candidates:
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            with (
                contextlib.suppress(FileNotFoundError, BlockingIOError),
                _open_lock(folder) as lock,
            ):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(folder)
                removed.append(folder)
    return removed


def remove(folder: Path) -> None:
    """End all processes that carry `folder` as their mark, then delete it.

    Its data goes with it, so nothing needs time to save anything. Only Postgres is asked (SIGQUIT):
    killed outright it would leave shared memory behind.
    """
    ends_at = time.monotonic() + _END_WITHIN_S
    asked: set[int] = set()
    while marked := list(_marked_with(folder)):
        overdue = time.monotonic() > ends_at
        for pid, program in marked:
            ask_only = program == "postgres" and not overdue
            if ask_only and pid in asked:
                continue
            asked.add(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGQUIT if ask_only else signal.SIGKILL)
                os.kill(pid, signal.SIGCONT)
        time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)


def _marked_with(folder: Path) -> Iterator[tuple[int, str]]:
    """(pid, program) of every live process that carries the mark."""
    wanted = f"{MARK}={folder}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            # A process may end meanwhile, belong to somebody else, or be a zombie (no variables).
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    yield int(entry.name), (entry / "comm").read_text().strip()


def _make_locked(folder: Path) -> IO[bytes]:
    """Make the folder, and lock it before it has the name by which a sweep would find it."""
    nascent = folder.with_suffix(".new")
    nascent.mkdir()
    # Others may pass through (the database runs as another user) but not look around.
    nascent.chmod(0o711)
    lock = _open_lock(nascent)
    fcntl.flock(lock, fcntl.LOCK_EX)
    nascent.rename(folder)
    return lock


def _open_lock(folder: Path) -> IO[bytes]:
    return (folder / _LOCK).open("ab")
