"""Range queries against a real Prometheus that scrapes itself and a target of the test's."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from threading import Thread
from wsgiref.simple_server import make_server

import httpx
import pytest
import task_lab
from prometheus_api_client import PrometheusConnect
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import ThreadingWSGIServer
from task_lab.collect.metrics import COUNTERS, CURVES, keep_metrics, wait_scraped
from task_lab.collect.preflight import (
    CounterFell,
    ScrapedTooRarely,
    SeveralProcesses,
    check_counters_only_rise,
    check_scraped_often_enough,
    read_counters,
)
from task_lab.collect.prometheus import (
    GroupingNotNamed,
    NoData,
    Prometheus,
    QueryFailed,
    TooFewScrapes,
    TooManyPoints,
    Window,
)
from task_lab.errors import MissingPrograms
from task_lab.runtime.servers import NativeServers
from task_lab.store import RunFolder
from task_platform.metrics import WorkerMetrics

from .scraped import Quiet, Scene, Worker

START = ("process_start_time_seconds", ())


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
    assert {"w0", "w1"} <= {one.labels["instance"] for one in series}
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


def last_value(scene: Scene, query: str) -> float:
    (series,) = scene.prometheus.at(query, datetime.now(UTC))
    return series.points[-1][1]


def kept(folder: RunFolder, name: str) -> dict[str, float]:
    series = folder.read_json(f"metrics/{name}.json")["series"]
    return {one["labels"]["instance"]: one["points"][-1][1] for one in series}


def keep(scene: Scene, folder: Path) -> RunFolder:
    """What a run over the scene's whole time keeps."""
    assert wait_scraped(scene.prometheus, time.time() + 0.1)
    run = RunFolder(folder)
    keep_metrics(scene.prometheus, run, Window.of(scene.started_at, time.time()))
    return run


def test_b2_counts_are_raw_differences_never_extrapolated(scene: Scene, tmp_path: Path) -> None:
    first, second = scene.workers[:2]
    first.processed.labels("sum").inc(5)
    second.processed.labels("sum").inc(7)
    first.failed.labels("sum").inc(1)
    second.retried.labels("sum").inc(5)
    folder = keep(scene, tmp_path)
    increase = 'increase(worker_tasks_retried_total{instance="w1"}[1100ms])'
    (extrapolated,) = scene.prometheus.range(increase, last_seconds(3), 0.25)
    assert {value for _, value in extrapolated.points} - {0, 5}
    assert kept(folder, "retried_last")["w1"] - kept(folder, "retried_first")["w1"] == 5
    for name, counts in {"first": (0, 0), "last": (5, 7), "resets": (0, 0)}.items():
        found = kept(folder, f"processed_{name}")
        assert (found["w0"], found["w1"]) == counts
    assert kept(folder, "failed_last")["w0"] == 1


def test_b3_ranges_are_held_against_how_often_is_scraped(scene: Scene) -> None:
    check_scraped_often_enough(scene.url, CURVES.values())
    with pytest.raises(ScrapedTooRarely) as raised:
        check_scraped_often_enough(scene.url, ['rate(worker_tasks_running{job="worker"}[999ms])'])
    assert (raised.value.job, raised.value.interval_s) == ("worker", 0.25)


def test_b2_nothing_that_is_kept_as_a_count_is_extrapolated() -> None:
    asked = [*CURVES.values(), *COUNTERS.values()]
    assert not [query for query in asked if "increase(" in query or "delta(" in query]
    assert not [query for query in COUNTERS.values() if "(" in query]


def test_b1_what_new_workers_did_before_their_first_scrape_is_kept_apart(
    scene: Scene, tmp_path: Path
) -> None:
    fresh = [Worker() for _ in range(3)]
    for worker in fresh:
        worker.processed.labels("sum").inc(40)
    names = scene.add(*fresh)
    folder = keep(scene, tmp_path)
    instances = f'worker_tasks_processed_total{{instance=~"{"|".join(names)}"}}'
    assert last_value(scene, f"sum(increase({instances}[1m]))") == 0
    assert sum(kept(folder, "processed_last")[name] for name in names) == 120
    assert sum(kept(folder, "processed_first")[name] for name in names) == 120


