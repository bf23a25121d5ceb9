"""A RabbitMQ broker of our own, with its management and Prometheus plugins.

Queue figures in its metrics are as old as `STATISTICS_INTERVAL_MS`: classic queues publish theirs
that often, quorum queues on a tick of the same length (5 s each by default).
"""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import httpx

from task_lab.errors import ProgramFailed, UsageError
from task_lab.runtime.instance import Instance
from task_lab.runtime.ports import LOOPBACK, PortPool
from task_lab.runtime.process import Boot, Child, until

USER = "task_platform"
STATISTICS_INTERVAL_MS = 500

_STOP_WITHIN_S = 30.0


class RabbitMQ:
    """One single-node broker; everything it opens is bound to 127.0.0.1."""

    def __init__(
        self,
        instance: Instance,
        *,
        programs: Mapping[str, Path],
        port: int,
        ports: PortPool,
        logs: Path,
    ) -> None:
        self.port = port
        self._metrics_port = ports.take()
        self._management_port = ports.take()
        self._instance = instance
        self._log = logs / "rabbitmq.log"
        self._program = programs["rabbitmq-server"]
        self._ctl = programs["rabbitmqctl"]
        self._folder = instance.subfolder("rabbitmq")
        self._password = secrets.token_hex(16)
        self._variables = self._write_config(
            node=f"{instance.folder.name}@localhost",
            distribution_port=ports.take(),
            epmd_port=ports.take(),
        )
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """Process id of the broker, which may have children; it must have been booted."""
        assert self._child is not None
        return self._child.pid

    @property
    def metrics_url(self) -> str:
        """Prometheus metrics with one series a queue."""
        return f"http://{LOOPBACK}:{self._metrics_port}/metrics/per-object"

    def url(self, vhost: str = "/") -> str:
        """Address of a virtual host, with the password."""
        path = "" if vhost == "/" else quote(vhost, safe="")
        return f"amqp://{USER}:{self._password}@{LOOPBACK}:{self.port}/{path}"

    def boot(self) -> Boot:
        """Start the broker; after a stop, start it again on the same data."""
        if self._child and self._child.exit_code is None:
            raise UsageError("the broker is running already")
        self._child = self._instance.spawn(
            "rabbitmq-server",
            [str(self._program)],
            log=self._log,
            cwd=self._folder,
            variables=self._variables,
        )
        yield from until(
            self._is_ready, what="RabbitMQ to answer", deadline_s=60, child=self._child
        )

    def stop(self) -> None:
        """Let the broker shut down in order; its data stays."""
        if self._child:
            self._child.end(grace_s=_STOP_WITHIN_S)

    def kill(self) -> None:
        """Kill the broker; what it had on disk stays."""
        if self._child:
            self._child.send(signal.SIGKILL)
            self._child.wait(grace_s=_STOP_WITHIN_S)

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl on this broker (about a second); returns what it prints."""
        done = subprocess.run(
            [str(self._ctl), "--quiet", *arguments],
            env=self._instance.environment(self._folder, self._variables),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise ProgramFailed("rabbitmqctl", done.returncode, done.stderr.strip(), self._log)
        return done.stdout.strip()

    def create_vhost(self, name: str) -> str:
        """Make an empty virtual host; returns its address."""
        vhost = quote(name, safe="")
        self._manage("PUT", f"/api/vhosts/{vhost}")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self._manage("PUT", f"/api/permissions/{vhost}/{USER}", json=everything)
        return self.url(name)

    def delete_vhost(self, name: str) -> None:
        """Delete a virtual host with all its queues; nothing if there is none."""
        self._manage("DELETE", f"/api/vhosts/{quote(name, safe='')}", accept=(204, 404))

    def _is_ready(self) -> bool:
        """AMQP must answer, not only HTTP: a taken AMQP port shows nowhere else at first."""
        with contextlib.suppress(OSError, httpx.HTTPError):
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                if not connection.recv(1):
                    return False
            return (
                httpx.get(self.metrics_url, timeout=5).is_success
                and self._request("GET", "/api/whoami").is_success
            )
        return False

    def _manage(
        self,
        method: str,
        path: str,
        *,
        json: Mapping[str, str] | None = None,
        accept: tuple[int, ...] = (201, 204),
    ) -> None:
        answer = self._request(method, path, json=json)
        if answer.status_code not in accept:
            raise ProgramFailed(
                "rabbitmq management", None, f"{method} {path}: {answer.status_code}", self._log
            )

    def _request(
        self, method: str, path: str, json: Mapping[str, str] | None = None
    ) -> httpx.Response:
        return httpx.request(
            method,
            f"http://{LOOPBACK}:{self._management_port}{path}",
            json=json,
            auth=(USER, self._password),
            timeout=10,
        )

    def _write_config(self, *, node: str, distribution_port: int, epmd_port: int) -> dict[str, str]:
        """Write the broker's files; returns the variables that point to them."""
        config = self._folder / "rabbitmq.conf"
        plugins = self._folder / "enabled_plugins"
        settings = {
            "listeners.tcp.1": f"{LOOPBACK}:{self.port}",
            "prometheus.tcp.ip": LOOPBACK,
            "prometheus.tcp.port": self._metrics_port,
            "management.tcp.ip": LOOPBACK,
            "management.tcp.port": self._management_port,
            "default_user": USER,
            "default_pass": self._password,
            "collect_statistics_interval": STATISTICS_INTERVAL_MS,
            "vm_memory_high_watermark.absolute": "1GB",
            "disk_free_limit.absolute": "200MB",
            "log.file": "false",
            "log.console": "true",
            "log.console.level": "info",
            "log.console.use_colors": "off",
        }
        config.touch(mode=0o600)
        config.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        plugins.write_text("[rabbitmq_prometheus,rabbitmq_management].\n")
        return {
            "RABBITMQ_NODENAME": node,
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(config),
            # The system's own files must not leak in.
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "no-env.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self._folder / "no-advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_DIST_PORT": str(distribution_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} "
                f"-rabbit quorum_tick_interval {STATISTICS_INTERVAL_MS}"
            ),
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_CRASH_DUMP": str(self._folder / "erl_crash.dump"),
        }
