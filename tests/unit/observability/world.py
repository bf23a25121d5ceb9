"""What Prometheus would have scraped: healthy by default, for rules to be tried on.

Values are in promtool's notation, one for each scrape, `SCRAPE_S` apart.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from tests.unit.observability.files import RULE_FILES, promtool

SCRAPE_S = 15
_A_MINUTE = 60 // SCRAPE_S
FIRING = 'count by (alertname) (ALERTS{alertstate="firing"})'

Series = dict[str, str]


def steady(value: float, minutes: float) -> str:
    """The same value all the time."""
    return f"{value}+0x{round(minutes * _A_MINUTE) - 1}"


def climbing(per_scrape: float, minutes: float, start: float = 0) -> str:
    """A counter, or a gauge that goes one way."""
    return f"{start}{per_scrape:+}x{round(minutes * _A_MINUTE) - 1}"


def missing(minutes: float) -> str:
    """Not there yet."""
    return f"_x{round(minutes * _A_MINUTE)}"


def then(*parts: str) -> str:
    """One after the other."""
    return " ".join(parts)


def api(minutes: float, *, busy: bool = True, name: str = "api-1", before: float = 0) -> Series:
    """One API, first scraped so many minutes after the beginning."""
    per = 150 if busy else 0
    return _process("api", name, minutes, before, busy) | _late(
        before,
        {
            f'api_tasks_accepted_total{{job="api",instance="{name}",outcome="created"}}': climbing(
                per, minutes
            ),
            f'api_tasks_accepted_total{{job="api",instance="{name}",outcome="replayed"}}': climbing(
                per / 150, minutes
            ),
            f'api_tasks_refused_total{{job="api",instance="{name}",reason="client"}}': climbing(
                per / 30, minutes
            ),
            refused(name): steady(0, minutes),
        },
    )


def refused(name: str = "api-1") -> str:
    """The series that counts against the objective."""
    return f'api_tasks_refused_total{{job="api",instance="{name}",reason="unavailable"}}'


def worker(
    minutes: float, *, busy: bool = True, name: str = "worker-1", before: float = 0
) -> Series:
    """One worker: 75 tasks a scrape, of which one waits too long."""
    per = 75 if busy else 0
    of = f'job="worker",instance="{name}"'
    typed = f'{of},task_type="sum"'
    series = {
        f"worker_tasks_processed_total{{{typed}}}": climbing(per, minutes),
        f"worker_tasks_failed_total{{{typed}}}": steady(0, minutes),
        f"worker_tasks_retried_total{{{typed}}}": climbing(per / 75, minutes),
        f"worker_queue_wait_seconds_count{{{typed}}}": climbing(per, minutes),
        f'worker_queue_wait_seconds_bucket{{{typed},le="1.0"}}': climbing(per * 0.99, minutes),
        f"worker_slots{{{of}}}": steady(10, minutes),
        f"worker_tasks_running{{{of}}}": steady(6 if busy else 0, minutes),
        f"worker_threads_stuck{{{of}}}": steady(0, minutes),
        f"worker_leases_lost_total{{{of}}}": steady(0, minutes),
        f'worker_consumer_lost_total{{{of},reason="closed"}}': steady(0, minutes),
        **{
            f'worker_handler_connection_wait_seconds_bucket{{{of},le="{bound}"}}': climbing(
                per / 75, minutes
            )
            for bound in ("0.001", "0.5", "1.0", "+Inf")
        },
    }
    return _process("worker", name, minutes, before, busy) | _late(before, series)


def relay(minutes: float, *, busy: bool = True, name: str = "relay-1", before: float = 0) -> Series:
    """One relay. Whichever it is, it counts the tasks of the whole database."""
    per = 150 if busy else 0
    of = f'job="relay",instance="{name}"'
    ledger = climbing(per, minutes, start=1_000_000 + per * before * _A_MINUTE)
    series = {
        f"relay_outbox_oldest_age_seconds{{{of}}}": steady(0.4 if busy else 0, minutes),
        f'relay_loop_errors_total{{{of},loop="outbox"}}': steady(0, minutes),
        f'relay_loop_errors_total{{{of},loop="retention"}}': steady(0, minutes),
        f"relay_leases_expired_total{{{of}}}": steady(0, minutes),
        f"relay_dead_letters_open{{{of}}}": steady(3, minutes),
        f"relay_dead_letter_queue_depth{{{of}}}": steady(3, minutes),
        f"relay_backlog_oldest_age_seconds{{{of}}}": steady(2 if busy else 0, minutes),
        f'relay_ledger_finished_tasks_total{{{of},state="succeeded"}}': ledger,
        f'relay_ledger_finished_tasks_total{{{of},state="failed"}}': steady(40, minutes),
    }
    return _process("relay", name, minutes, before, busy) | _late(before, series)


def servers(minutes: float, *, busy: bool = True) -> Series:
    """RabbitMQ, Postgres and Prometheus itself."""
    broker = 'job="rabbitmq",instance="rabbitmq:15692"'
    database = 'job="postgres",instance="postgres-exporter:9187"'
    own = 'job="prometheus",instance="localhost:9090"'
    table = f'{database},relname="tasks"'
    values: dict[str, float] = {
        f'up{{{broker},endpoint="per-object"}}': 1,
        f'up{{{broker},endpoint="node"}}': 1,
        f"up{{{database}}}": 1,
        f"up{{{own}}}": 1,
        f'rabbitmq_queue_messages{{{broker},queue="tasks"}}': 17 if busy else 0,
        f'rabbitmq_queue_messages_ready{{{broker},queue="tasks"}}': 5 if busy else 0,
        f'rabbitmq_queue_consumers{{{broker},queue="tasks"}}': 2,
        f'rabbitmq_queue_consumers{{{broker},queue="tasks.dlq"}}': 0,
        f"rabbitmq_alarms_memory_used_watermark{{{broker}}}": 0,
        f"rabbitmq_alarms_free_disk_space_watermark{{{broker}}}": 0,
        f"rabbitmq_alarms_file_descriptor_limit{{{broker}}}": 0,
        f"rabbitmq_process_resident_memory_bytes{{{broker}}}": 2e8,
        f"rabbitmq_resident_memory_limit_bytes{{{broker}}}": 1e9,
        f"rabbitmq_disk_space_available_bytes{{{broker}}}": 5e10,
        f"rabbitmq_disk_space_available_limit_bytes{{{broker}}}": 5e8,
        f"pg_up{{{database}}}": 1,
        f'pg_stat_database_numbackends{{{database},datname="task_platform"}}': 30,
        f"pg_settings_max_connections{{{database}}}": 200,
        f'pg_stat_activity_max_tx_duration{{{database},datname="task_platform",state="active"}}': 1,
        f"pg_stat_user_tables_n_dead_tup{{{table}}}": 20_000,
        f"pg_stat_user_tables_n_live_tup{{{table}}}": 90_000,
        f"prometheus_config_last_reload_successful{{{own}}}": 1,
        f'prometheus_rule_evaluation_failures_total{{{own},rule_group="tasks"}}': 0,
    }
    return {name: steady(value, minutes) for name, value in values.items()}


def healthy(minutes: float, *, busy: bool = True) -> dict[str, str]:
    """A platform with one API, two workers and a relay, in good health."""
    return {
        **api(minutes, busy=busy),
        **worker(minutes, busy=busy),
        **worker(minutes, busy=busy, name="worker-2"),
        **relay(minutes, busy=busy),
        **servers(minutes, busy=busy),
    }


def _process(job: str, name: str, minutes: float, before: float, busy: bool) -> Series:
    of = f'job="{job}",instance="{name}"'
    waits = climbing(30 if busy else 0, minutes)
    return _late(
        before,
        {
            f"up{{{of}}}": steady(1, minutes),
            f"service_ready{{{of}}}": steady(1, minutes),
            f"process_start_time_seconds{{{of}}}": steady(before * 60, minutes),
            **{
                f'database_pool_wait_seconds_bucket{{{of},le="{bound}"}}': waits
                for bound in ("0.001", "0.5", "1.0", "+Inf")
            },
        },
    )


def _late(before: float, series: Series) -> dict[str, str]:
    if not before:
        return dict(series)
    return {name: then(missing(before), values) for name, values in series.items()}


@dataclass
class World:
    """Series, and what is to be true of them: {minute: {expression: {labels: value}}}."""

    series: Series
    expected: dict[float, dict[str, dict[str, float]]] = field(default_factory=dict)

    def fires(self, minute: float, *names: str) -> World:
        """Exactly these alerts fire, with any number of instances."""
        expression = f"max by (alertname) ({FIRING} > bool 0)"
        return self.holds(minute, expression, {f'{{alertname="{name}"}}': 1 for name in names})

    def holds(self, minute: float, expression: str, samples: dict[str, float]) -> World:
        """The expression has exactly these samples."""
        self.expected.setdefault(minute, {})[expression] = samples
        return self

    def check(self, folder: Path) -> None:
        """Let promtool evaluate all rules every minute and compare."""
        document = {
            "rule_files": [str(path) for path in RULE_FILES],
            "evaluation_interval": "1m",
            "tests": [
                {
                    "interval": f"{SCRAPE_S}s",
                    "input_series": [
                        {"series": name, "values": values} for name, values in self.series.items()
                    ],
                    "promql_expr_test": [
                        {
                            "expr": expression,
                            "eval_time": f"{round(minute * 60)}s",
                            "exp_samples": [
                                {"labels": labels, "value": value}
                                for labels, value in samples.items()
                            ],
                        }
                        for minute, expressions in self.expected.items()
                        for expression, samples in expressions.items()
                    ],
                }
            ],
        }
        path = folder / "world.yml"
        path.write_text(json.dumps(document), encoding="utf-8")
        promtool("test", "rules", path)
