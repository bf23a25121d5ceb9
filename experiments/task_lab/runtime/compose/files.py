"""What makes a stack the lab's own: which files describe it, and what is added to them.

The stack is the one users run. Added are ports of the servers that the lab looks into, settings of
the experiment, and a Prometheus that scrapes often; taken away is what the checkout's own
task-platform.env would change.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from task_lab.runtime import scraping
from task_lab.runtime.base import Endpoints
from task_lab.runtime.ports import LOOPBACK, PortPool
from task_lab.runtime.rabbitmq import STATISTICS_INTERVAL_MS
from task_lab.store import PROJECT

PROCESSES = ("api", "worker", "relay", "migrate")
OPS_PORT = 9101
_BASE_FILE = "docker-compose.yml"
_OVERRIDE_FILE = "docker-compose.override.yml"
# By the name of the variable or of the server: the ports inside are the servers' own.
_PORTS = ("api", "prometheus", "rabbitmq_ui", "postgres", "amqp", "rabbitmq_metrics", "redis")
_PASSWORDS = ("POSTGRES", "PLATFORM", "EXPORTER", "RABBITMQ", "REDIS", "GRAFANA")
_TARGETS_FOLDER = "/etc/prometheus/targets"


class _Reset(list[Any]):
    """A list that takes the place of the one in the files before, rather than be added to it."""


class _Dumper(yaml.SafeDumper):
    """Writes `_Reset` as compose wants it."""


_Dumper.add_representer(_Reset, lambda dumper, _: dumper.represent_sequence("!reset", []))


def project_name(checkout: Path = PROJECT) -> str:
    """The lab's project name; another checkout on the same machine has another."""
    digest = hashlib.sha256(str(checkout.resolve()).encode()).hexdigest()
    return f"task-platform-lab-{digest[:8]}"


def image_name(project: str) -> str:
    """The name of a project's image of the platform: others may build theirs at any time."""
    return f"{project}:dev"


def stack_files(checkout: Path = PROJECT) -> list[Path]:
    """The files that compose itself would take: COMPOSE_FILE of the shell or of .env, or both names
    that it knows by heart, as far as they are there."""
    asked = os.environ.get("COMPOSE_FILE") or read_env_file(checkout / ".env").get("COMPOSE_FILE")
    if asked:
        return [checkout / name for name in asked.split(os.pathsep)]
    override = checkout / _OVERRIDE_FILE
    return [checkout / _BASE_FILE, *([override] if override.exists() else [])]


def read_env_file(file: Path) -> dict[str, str]:
    """The variables of a .env file as compose reads plain ones; none where there is no file."""
    if not file.exists():
        return {}
    lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
    pairs = [line.partition("=") for line in lines if "=" in line and not line.startswith("#")]
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


@dataclass(frozen=True, slots=True)
class LabStack:
    """The lab's own passwords and ports; drawn anew for every stack, and written nowhere."""

    passwords: Mapping[str, str]
    ports: Mapping[str, int]

    @classmethod
    def drawn(cls, pool: PortPool) -> LabStack:
        """Fresh ones; the ports stay reserved while the pool lives."""
        return cls(
            passwords={name: secrets.token_hex(16) for name in _PASSWORDS},
            ports={name: pool.port_for(name) for name in _PORTS},
        )

    def endpoints(self) -> Endpoints:
        """Where it answers when it is up."""
        port, password, user = self.ports, self.passwords, "task_platform"
        return Endpoints(
            api_url=f"http://{LOOPBACK}:{port['api']}",
            database_url=(
                f"postgresql://{user}:{password['PLATFORM']}@{LOOPBACK}:{port['postgres']}/{user}"
            ),
            amqp_url=f"amqp://{user}:{password['RABBITMQ']}@{LOOPBACK}:{port['amqp']}/",
            prometheus_url=f"http://{LOOPBACK}:{port['prometheus']}",
            redis_url=f"redis://:{password['REDIS']}@{LOOPBACK}:{port['redis']}/0",
            rabbitmq_metrics_url=(
                f"http://{LOOPBACK}:{port['rabbitmq_metrics']}/metrics/per-object"
            ),
        )

    def variables(self) -> dict[str, str]:
        """The environment for compose: this process's own, without what would lead it astray."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("COMPOSE_")}
        return {
            **inherited,
            **{f"{name}_PASSWORD": value for name, value in self.passwords.items()},
            "API_PORT": str(self.ports["api"]),
            "PROMETHEUS_PORT": str(self.ports["prometheus"]),
            "RABBITMQ_UI_PORT": str(self.ports["rabbitmq_ui"]),
            # It is read every quarter of a second here.
            "FINAL_SCRAPE_WAIT_S": "2",
        }


def write_override(folder: Path, stack: LabStack, settings: Mapping[str, str]) -> Path:
    """Write what the lab adds to the stack's files below `folder`; returns the last file's path.

    Holds no passwords.
    """
    targets = folder / "targets"
    targets.mkdir(parents=True, exist_ok=True)
    targets.chmod(0o755)  # in its container Prometheus is another user
    scraping.write_targets(targets_file(folder), [])
    config = folder / "prometheus.lab.yml"
    config.write_text(
        scraping.scrape_config(
            f"{_TARGETS_FOLDER}/{targets_file(folder).name}",
            "http://rabbitmq:15692/metrics/per-object",
        )
    )
    config.chmod(0o644)
    file = folder / "compose.lab.yml"
    override = _override(stack, settings, config=config, targets=targets)
    file.write_text(yaml.dump(override, Dumper=_Dumper, sort_keys=False))
    return file


def targets_file(folder: Path) -> Path:
    """Where Prometheus is told what to scrape."""
    return folder / "targets" / "targets.json"


def _override(
    stack: LabStack, settings: Mapping[str, str], *, config: Path, targets: Path
) -> dict[str, Any]:
    process = {"env_file": _Reset(), "environment": dict(settings)}
    services: dict[str, Any] = {name: dict(process) for name in PROCESSES}
    for name in ("worker", "relay"):
        # Any free port, as there may be many of them.
        services[name]["ports"] = [f"{LOOPBACK}::{OPS_PORT}"]
    services["postgres"] = {"ports": [_published(stack, "postgres", 5432)]}
    services["redis"] = {"ports": [_published(stack, "redis", 6379)]}
    services["rabbitmq"] = {
        "ports": [
            _published(stack, "amqp", 5672),
            _published(stack, "rabbitmq_metrics", 15692),
        ],
        "environment": {
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                f"-rabbit quorum_tick_interval {STATISTICS_INTERVAL_MS}"
                f" -rabbit collect_statistics_interval {STATISTICS_INTERVAL_MS}"
            )
        },
    }
    services["prometheus"] = {
        "command": [
            *(o for o in _command_of("prometheus") if not o.startswith(scraping.RELOAD_INTERVAL)),
            scraping.APPLY_TARGETS_SOON,
        ],
        "volumes": [
            f"{config}:/etc/prometheus/prometheus.yml:ro",
            f"{targets}:{_TARGETS_FOLDER}:ro",
        ],
    }
    return {"services": services}


def _published(stack: LabStack, name: str, inside: int) -> str:
    return f"{LOOPBACK}:{stack.ports[name]}:{inside}"


def _command_of(service: str) -> list[str]:
    base = yaml.safe_load((PROJECT / _BASE_FILE).read_text("utf-8"))
    return list(base["services"][service]["command"])
