"""Range queries against a real Prometheus that scrapes itself and a target of the test's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from threading import Thread
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import ThreadingWSGIServer
from task_lab.collect.metrics import COUNTERS, CURVES, keep_metrics, wait_scraped
from task_lab.collect.preflight import CounterFell, check_counters_only_rise
from task_lab.collect.prometheus import (
    NoData,
    Prometheus,
    QueryFailed,
    TooFewScrapes,
    TooManyPoints,
    Window,
)
from task_lab.errors import MissingPrograms
from task_lab.runtime.scraping import Target
from task_lab.runtime.servers import NativeServers
from task_lab.store import RunFolder


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Worker:
    """A process as Prometheus sees it: an address with the platform's metrics."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        labels = ["task_type"]
        name = "worker_tasks_{}_total".format
        self.processed = Counter(name("processed"), "x", labels, registry=registry)
        self.failed = Counter(name("failed"), "x", labels, registry=registry)
        self.retried = Counter(name("retried"), "x", labels, registry=registry)
        for counter in (self.processed, self.failed, self.retried):
            counter.labels("sum")
        self.running = Gauge("worker_tasks_running", "x", registry=registry)
        self._server = make_server(
            "127.0.0.1", 0, make_wsgi_app(registry), ThreadingWSGIServer, handler_class=Quiet
        )
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Scene:
    """A Prometheus and the workers it scrapes."""

    def __init__(self, servers: NativeServers) -> None:
        assert servers.prometheus is not None
        self._server = servers.prometheus
        self.prometheus = Prometheus(servers.endpoints().prometheus_url)
        self.workers = [Worker(), Worker()]
        targets = [Target("worker", f"w{n}", one.address) for n, one in enumerate(self.workers)]
        # the window's scrapes are counted on the API's target; any address will do for one
        self._server.set_targets([*targets, Target("api", "api", self.workers[0].address)])
        self.started_at = time.time()
        assert wait_scraped(self.prometheus, self.started_at, timeout_s=30)
        # the longest window that a test looks back into
        assert wait_scraped(self.prometheus, time.time() + 4, timeout_s=30)

    def stop(self) -> None:
        self.prometheus.close()
        for worker in self.workers:
            worker.stop()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    try:
        servers = NativeServers(tmp_path_factory.mktemp("prometheus"), programs={"prometheus"})
        servers.start()
    except MissingPrograms as error:
        pytest.skip(str(error))
    with_workers = None
    try:
        with_workers = Scene(servers)
        yield with_workers
    finally:
        if with_workers:
            with_workers.stop()
        servers.stop()


def last_seconds(count: float) -> Window:
    now = time.time()
    return Window.of(now - count, now)


def test_a_range_has_a_point_for_every_step_and_the_series_labels(scene: Scene) -> None:
    now = time.time()
    series = scene.prometheus.range('up{job="worker"}', Window.of(now - 1, now), 0.25)
    assert {one.labels["instance"] for one in series} == {"w0", "w1"}
    for one in series:
        assert {value for _, value in one.points} == {1.0}
        steps = [later[0] - earlier[0] for earlier, later in pairwise(one.points)]
        assert steps == pytest.approx([0.25] * len(steps))


