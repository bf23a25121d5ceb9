"""How tasks come in, and how they get from the database to the broker and back."""

from __future__ import annotations

from observability.dashboards.model import (
    RATE,
    Dashboard,
    Panel,
    Query,
    Row,
    Unit,
    quantiles,
    sizes,
)

DASHBOARD = Dashboard(
    uid="task-platform-api-relay",
    title="API and relay",
    description="How tasks come in, and how they get from the database to the broker.",
    rows=(
        Row(
            "Submissions",
            (
                Panel(
                    "Accepted",
                    "Submissions that were answered with a task: a new one, or the one that an "
                    "idempotency key already had.",
                    Unit.PER_SECOND,
                    (
                        Query(
                            f"sum by (outcome) (rate(api_tasks_accepted_total[{RATE}]))",
                            "{{outcome}}",
                        ),
                    ),
                    stacked=True,
                ),
                Panel(
                    "Refused",
                    "Not accepted: because of what the client sent, or because the platform could "
                    "not take it. Only the second counts against the objective.",
                    Unit.PER_SECOND,
                    (
                        Query(
                            f"sum by (reason) (rate(api_tasks_refused_total[{RATE}]))",
                            "{{reason}}",
                        ),
                    ),
                ),
                Panel(
                    "Submit time",
                    "From a validated submission to its commit.",
                    Unit.SECONDS,
                    quantiles("api_submit_seconds"),
                ),
                Panel(
                    "Tasks in one group commit",
                    "Submissions that came at the same time share a commit.",
                    Unit.COUNT,
                    sizes("api_commit_batch_size"),
                ),
                Panel(
                    "Time of one group commit",
                    "Postgres' answer to a group of submissions.",
                    Unit.SECONDS,
                    quantiles("api_commit_seconds"),
                ),
                Panel(
                    "Submissions waiting",
                    "Submissions that wait for their commit to begin. At the limit "
                    "(`TASK_PLATFORM_COMMIT_BACKLOG`) more are refused.",
                    Unit.COUNT,
                    (Query("sum by (instance) (api_submissions_waiting)", "{{instance}}"),),
                ),
            ),
        ),
        Row(
            "To the broker",
            (
                Panel(
                    "Messages announced",
                    "Messages that the broker confirmed. The API sends what it has just committed; "
                    "the relay sends retries, dead letters and what the API did not get rid of.",
                    Unit.PER_SECOND,
                    (
                        Query(f"sum(rate(api_tasks_announced_total[{RATE}]))", "API"),
                        Query(f"sum(rate(relay_announced_total[{RATE}]))", "relay"),
                        Query(
                            f"sum(rate(relay_reannounced_total[{RATE}]))",
                            "again, as nobody remembered them",
                        ),
                    ),
                ),
                Panel(
                    "Age of the oldest unsent message",
                    "Of all due rows of the outbox. While the database does not answer it grows.",
                    Unit.SECONDS,
                    (Query("max(relay_outbox_oldest_age_seconds)", "oldest message"),),
                ),
                Panel(
                    "Publishers held up",
                    "1 while the broker, short of memory or disk, blocks what a process publishes.",
                    Unit.ON_OFF,
                    (Query("max by (job) (broker_publisher_blocked)", "{{job}}"),),
                ),
            ),
        ),
        Row(
            "Relay",
            (
                Panel(
                    "Failed passes",
                    "Passes of the relay's loops that failed. A loop that keeps failing no longer "
                    "does its work, and what it measures is old.",
                    Unit.PER_MINUTE,
                    (
                        Query(
                            f"60 * sum by (loop) (rate(relay_loop_errors_total[{RATE}]))",
                            "{{loop}}",
                        ),
                    ),
                ),
                Panel(
                    "Brought back from lost workers",
                    "Claims that ran out, and the tasks in them.",
                    Unit.PER_MINUTE,
                    (
                        Query(f"60 * sum(rate(relay_leases_expired_total[{RATE}]))", "claims"),
                        Query(f"60 * sum(rate(relay_tasks_recovered_total[{RATE}]))", "tasks"),
                    ),
                ),
                Panel(
                    "Rows deleted by retention",
                    "What was over for long enough.",
                    Unit.PER_SECOND,
                    (Query(f"sum by (kind) (rate(relay_deleted_rows_total[{RATE}]))", "{{kind}}"),),
                ),
                Panel(
                    "Dead letters: list and queue",
                    "Open dead letters by the database, and messages in `tasks.dlq`. The relay "
                    "makes them agree, usually within 10 s.",
                    Unit.COUNT,
                    (
                        Query("max(relay_dead_letters_open)", "listed in the database"),
                        Query("max(relay_dead_letter_queue_depth)", "in the queue"),
                    ),
                ),
                Panel(
                    "Repairs of the dead letter queue",
                    "Messages that were missing, or did not belong there.",
                    Unit.PER_MINUTE,
                    (
                        Query(
                            f"60 * sum by (action) (rate(relay_dead_letter_repairs_total[{RATE}]))",
                            "{{action}}",
                        ),
                    ),
                ),
                Panel(
                    "Ended, by the ledger and by the counters",
                    "Tasks that ended, as the relay counts them in the database and as the workers "
                    "counted them. The two curves lie on one another, but for a worker that was "
                    "killed before it was scraped.",
                    Unit.PER_SECOND,
                    (
                        Query(
                            "max(sum by (instance) (rate(relay_ledger_finished_tasks_total"
                            f'{{state=~"succeeded|failed"}}[{RATE}])))',
                            "database",
                        ),
                        Query(
                            f"sum(rate(worker_tasks_processed_total[{RATE}])) "
                            f"+ sum(rate(worker_tasks_failed_total[{RATE}]))",
                            "workers",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "Resources",
            (
                Panel(
                    "Waits for a database connection, p95",
                    "From asking the pool to having a connection.",
                    Unit.SECONDS,
                    (
                        Query(
                            "histogram_quantile(0.95, sum by (job, le) "
                            f"(rate(database_pool_wait_seconds_bucket[{RATE}])))",
                            "{{job}}",
                        ),
                    ),
                ),
                Panel(
                    "CPU",
                    "Cores used by each process; one process cannot use more than one.",
                    Unit.SHARE,
                    (
                        Query(
                            "sum by (job, instance) "
                            f'(rate(process_cpu_seconds_total{{job=~"api|relay"}}[{RATE}]))',
                            "{{job}} {{instance}}",
                        ),
                    ),
                ),
                Panel(
                    "Memory",
                    "Resident memory of each process.",
                    Unit.BYTES,
                    (
                        Query(
                            "sum by (job, instance) "
                            '(process_resident_memory_bytes{job=~"api|relay"})',
                            "{{job}} {{instance}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
