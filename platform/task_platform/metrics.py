"""Metric names are an interface. Every label set exists at zero from the start.

Labels never hold what a client chose: a task type counts under its name only when this process has
a handler for it, and as `unknown` otherwise.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from math import isnan, nan
from socket import gethostname

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector

UNKNOWN = "unknown"

SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip
# Why a worker stopped consuming although nobody told it to.
CONSUMER_LOSSES = ("cancelled", "closed", "ack_timeout", "forgotten", "silent")
BACKLOG = ("queued", "processing")
LEDGER = ("succeeded", "failed", "cancelled")
BATCH_SIZES = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000)


def new_registry() -> CollectorRegistry:
    """A registry of this process alone, with its CPU, memory and garbage collections."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class LateGauge(Gauge):
    """A gauge whose value may be unknown (NaN, as at the start): it is then not exported.

    A false zero would be believed, and one NaN makes every sum over processes NaN.
    """

    def collect(self) -> Iterable[Metric]:
        for family in super().collect():
            family.samples = [sample for sample in family.samples if not isnan(sample.value)]
            yield family


class BatchHistogram(Histogram):
    """A histogram that takes a batch at a time: 0.2 µs a value, where `observe` takes 1.2."""

    def observe_all(self, values: Sequence[float]) -> None:
        """Observe each of the values."""
        counts = [0] * len(self._buckets)
        for value in values:
            # A bucket holds what is at most its bound.
            counts[bisect_left(self._upper_bounds, value)] += 1
        self._sum.inc(sum(values))
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


class ServiceMetrics:
    """What every process says of itself."""

    def __init__(self, registry: CollectorRegistry, *, service: str) -> None:
        self.ready = Gauge(
            "service_ready",
            "1 while this process can do its work, as /readyz says; else 0",
            registry=registry,
        )
        self.info = Gauge(
            "service_info",
            "Always 1: what this process is, and where",
            ["service", "version", "host"],
            registry=registry,
        )
        self.info.labels(service, version("task-platform"), gethostname()).set(1)
        self.pool_wait = Histogram(
            "database_pool_wait_seconds",
            "From asking the pool for a connection to having it, or to giving up",
            buckets=SECONDS,
            registry=registry,
        )


class BrokerMetrics:
    """What a process that publishes says of the broker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.blocked = Gauge(
            "broker_publisher_blocked",
            "1 while the broker holds up what this process publishes; else 0",
            registry=registry,
        )


class ApiMetrics:
    """What the API counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.accepted = Counter(
            "api_tasks_accepted_total",
            "Submissions answered with a task",
            ["outcome"],
            registry=registry,
        )
        self.refused = Counter(
            "api_tasks_refused_total", "Submissions not accepted", ["reason"], registry=registry
        )
        for outcome in ("created", "replayed"):
            self.accepted.labels(outcome)
        for reason in ("client", "unavailable"):
            self.refused.labels(reason)
        self.commit_batch_size = Histogram(
            "api_commit_batch_size",
            "Tasks in one group commit",
            buckets=BATCH_SIZES,
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "api_commit_seconds", "Time of one group commit", buckets=SECONDS, registry=registry
        )
        self.submit_seconds = Histogram(
            "api_submit_seconds",
            "Time from a validated submission to its commit",
            buckets=SECONDS,
            registry=registry,
        )
        self.announced = Counter(
            "api_tasks_announced_total", "Messages confirmed by the broker", registry=registry
        )
        self.waiting = Gauge(
            "api_submissions_waiting",
            "Submissions that wait for their commit to begin",
            registry=registry,
        )


