"""Ports for servers, held so that no other lab on this machine picks the same.

A port is taken from below the kernel's range for outgoing connections: one inside that range can be
grabbed by any client while a server is down (a loopback client that keeps trying to connect to it
may even connect to itself). While a pool lives, each of its ports is reserved by an abstract socket
of that name; the kernel drops the reservation when the process ends, however it ends.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from task_lab.errors import PortInUse, RuntimeUnavailable

LOWEST = 20000
LOOPBACK = "127.0.0.1"
NO_PORTS: Mapping[str, int] = MappingProxyType({})


def outgoing_range_start() -> int:
    """First port the kernel gives to outgoing connections."""
    return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:port now."""
    with socket.socket() as probe:
        # As servers do: ports of connections that just closed (TIME_WAIT) are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


class PortPool:
    """Hands out ports of 127.0.0.1; none twice before `close`.

    fixed: ports that were asked for by number, by the name of who is to listen there.
    """

    def __init__(self, fixed: Mapping[str, int] = NO_PORTS) -> None:
        self._fixed = fixed
        self._reservations: dict[int, socket.socket] = {}

    def port_for(self, name: str) -> int:
        """The port fixed for `name`, or else a free one; reserved until `close`.

        Raises `PortInUse` when a fixed one is taken.
        """
        fixed = self._fixed.get(name)
        if fixed is None:
            return self.take()
        if not self._reserve(fixed):
            raise PortInUse(fixed, name)
        return fixed

    def take(self) -> int:
        """A free port, reserved until `close`."""
        upper = outgoing_range_start()
        if upper <= LOWEST:
            upper = 2**16  # the whole range is given to outgoing connections: nothing to avoid
        for port in random.sample(range(LOWEST, upper), upper - LOWEST):
            if self._reserve(port):
                return port
        raise RuntimeUnavailable(f"no free port between {LOWEST} and {upper} on {LOOPBACK}")

    def close(self) -> None:
        """Give up every reservation."""
        for reservation in self._reservations.values():
            reservation.close()
        self._reservations.clear()

    def _reserve(self, port: int) -> bool:
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0task-lab-port-{port}")
        except OSError:
            reservation.close()
            return False
        if not is_free(port):
            reservation.close()
            return False
        self._reservations[port] = reservation
        return True
