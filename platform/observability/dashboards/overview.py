"""Is it alive, is it keeping up, how long do tasks take."""

from __future__ import annotations

from observability.dashboards.model import (
    RATE,
    TASK_TYPE,
    TYPE,
    Dashboard,
    Kind,
    Panel,
    Query,
    Row,
    Unit,
    figure,
    quantiles,
)


def _per_minute(metric: str) -> str:
    return f"60 * sum(rate({metric}{{{TYPE}}}[{RATE}]))"


DASHBOARD = Dashboard(
    uid="task-platform-overview",
    title="Overview",
    description="Is it alive, is it keeping up, how long do tasks take.",
    variables=(TASK_TYPE,),
    rows=(
        Row(
            "Now",
            (
                figure(
                    "Tasks processed",
                    _per_minute("worker_tasks_processed_total"),
                    Unit.PER_MINUTE,
                    "Tasks that succeeded, per minute.",
                ),
                figure(
                    "Tasks failed",
                    _per_minute("worker_tasks_failed_total"),
                    Unit.PER_MINUTE,
                    "Tasks that became dead letters, per minute.",
                    warn_at=1,
                ),
                figure(
                    "Tasks retried",
                    _per_minute("worker_tasks_retried_total"),
                    Unit.PER_MINUTE,
                    "Attempts that failed and will be repeated, per minute.",
                ),
                figure(
                    "Queue tasks",
                    'sum(rabbitmq_queue_messages_ready{queue="tasks"})',
                    Unit.COUNT,
                    "Messages ready in the queue `tasks`.",
                ),
                figure(
                    "Queue tasks.dlq",
                    'sum(rabbitmq_queue_messages_ready{queue="tasks.dlq"})',
                    Unit.COUNT,
                    "Messages ready in the dead letter queue: one for each open dead letter.",
                    warn_at=1,
                ),
                figure(
                    "Alerts firing",
                    'count(ALERTS{alertstate="firing"}) or vector(0)',
                    Unit.COUNT,
                    "Alerts that fire now, pages and tickets.",
                    warn_at=1,
                ),
            ),
        ),
        Row(
            "Tasks",
            (
                Panel(
                    "Outcomes per minute",
                    "How attempts ended: tasks succeeded, tasks failed for good, attempts retried.",
                    Unit.PER_MINUTE,
                    (
                        Query(_per_minute("worker_tasks_processed_total"), "processed"),
                        Query(_per_minute("worker_tasks_failed_total"), "failed"),
                        Query(_per_minute("worker_tasks_retried_total"), "retried"),
                    ),
                ),
                Panel(
                    "Processed per minute by type",
                    "Tasks that succeeded. Types without a handler never do.",
                    Unit.PER_MINUTE,
                    (
                        Query(
                            "60 * sum by (task_type) "
                            f"(rate(worker_tasks_processed_total{{{TYPE}}}[{RATE}]))",
                            "{{task_type}}",
                        ),
                    ),
                    stacked=True,
                ),
                Panel(
                    "Accepted and processed per minute",
                    "What comes in against what is done. The gap is what the backlog grows by, but "
                    "for tasks that are cancelled or replayed, which neither curve counts.",
                    Unit.PER_MINUTE,
                    (
                        Query(
                            "60 * sum(rate(api_tasks_accepted_total"
                            f'{{outcome="created"}}[{RATE}]))',
                            "accepted",
                        ),
                        Query(
                            f"60 * (sum(rate(worker_tasks_processed_total[{RATE}])) "
                            f"+ sum(rate(worker_tasks_failed_total[{RATE}])))",
                            "ended",
                        ),
                    ),
                ),
                Panel(
                    "Queue wait",
                    "From commit, or the due time of a retry, to the start of the handler.",
                    Unit.SECONDS,
                    quantiles("worker_queue_wait_seconds", TYPE),
                ),
                Panel(
                    "Service time",
                    "From the start of the handler to its end.",
                    Unit.SECONDS,
                    quantiles("worker_service_time_seconds", TYPE),
                ),
                Panel(
                    "End to end",
                    "From commit to the terminal state, retries and their delays included.",
                    Unit.SECONDS,
                    quantiles("worker_end_to_end_seconds", TYPE),
                ),
            ),
        ),
        Row(
            "Backlog",
            (
                Panel(
                    "Open tasks",
                    "Accepted and not terminal. The database is the truth, and also holds what is "
                    "due later; the broker holds a message for each that may start now.",
                    Unit.COUNT,
                    (
                        Query("max by (state) (relay_backlog_tasks)", "database: {{state}}"),
                        Query('sum(rabbitmq_queue_messages_ready{queue="tasks"})', "broker: ready"),
                        Query(
                            'sum(rabbitmq_queue_messages_unacked{queue="tasks"})',
                            "broker: with workers",
                        ),
                    ),
                ),
                Panel(
                    "Age of the oldest open task",
                    "Since its submission; one that was submitted for later is no exception.",
                    Unit.SECONDS,
                    (Query("max(relay_backlog_oldest_age_seconds)", "oldest task"),),
                ),
                Panel(
                    "Age of the oldest unsent message",
                    "How long the oldest due row of the outbox has been waiting for the broker. "
                    "Above a few seconds the broker is away or the relay is behind.",
                    Unit.SECONDS,
                    (Query("max(relay_outbox_oldest_age_seconds)", "oldest message"),),
                ),
            ),
        ),
        Row(
            "Processes and servers",
            (
                Panel(
                    "Targets up",
                    "Addresses that answered their latest scrape, by job. RabbitMQ has two.",
                    Unit.COUNT,
                    (Query("sum by (job) (up)", "{{job}}"),),
                ),
                Panel(
                    "Ready processes",
                    "Processes that say they can do their work.",
                    Unit.COUNT,
                    (Query("sum by (job) (service_ready)", "{{job}}"),),
                ),
                Panel(
                    "Alerts",
                    "Alerts that fire or are about to; docs/how-to/alerts.md tells what to do.",
                    Unit.COUNT,
                    (Query("ALERTS", "alerts", empty_when="nothing is wrong"),),
                    kind=Kind.TABLE,
                ),
                Panel(
                    "Versions",
                    "Processes by what they are and which version they run. Two versions of one "
                    "service for long are a deploy that got stuck.",
                    Unit.COUNT,
                    (
                        Query(
                            "count by (service, version) (service_info)", "{{service}} {{version}}"
                        ),
                    ),
                ),
                Panel(
                    "Age of processes",
                    "Since their start, the youngest and the oldest of each job. A youngest that "
                    "keeps falling to 0 restarts again and again.",
                    Unit.SECONDS,
                    (
                        Query(
                            "time() - max by (job) "
                            '(process_start_time_seconds{job=~"api|worker|relay"})',
                            "{{job}}: youngest",
                        ),
                        Query(
                            "time() - min by (job) "
                            '(process_start_time_seconds{job=~"api|worker|relay"})',
                            "{{job}}: oldest",
                        ),
                    ),
                ),
                Panel(
                    "Series scraped",
                    "What is kept of each scrape. It grows with replicas, and with nothing else.",
                    Unit.COUNT,
                    (
                        Query(
                            "sum by (job) (scrape_samples_post_metric_relabeling)",
                            "{{job}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
