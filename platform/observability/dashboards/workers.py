"""How the work is shared, what it costs, and what gets lost on the way."""

from __future__ import annotations

from observability.dashboards.model import (
    RATE,
    TASK_TYPE,
    TYPE,
    Dashboard,
    Panel,
    Query,
    Row,
    Unit,
    quantiles,
    sizes,
)


def _total(metric: str, legend: str) -> Query:
    return Query(f"sum(rate({metric}[{RATE}]))", legend)


DASHBOARD = Dashboard(
    uid="task-platform-workers",
    title="Workers",
    description="How the work is shared, what it costs, and what gets lost on the way.",
    variables=(TASK_TYPE,),
    rows=(
        Row(
            "Share and saturation",
            (
                Panel(
                    "Tasks ended, by worker",
                    "Succeeded and failed, per second. Workers that have the same to do end about "
                    "as many.",
                    Unit.PER_SECOND,
                    (
                        Query(
                            "sum by (instance) "
                            f"(rate(worker_tasks_processed_total{{{TYPE}}}[{RATE}])) "
                            "+ sum by (instance) "
                            f"(rate(worker_tasks_failed_total{{{TYPE}}}[{RATE}]))",
                            "{{instance}}",
                        ),
                    ),
                    stacked=True,
                ),
                Panel(
                    "Handlers running, and slots",
                    "Handlers that run now, against how many may. Handlers that end in less than "
                    "the 5 s between two scrapes are rarely seen running.",
                    Unit.COUNT,
                    (
                        Query("sum by (instance) (worker_tasks_running)", "{{instance}}"),
                        Query("sum(worker_slots)", "slots of all"),
                    ),
                ),
                Panel(
                    "Saturation",
                    "The share of slots that is taken. At 100 % whatever else comes has to wait.",
                    Unit.SHARE,
                    (
                        Query(
                            "sum by (instance) (worker_tasks_running) "
                            "/ sum by (instance) (worker_slots)",
                            "{{instance}}",
                        ),
                    ),
                    most=1,
                ),
                Panel(
                    "Attempts, by outcome",
                    "How attempts end, per second.",
                    Unit.PER_SECOND,
                    (
                        Query(
                            f"sum(rate(worker_tasks_processed_total{{{TYPE}}}[{RATE}]))",
                            "succeeded",
                        ),
                        Query(
                            f"sum(rate(worker_tasks_retried_total{{{TYPE}}}[{RATE}]))",
                            "to be retried",
                        ),
                        Query(
                            f"sum(rate(worker_tasks_failed_total{{{TYPE}}}[{RATE}]))",
                            "failed for good",
                        ),
                    ),
                    stacked=True,
                ),
                Panel(
                    "Service time by type, p95",
                    "How long handlers run.",
                    Unit.SECONDS,
                    (
                        Query(
                            "histogram_quantile(0.95, sum by (le, task_type) "
                            f"(rate(worker_service_time_seconds_bucket{{{TYPE}}}[{RATE}])))",
                            "{{task_type}}",
                        ),
                    ),
                ),
                Panel(
                    "Stuck threads",
                    "Threads that ran past their task's time limit. They cannot be ended, and keep "
                    "their slots until the worker is restarted.",
                    Unit.COUNT,
                    (Query("sum by (instance) (worker_threads_stuck)", "{{instance}}"),),
                ),
            ),
        ),
        Row(
            "Batches",
            (
                Panel(
                    "Tasks in one claim",
                    "One statement claims so many. Larger batches make each task cheaper.",
                    Unit.COUNT,
                    sizes("worker_claim_batch_size"),
                ),
                Panel(
                    "Outcomes in one commit",
                    "One statement ends so many.",
                    Unit.COUNT,
                    sizes("worker_finish_batch_size"),
                ),
                Panel(
                    "Prefetch and deliveries",
                    "Deliveries asked for, and those that are not acknowledged yet.",
                    Unit.COUNT,
                    (
                        Query("sum by (instance) (worker_prefetch)", "{{instance}}: prefetch"),
                        Query(
                            "sum by (instance) (worker_tasks_in_flight)", "{{instance}}: in flight"
                        ),
                    ),
                ),
                Panel(
                    "Time of one claim",
                    "Postgres' answer to a claim.",
                    Unit.SECONDS,
                    quantiles("worker_claim_seconds"),
                ),
                Panel(
                    "Time of one commit of outcomes",
                    "Postgres' answer to a batch of outcomes.",
                    Unit.SECONDS,
                    quantiles("worker_commit_seconds"),
                ),
                Panel(
                    "Oldest delivery",
                    "How long the oldest unacknowledged delivery has been with a worker. RabbitMQ "
                    "closes the channel at its acknowledgement timeout, 30 minutes unless set.",
                    Unit.SECONDS,
                    (
                        Query(
                            "max by (instance) (worker_oldest_delivery_age_seconds)", "{{instance}}"
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Losses and detours",
            (
                Panel(
                    "Leases and late outcomes",
                    "Claims that ran out while their worker lived, and outcomes that came when the "
                    "task had another owner. Both mean work done twice.",
                    Unit.PER_SECOND,
                    (
                        _total("worker_leases_lost_total", "leases lost"),
                        _total("worker_lost_updates_total", "outcomes too late"),
                        _total("relay_leases_expired_total", "claims of lost workers"),
                    ),
                ),
                Panel(
                    "Deliveries without work",
                    "Acknowledged at once because the task was done or somebody else's, naming no "
                    "task, passed on to idle workers, or given back unrun.",
                    Unit.PER_SECOND,
                    (
                        _total("worker_deliveries_unclaimable_total", "unclaimable"),
                        _total("worker_deliveries_rowless_total", "without a task"),
                        _total("worker_deliveries_handed_on_total", "handed on"),
                        _total("worker_tasks_given_back_total", "given back"),
                    ),
                ),
                Panel(
                    "Consumers, started and lost",
                    "Times that workers began consuming, and stopped without being told to.",
                    Unit.PER_MINUTE,
                    (
                        Query(f"60 * sum(rate(worker_consumer_starts_total[{RATE}]))", "started"),
                        Query(
                            f"60 * sum by (reason) (rate(worker_consumer_lost_total[{RATE}]))",
                            "lost: {{reason}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Resources",
            (
                Panel(
                    "CPU",
                    "Cores used by each worker. A handler that computes in the loop holds all "
                    "others up at 100 %.",
                    Unit.SHARE,
                    (
                        Query(
                            "sum by (instance) "
                            f'(rate(process_cpu_seconds_total{{job="worker"}}[{RATE}]))',
                            "{{instance}}",
                        ),
                    ),
                ),
                Panel(
                    "Memory",
                    "Resident memory of each worker, without its handlers' own processes.",
                    Unit.BYTES,
                    (
                        Query(
                            'sum by (instance) (process_resident_memory_bytes{job="worker"})',
                            "{{instance}}",
                        ),
                    ),
                ),
                Panel(
                    "Waits for a database connection, p95",
                    "Of the worker itself, and of handlers that asked for one.",
                    Unit.SECONDS,
                    (
                        Query(
                            "histogram_quantile(0.95, sum by (le) (rate("
                            f'database_pool_wait_seconds_bucket{{job="worker"}}[{RATE}])))',
                            "worker",
                        ),
                        Query(
                            "histogram_quantile(0.95, sum by (le) (rate("
                            f"worker_handler_connection_wait_seconds_bucket[{RATE}])))",
                            "handlers",
                            empty_when="no handler asks for one",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
