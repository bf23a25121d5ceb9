"""When a stack of the lab is ready, in our own word.

That containers run, or that compose says so, is not enough. Ready means that the platform's
processes say so, that all workers run one image, that the queue has as many consumers as there are
workers, and that Prometheus reaches exactly these processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from task_lab.errors import InvalidRun
from task_lab.runtime import scraping
from task_lab.runtime.base import Endpoints
from task_lab.runtime.broker_probe import consumer_count
from task_lab.runtime.compose.containers import Container
from task_lab.runtime.compose.files import OPS_PORT
from task_lab.runtime.compose.project import ComposeProject
from task_lab.runtime.platform_process import says_ready
from task_lab.runtime.process import Boot, run_boots, until
from task_lab.runtime.scraping import Target

READY_WITHIN_S = 60.0
_QUEUE = "tasks"
_SCRAPED = {"api": 8000, "relay": OPS_PORT, "worker": OPS_PORT}
# They take the engine about three seconds, each pause being twice the one before.
_RESTARTS_AT_MOST = 5


class MixedReplicas(InvalidRun):
    """Workers of different images run side by side: figures of neither would be told apart."""

    def __init__(self, images: Mapping[str, str]) -> None:
        self.images = dict(images)
        super().__init__(f"the workers do not run the same image: {self.images}")


class Readiness:
    """Waits for the stack, and tells its Prometheus whom to scrape (in `targets_file`)."""

    def __init__(self, project: ComposeProject, endpoints: Endpoints, targets_file: Path) -> None:
        self._project = project
        self._endpoints = endpoints
        self._targets_file = targets_file

    def wait(self, workers: int) -> None:
        """Return when the stack is ready with so many workers.

        Raises MixedReplicas; ProgramFailed with the words of a process that ended, for good or over
        and over; NotReadyInTime.
        """
        run_boots(self._until_running(workers))
        images = {one.name: one.image for one in self._project.containers("worker")}
        if len(set(images.values())) > 1:
            raise MixedReplicas(images)
        self.announce_targets()
        run_boots(self._until_consuming(workers), self._until_scraped())

    def answers(self, container: Container) -> bool:
        """Whether it does its work now: a process of the platform by its own word."""
        if container.service in _SCRAPED:
            return says_ready(container.url(_SCRAPED[container.service]))
        return container.is_healthy

    def announce_targets(self) -> None:
        """Have Prometheus scrape the processes that run now, at the addresses they have now."""
        scraping.write_targets(self._targets_file, self._targets())

    def _until_running(self, workers: int) -> Boot:
        """Wait for the processes' own word, which their containers' checks repeat seconds later.

        A process that was started again and then works does not end the waiting.
        """
        restarts = {one.id: one.restarts for one in self._project.containers()}

        def is_so() -> bool:
            containers = [one for one in self._project.containers() if one.service in _SCRAPED]
            for one in containers:
                if one.has_ended or one.restarts - restarts.get(one.id, 0) > _RESTARTS_AT_MOST:
                    raise self._project.failure_of(one)
            running = [one for one in containers if one.service == "worker" and one.is_running]
            return len(running) == workers and all(map(self.answers, containers))

        return until(
            is_so, what=f"the API, the relay and {workers} workers", deadline_s=READY_WITHIN_S
        )

    def _until_consuming(self, workers: int) -> Boot:
        amqp_url = self._endpoints.amqp_url
        return until(
            lambda: consumer_count(amqp_url, _QUEUE) == workers,
            what=f"{workers} consumers on queue {_QUEUE}",
            deadline_s=READY_WITHIN_S,
        )

    def _until_scraped(self) -> Boot:
        wanted = {target.replica: True for target in self._targets()}
        url = self._endpoints.prometheus_url
        return until(
            lambda: scraping.reached(url) == wanted,
            what=f"Prometheus to scrape exactly {len(wanted)} processes of the platform",
            deadline_s=READY_WITHIN_S,
        )

    def _targets(self) -> list[Target]:
        return [
            Target(one.service, one.name, f"{one.address}:{_SCRAPED[one.service]}")
            for one in self._project.containers()
            if one.service in _SCRAPED and one.is_running and one.address
        ]
