"""A Redis server of our own, in memory only."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from pathlib import Path

from task_lab.runtime.instance import Instance
from task_lab.runtime.ports import LOOPBACK
from task_lab.runtime.process import Boot, until


class Redis:
    """One server on 127.0.0.1:port; holds nothing that must outlive it."""

    def __init__(
        self, instance: Instance, *, programs: Mapping[str, Path], port: int, logs: Path
    ) -> None:
        self.port = port
        self.url = f"redis://{LOOPBACK}:{port}/0"
        self._instance = instance
        self._program = programs["redis-server"]
        self._log = logs / "redis.log"
        self._folder = instance.subfolder("redis")

    def boot(self) -> Boot:
        """Start the server."""
        child = self._instance.spawn(
            "redis-server",
            [
                str(self._program),
                *("--port", str(self.port), "--bind", LOOPBACK, "--dir", str(self._folder)),
                *("--save", "", "--appendonly", "no", "--daemonize", "no"),
                # A title is written over the environment, which marks the process as ours.
                *("--set-proc-title", "no"),
            ],
            log=self._log,
            cwd=self._folder,
        )
        yield from until(self._answers, what="Redis to answer", deadline_s=10, child=child)

    def _answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((LOOPBACK, self.port), timeout=1) as connection,
        ):
            connection.sendall(b"PING\r\n")
            return connection.recv(5) == b"+PONG"
        return False