def test_b13_a_range_is_the_same_in_two_zones(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    window = Window(now - timedelta(seconds=2), now - timedelta(seconds=1))
    answers = []
    for zone in ("UTC", "Asia/Kolkata"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        answers.append(scene.prometheus.range('up{job="worker"}', window, 0.5))
    monkeypatch.undo()
    time.tzset()
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("query", "near"),
    [
        ('up{job="wroker"}', 'job="worker"'),
        ('sum(rate(worker_tasks_processed_total{task_type="som"}[1s]))', 'task_type="sum"'),
        ('worker_task_processed_total{job="worker"}', "worker_tasks_processed_total"),
        ("worker_tasks_runing", "worker_tasks_running"),
    ],
)
def test_b11_an_empty_answer_is_an_error_that_names_what_is_near(
    scene: Scene, query: str, near: str
) -> None:
    window = last_seconds(2)
    with pytest.raises(NoData) as raised:
        scene.prometheus.range(query, window, 0.5)
    assert near in raised.value.near
    assert query in str(raised.value)
    assert str(window) in str(raised.value)
    assert raised.value.exit_code == 2


def test_b17_an_answer_without_a_number_is_no_data(scene: Scene) -> None:
    with pytest.raises(NoData):
        scene.prometheus.range('0 * worker_tasks_running{job="worker"} / 0', last_seconds(1), 0.5)


def test_b9_a_query_beyond_the_budget_is_refused_before_it_is_sent(scene: Scene) -> None:
    with pytest.raises(TooManyPoints):
        scene.prometheus.range("rate(up[5m])[60m:10ms]", last_seconds(60), 1)


def test_a_query_that_is_no_promql_says_so(scene: Scene) -> None:
    with pytest.raises(QueryFailed, match="parse error"):
        scene.prometheus.range("sum(", last_seconds(1), 1)


def test_a_prometheus_that_is_away_is_a_typed_error(unused_tcp_port: int) -> None:
    away = Prometheus(f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(QueryFailed):
        away.range("up", last_seconds(1), 1)
    away.close()


def test_b3_a_window_with_too_few_scrapes_is_refused(scene: Scene) -> None:
    with pytest.raises(TooFewScrapes):
        scene.prometheus.scrapes('up{job="nobody"}', last_seconds(10))
    assert scene.prometheus.scrapes('up{job="worker"}', last_seconds(3)) >= 4


def test_b2_counts_are_raw_differences_never_extrapolated(scene: Scene, tmp_path: Path) -> None:
    first, second = scene.workers
    first.processed.labels("sum").inc(5)
    second.processed.labels("sum").inc(7)
    first.failed.labels("sum").inc(1)
    assert wait_scraped(scene.prometheus, time.time() + 0.1)
    folder = RunFolder(tmp_path)
    keep_metrics(scene.prometheus, folder, Window.of(scene.started_at, time.time()))

    def kept(name: str) -> dict[str, float]:
        series = folder.read_json(f"metrics/{name}.json")["series"]
        return {one["labels"]["instance"]: one["points"][-1][1] for one in series}

    assert kept("processed_first") == {"w0": 0, "w1": 0}
    assert kept("processed_last") == {"w0": 5, "w1": 7}
    assert kept("failed_last") == {"w0": 1, "w1": 0}
    assert kept("processed_resets") == {"w0": 0, "w1": 0}


def test_every_query_is_kept_with_its_text_also_when_nothing_answers(
    scene: Scene, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path)
    keep_metrics(scene.prometheus, folder, last_seconds(2))
    kept = {
        path.stem: folder.read_json(f"metrics/{path.name}")
        for path in (folder / "metrics").iterdir()
    }
    ends = {f"{counter}_{end}" for counter in COUNTERS for end in ("first", "last", "resets")}
    assert set(kept) == set(CURVES) | ends
    assert kept["running"]["query"] == CURVES["running"]
    assert kept["running"]["scrapes"] >= 4
    assert kept["running"]["series"]
    assert "rabbitmq" in kept["queue_ready"]["problem"]
    assert kept["queue_ready"]["series"] == []


def test_b6_counters_that_fall_without_a_restart_stop_the_run() -> None:
    counts = iter([5, 7, 6, 8, 9])
    registry = CollectorRegistry()

    class Contradicting:
        def collect(self) -> Iterator[Metric]:
            family = CounterMetricFamily("requests", "x")
            family.add_metric([], next(counts))
            yield family

        def describe(self) -> list[Metric]:
            return []

    registry.register(Contradicting())
    server = make_server(
        "127.0.0.1", 0, make_wsgi_app(registry), ThreadingWSGIServer, handler_class=Quiet
    )
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        with pytest.raises(CounterFell) as raised:
            check_counters_only_rise(f"http://127.0.0.1:{server.server_port}/metrics")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert (raised.value.counter, raised.value.before, raised.value.after) == (
        "requests_total",
        7,
        6,
    )
    assert raised.value.exit_code == 4


def test_b6_a_worker_whose_counters_rise_is_left_in_peace(scene: Scene) -> None:
    check_counters_only_rise(f"http://{scene.workers[0].address}/metrics")