class WorkerMetrics:
    """What a worker counts. `task_types` are those it has handlers for."""

    def __init__(self, registry: CollectorRegistry, task_types: Iterable[str]) -> None:
        labels = ["task_type"]
        self._types = frozenset(task_types)
        self.processed = Counter(
            "worker_tasks_processed_total", "Tasks succeeded", labels, registry=registry
        )
        self.failed = Counter(
            "worker_tasks_failed_total", "Tasks dead-lettered", labels, registry=registry
        )
        self.retried = Counter(
            "worker_tasks_retried_total", "Attempts to be retried", labels, registry=registry
        )
        self.queue_wait = BatchHistogram(
            "worker_queue_wait_seconds",
            "From commit (or due time) to handler start",
            labels,
            buckets=SECONDS,
            registry=registry,
        )
        self.service_time = BatchHistogram(
            "worker_service_time_seconds",
            "From handler start to its end",
            labels,
            buckets=SECONDS,
            registry=registry,
        )
        self.end_to_end = BatchHistogram(
            "worker_end_to_end_seconds",
            "From commit to terminal state",
            labels,
            buckets=SECONDS,
            registry=registry,
        )
        for task_type in (*sorted(self._types), UNKNOWN):
            for family in (
                self.processed,
                self.failed,
                self.retried,
                self.queue_wait,
                self.service_time,
                self.end_to_end,
            ):
                family.labels(task_type)
        self.lost_updates = Counter(
            "worker_lost_updates_total",
            "Outcomes that came too late: the task had another owner",
            registry=registry,
        )
        self.unclaimable = Counter(
            "worker_deliveries_unclaimable_total",
            "Deliveries acknowledged without work: done, not due, or owned elsewhere",
            registry=registry,
        )
        self.rowless = Counter(
            "worker_deliveries_rowless_total",
            "Deliveries that name no task this database knows",
            registry=registry,
        )
        self.given_back = Counter(
            "worker_tasks_given_back_total", "Claimed tasks returned unrun", registry=registry
        )
        self.handed_on = Counter(
            "worker_deliveries_handed_on_total",
            "Unclaimed deliveries announced again for other workers, which were idle",
            registry=registry,
        )
        self.leases_lost = Counter(
            "worker_leases_lost_total", "Claims that ran out before their end", registry=registry
        )
        self.reconnects = Counter(
            "worker_consumer_starts_total", "Times this worker began consuming", registry=registry
        )
        self.consumer_lost = Counter(
            "worker_consumer_lost_total",
            "Times this worker stopped consuming without being told to",
            ["reason"],
            registry=registry,
        )
        for reason in CONSUMER_LOSSES:
            self.consumer_lost.labels(reason)
        self.handler_connection_wait = Histogram(
            "worker_handler_connection_wait_seconds",
            "From a handler's wish for a database connection to having it",
            buckets=SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "worker_tasks_in_flight", "Deliveries not yet acknowledged", registry=registry
        )
        self.oldest_delivery = Gauge(
            "worker_oldest_delivery_age_seconds",
            "How long the oldest unacknowledged delivery has been here",
            registry=registry,
        )
        self.slots = Gauge(
            "worker_slots",
            "Handlers that may run at once, slots of stuck threads included",
            registry=registry,
        )
        self.running = Gauge("worker_tasks_running", "Handlers running now", registry=registry)
        self.stuck_threads = Gauge(
            "worker_threads_stuck",
            "Threads that ran past their task's time limit and still hold a slot",
            registry=registry,
        )
        self.prefetch = Gauge("worker_prefetch", "Deliveries asked for", registry=registry)
        self.claim_batch_size = Histogram(
            "worker_claim_batch_size", "Tasks in one claim", buckets=BATCH_SIZES, registry=registry
        )
        self.finish_batch_size = Histogram(
            "worker_finish_batch_size",
            "Outcomes in one commit",
            buckets=BATCH_SIZES,
            registry=registry,
        )
        self.claim_seconds = Histogram(
            "worker_claim_seconds", "Time of one claim", buckets=SECONDS, registry=registry
        )
        self.commit_seconds = Histogram(
            "worker_commit_seconds",
            "Time of one commit of outcomes",
            buckets=SECONDS,
            registry=registry,
        )

    def label(self, task_type: str) -> str:
        """The label value for a task type: bounded, whatever clients submit."""
        return task_type if task_type in self._types else UNKNOWN


class RelayMetrics:
    """What the relay counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.announced = Counter(
            "relay_announced_total", "Messages confirmed by the broker", registry=registry
        )
        self.reannounced = Counter(
            "relay_reannounced_total", "Forgotten tasks announced again", registry=registry
        )
        self.leases_expired = Counter(
            "relay_leases_expired_total", "Claims taken from lost workers", registry=registry
        )
        self.tasks_recovered = Counter(
            "relay_tasks_recovered_total", "Tasks brought back from lost claims", registry=registry
        )
        self.oldest_age = Gauge(
            "relay_outbox_oldest_age_seconds",
            "Waiting time of the oldest due message",
            registry=registry,
        )
        self.loop_errors = Counter(
            "relay_loop_errors_total", "Passes that failed", ["loop"], registry=registry
        )
        for loop in (
            *("outbox", "dead_letters", "leases", "reannounce", "age", "broker"),
            *("dlq", "retention", "census"),
        ):
            self.loop_errors.labels(loop)
        self.dead_letters_open = Gauge(
            "relay_dead_letters_open",
            "Dead letters neither replayed nor purged, by the database",
            registry=registry,
        )
        self.dlq_depth = Gauge(
            "relay_dead_letter_queue_depth",
            "Messages ready in the dead letter queue at the last comparison",
            registry=registry,
        )
        self.repairs = Counter(
            "relay_dead_letter_repairs_total",
            "Messages of the dead letter queue that were missing, or did not belong there",
            ["action"],
            registry=registry,
        )
        for action in ("published", "removed", "unreadable"):
            self.repairs.labels(action)
        self.deleted = Counter(
            "relay_deleted_rows_total", "Rows that retention deleted", ["kind"], registry=registry
        )
        for kind in ("tasks", "dead_letters", "idempotency_keys"):
            self.deleted.labels(kind)
        self.backlog = LateGauge(
            "relay_backlog_tasks",
            "Open tasks, as counted in the database",
            ["state"],
            registry=registry,
        )
        for state in BACKLOG:
            self.backlog.labels(state).set(nan)
        self.backlog_age = LateGauge(
            "relay_backlog_oldest_age_seconds",
            "Time since the submission of the oldest open task; 0 when none is open",
            registry=registry,
        )
        self.backlog_age.set(nan)
        # Its labels come with the first whole count. Were it to climb from zero at every start of
        # a relay, `increase()` would take all the history for news.
        self.ledger = Counter(
            "relay_ledger_finished_tasks_total",
            "Terminal tasks, as counted in the database",
            ["state"],
            registry=registry,
        )
