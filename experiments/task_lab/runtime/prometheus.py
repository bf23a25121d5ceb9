"""A Prometheus server of our own, which finds the stack's processes in a file.

It scrapes every `SCRAPE_INTERVAL_S`. A change of the targets file is noticed at once but applied on
Prometheus's own beat of 5 s, so `reached` may lag `set_targets` by that much.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from task_lab.runtime.instance import Instance
from task_lab.runtime.ports import LOOPBACK
from task_lab.runtime.process import Boot, until

SCRAPE_INTERVAL_S = 0.25
# The broker renews its figures every 500 ms, and a scrape of it is not free.
RABBITMQ_SCRAPE_INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True)
class Target:
    """One process to scrape: job (api, worker, relay), its replica name, and host:port."""

    job: str
    replica: str
    address: str


class Prometheus:
    """One server on 127.0.0.1:port."""

    def __init__(
        self, instance: Instance, *, programs: Mapping[str, Path], port: int, logs: Path
    ) -> None:
        self.port = port
        self.url = f"http://{LOOPBACK}:{port}"
        self._instance = instance
        self._program = programs["prometheus"]
        self._log = logs / "prometheus.log"
        self._folder = instance.subfolder("prometheus")
        self._targets_file = self._folder / "targets.json"
        self.set_targets([])

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Replace the processes to scrape; the file changes in one step."""
        groups = [
            {"targets": [target.address], "labels": {"job": target.job, "replica": target.replica}}
            for target in targets
        ]
        fresh = self._targets_file.with_suffix(".new")
        fresh.write_text(json.dumps(groups))
        fresh.replace(self._targets_file)

    def reached(self) -> dict[str, bool]:
        """host:port of every process it knows, and whether the latest scrape of it worked.

        Raises httpx.HTTPError when Prometheus itself does not answer.
        """
        answer = httpx.get(
            f"{self.url}/api/v1/query", params={"query": 'up{job!="rabbitmq"}'}, timeout=5
        )
        answer.raise_for_status()
        series = answer.json()["data"]["result"]
        return {one["metric"]["instance"]: one["value"][1] == "1" for one in series}

    def boot(self, rabbitmq_metrics_url: str = "") -> Boot:
        """Start the server; also scrapes the broker when its metrics address is given."""
        config = self._folder / "prometheus.yml"
        config.write_text(self._config(rabbitmq_metrics_url))
        child = self._instance.spawn(
            "prometheus",
            [
                str(self._program),
                f"--config.file={config}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                f"--web.listen-address={LOOPBACK}:{self.port}",
                "--log.level=warn",
                # New targets wait for two beats of 5 s, one after the other; this one can be set.
                "--scrape.discovery-reload-interval=100ms",
            ],
            log=self._log,
            cwd=self._folder,
        )
        yield from until(self._is_ready, what="Prometheus to answer", deadline_s=20, child=child)

    def _is_ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/-/ready", timeout=1).is_success
        return False

    def _config(self, rabbitmq_metrics_url: str) -> str:
        """The configuration; JSON, which is also YAML."""
        jobs: list[dict[str, object]] = [
            {
                "job_name": "platform",
                "file_sd_configs": [{"files": [str(self._targets_file)], "refresh_interval": "1s"}],
            }
        ]
        if rabbitmq_metrics_url:
            url = httpx.URL(rabbitmq_metrics_url)
            jobs.append(
                {
                    "job_name": "rabbitmq",
                    "metrics_path": url.path,
                    "scrape_interval": _duration(RABBITMQ_SCRAPE_INTERVAL_S),
                    "scrape_timeout": _duration(RABBITMQ_SCRAPE_INTERVAL_S),
                    "static_configs": [{"targets": [f"{url.host}:{url.port}"]}],
                }
            )
        interval = _duration(SCRAPE_INTERVAL_S)
        return json.dumps(
            {
                "global": {"scrape_interval": interval, "scrape_timeout": interval},
                "scrape_configs": jobs,
            }
        )


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