def test_b1_a_worker_s_series_are_there_at_zero_from_the_start() -> None:
    registry = CollectorRegistry()
    WorkerMetrics(registry, ["sum"])
    for counter in ("processed", "failed", "retried"):
        assert registry.get_sample_value(f"worker_tasks_{counter}_total", {"task_type": "sum"}) == 0


def test_b4_three_workers_behind_one_target_are_one_and_their_counter_zigzags(
    scene: Scene, tmp_path: Path
) -> None:
    others = [Worker(), Worker()]
    for number, worker in enumerate(others, start=1):
        worker.processed.labels("sum").inc(10 * number)
    (name,) = scene.add(Worker(*others))
    assert wait_scraped(scene.prometheus, time.time() + 1)
    # before a clock starts, a stack is waited for until as many are up as there are replicas
    assert last_value(scene, f'count(up{{instance="{name}"}} == 1)') == 1
    folder = keep(scene, tmp_path)
    assert kept(folder, "processed_resets")[name] > 0
    for worker in others:
        worker.stop()


def test_b16_workers_are_kept_apart_and_a_mean_of_all_is_refused(
    scene: Scene, tmp_path: Path
) -> None:
    slow, fast = scene.workers[:2]
    before = kept(keep(scene, tmp_path), "processed_last")
    for _ in range(10):
        slow.processed.labels("sum").inc(1)
        fast.processed.labels("sum").inc(9)
        time.sleep(0.1)
    folder = keep(scene, tmp_path)
    gained = {name: value - before[name] for name, value in kept(folder, "processed_last").items()}
    assert (gained["w0"], gained["w1"]) == (10, 90)
    curves = folder.read_json("metrics/throughput_by_instance.json")["series"]
    assert {"w0", "w1"} <= {one["labels"]["instance"] for one in curves}
    with pytest.raises(GroupingNotNamed, match="avg by"):
        scene.prometheus.range("avg(rate(worker_tasks_processed_total[1s]))", last_seconds(2), 0.25)


def test_b10_a_rate_is_asked_for_with_an_explicit_step(scene: Scene) -> None:
    window = last_seconds(3)
    query = 'rate(worker_tasks_processed_total{instance="w0"}[1s])'
    for step_s in (0.25, 1.0):
        (series,) = scene.prometheus.range(query, window, step_s)
        assert {b - a for (a, _), (b, _) in pairwise(series.points)} == {step_s}


def test_b10_no_other_call_of_the_client_is_used() -> None:
    sources = Path(task_lab.__file__).parent.rglob("*.py")
    calls = {
        node.attr
        for source in sources
        for node in ast.walk(ast.parse(source.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and hasattr(PrometheusConnect, node.attr)
        if "_client" in ast.unparse(node.value) and "prometheus" in str(source)
    }
    assert calls == {"custom_query_range", "close"}


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


def test_b6_processes_that_take_turns_behind_one_address_stop_the_run(unused_tcp_port: int) -> None:
    code = (
        "import sys; from prometheus_client import make_wsgi_app; import socket\n"
        "from wsgiref.simple_server import WSGIServer, make_server\n"
        "WSGIServer.allow_reuse_port = True\n"
        "make_server('127.0.0.1', int(sys.argv[1]), make_wsgi_app()).serve_forever()"
    )
    command = [sys.executable, "-c", code, str(unused_tcp_port)]
    processes = []
    url = f"http://127.0.0.1:{unused_tcp_port}/metrics"
    try:
        started: set[float] = set()
        for wanted in (1, 2):
            # One after the other: processes born in the same clock tick cannot be told apart.
            processes.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            deadline = time.monotonic() + 30
            while len(started) < wanted:
                assert time.monotonic() < deadline
                with suppress(httpx.HTTPError):
                    started.add(read_counters(httpx.get(url).text)[START])
        with pytest.raises((SeveralProcesses, CounterFell)) as raised:
            for _ in range(3):
                check_counters_only_rise(url)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert raised.value.exit_code == 4


def test_b6_a_worker_whose_counters_rise_is_left_in_peace(scene: Scene) -> None:
    check_counters_only_rise(f"http://{scene.workers[0].address}/metrics")
