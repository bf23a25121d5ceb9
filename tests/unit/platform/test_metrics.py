"""Metric names and labels are an interface: there from the start, and bounded."""

from __future__ import annotations

from importlib.metadata import version
from math import nan
from socket import gethostname

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from task_platform.metrics import (
    SECONDS,
    ApiMetrics,
    BatchHistogram,
    BrokerMetrics,
    LateGauge,
    RelayMetrics,
    WorkerMetrics,
    new_registry,
)
from task_platform.service import Service
from task_platform.settings import Settings

COUNTERS = (
    "worker_tasks_processed_total",
    "worker_tasks_failed_total",
    "worker_tasks_retried_total",
)
HISTOGRAMS = (
    "worker_queue_wait_seconds",
    "worker_service_time_seconds",
    "worker_end_to_end_seconds",
)
UNLABELLED = (
    "worker_claim_batch_size_count",
    "worker_finish_batch_size_count",
    "worker_commit_seconds_count",
    "worker_tasks_in_flight",
    "worker_tasks_running",
)


def test_every_label_set_of_a_worker_exists_at_zero() -> None:
    registry = new_registry()
    WorkerMetrics(registry, {"sum", "echo"})
    for task_type in ("sum", "echo", "unknown"):
        labels = {"task_type": task_type}
        for name in (*COUNTERS, *(f"{name}_count" for name in HISTOGRAMS)):
            assert registry.get_sample_value(name, labels) == 0, name
    for name in UNLABELLED:
        assert registry.get_sample_value(name) == 0, name


def test_the_api_and_the_relay_begin_at_zero() -> None:
    registry = new_registry()
    ApiMetrics(registry)
    RelayMetrics(registry)
    for outcome in ("created", "replayed"):
        assert registry.get_sample_value("api_tasks_accepted_total", {"outcome": outcome}) == 0
    for name in (
        "api_commit_batch_size_count",
        "api_commit_seconds_count",
        "relay_outbox_oldest_age_seconds",
        "relay_announced_total",
        "relay_reannounced_total",
        "relay_leases_expired_total",
    ):
        assert registry.get_sample_value(name) == 0, name


def test_a_type_that_clients_made_up_counts_as_unknown() -> None:
    registry = new_registry()
    metrics = WorkerMetrics(registry, {"sum"})
    before = len(generate_latest(registry).splitlines())
    for n in range(100):
        metrics.failed.labels(metrics.label(f"made-up-{n}")).inc()
    assert len(generate_latest(registry).splitlines()) == before
    labels = {"task_type": "unknown"}
    assert registry.get_sample_value("worker_tasks_failed_total", labels) == 100
    assert metrics.label("sum") == "sum"


def test_every_process_says_what_it_is_and_whether_it_can_work() -> None:
    service = Service("relay", Settings())
    labels = {"service": "relay", "version": version("task-platform"), "host": gethostname()}
    assert service.registry.get_sample_value("service_info", labels) == 1
    assert service.registry.get_sample_value("service_ready") == 0
    service.readiness.set("start", met=True)
    assert service.registry.get_sample_value("service_ready") == 1
    service.readiness.set("drain", met=False)
    assert service.registry.get_sample_value("service_ready") == 0
    assert service.registry.get_sample_value("database_pool_wait_seconds_count") == 0


def test_what_is_unknown_is_not_exported() -> None:
    registry = new_registry()
    gauge = LateGauge("age_seconds", "Age", registry=registry)
    gauge.set(nan)
    assert registry.get_sample_value("age_seconds") is None
    gauge.set(0)
    assert registry.get_sample_value("age_seconds") == 0


def test_the_relay_tells_no_backlog_and_no_ledger_before_it_has_counted() -> None:
    registry = new_registry()
    RelayMetrics(registry)
    BrokerMetrics(registry)
    samples = [sample.name for family in registry.collect() for sample in family.samples]
    assert not [name for name in samples if "backlog" in name or "ledger" in name]
    assert registry.get_sample_value("broker_publisher_blocked") == 0
    assert registry.get_sample_value("relay_loop_errors_total", {"loop": "census"}) == 0


@given(st.lists(st.floats(min_value=0, max_value=400) | st.sampled_from(SECONDS), max_size=50))
def test_a_batch_is_observed_as_its_values_would_be_one_by_one(values: list[float]) -> None:
    registries = new_registry(), new_registry()
    one_by_one, at_once = (
        BatchHistogram("x", "x", buckets=SECONDS, registry=registry) for registry in registries
    )
    for value in values:
        one_by_one.observe(value)
    at_once.observe_all(values)
    wanted, seen = (
        {
            (sample.name, *sample.labels.items()): sample.value
            for family in registry.collect()
            for sample in family.samples
            if family.name == "x"
        }
        for registry in registries
    )
    assert seen == pytest.approx(wanted)
