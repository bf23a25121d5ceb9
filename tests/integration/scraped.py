"""Processes as Prometheus sees them, and a real Prometheus that scrapes them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from threading import Thread
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer
from task_lab.collect.metrics import wait_scraped
from task_lab.collect.prometheus import Prometheus
from task_lab.runtime.scraping import Target
from task_lab.runtime.servers import NativeServers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Worker:
    """An address with the platform's metrics. behind: others whose turn it is in between."""

    def __init__(self, *behind: Worker) -> None:
        registry = CollectorRegistry()
        labels = ["task_type"]
        name = "worker_tasks_{}_total".format
        self.processed = Counter(name("processed"), "x", labels, registry=registry)
        self.failed = Counter(name("failed"), "x", labels, registry=registry)
        self.retried = Counter(name("retried"), "x", labels, registry=registry)
        for counter in (self.processed, self.failed, self.retried):
            counter.labels("sum")
        self.running = Gauge("worker_tasks_running", "x", registry=registry)
        self.app = make_wsgi_app(registry)
        self._turns = [self, *behind]
        self._server = make_server(
            "127.0.0.1", 0, self._answer, ThreadingWSGIServer, handler_class=Quiet
        )
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _answer(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        self._turns = [*self._turns[1:], self._turns[0]]
        answer: Iterable[bytes] = self._turns[0].app(environ, start)
        return answer

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Scene:
    """A Prometheus and the workers it scrapes."""

    def __init__(self, servers: NativeServers) -> None:
        assert servers.prometheus is not None
        self._server = servers.prometheus
        self.url = servers.endpoints().prometheus_url
        self.prometheus = Prometheus(self.url)
        self.workers: list[Worker] = []
        self.started_at = time.time()
        self.add(Worker(), Worker())
        # the longest window that a test looks back into
        assert wait_scraped(self.prometheus, time.time() + 4, timeout_s=30)

    def add(self, *workers: Worker) -> list[str]:
        """Have these scraped as well; returns the names by which Prometheus knows them."""
        first = len(self.workers)
        self.workers += workers
        targets = [Target("worker", f"w{n}", one.address) for n, one in enumerate(self.workers)]
        # the window's scrapes are counted on the API's target; any address will do for one
        self._server.set_targets([*targets, Target("api", "api", self.workers[0].address)])
        names = [f"w{number}" for number in range(first, len(self.workers))]
        self.wait_for(names)
        return names

    def wait_for(self, names: Sequence[str]) -> None:
        deadline = time.monotonic() + 30
        while not all(self._server.reached().get(name) for name in names):
            assert time.monotonic() < deadline, names
            time.sleep(0.1)

    def reached(self) -> dict[str, bool]:
        return self._server.reached()

    def stop(self) -> None:
        self.prometheus.close()
        for worker in self.workers:
            worker.stop()
