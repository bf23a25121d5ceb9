"""A Prometheus server of our own, which finds the stack's processes in a file.

A change of the targets file is noticed at once but applied on Prometheus's own beat of 5 s, so
`reached` may lag `set_targets` by that much.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from task_lab.runtime import scraping
from task_lab.runtime.instance import Instance
from task_lab.runtime.ports import LOOPBACK
from task_lab.runtime.process import Boot, until
from task_lab.runtime.scraping import Target


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
        """Replace the processes to scrape."""
        scraping.write_targets(self._targets_file, targets)

    def reached(self) -> dict[str, bool]:
        """See `scraping.reached`."""
        return scraping.reached(self.url)

    def boot(self, rabbitmq_metrics_url: str = "") -> Boot:
        """Start the server; also scrapes the broker when its metrics address is given."""
        config = self._folder / "prometheus.yml"
        config.write_text(scraping.scrape_config(str(self._targets_file), rabbitmq_metrics_url))
        child = self._instance.spawn(
            "prometheus",
            [
                str(self._program),
                f"--config.file={config}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                f"--web.listen-address={LOOPBACK}:{self.port}",
                "--log.level=warn",
                scraping.APPLY_TARGETS_SOON,
            ],
            log=self._log,
            cwd=self._folder,
        )
        yield from until(self._is_ready, what="Prometheus to answer", deadline_s=20, child=child)

    def _is_ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/-/ready", timeout=1).is_success
        return False
