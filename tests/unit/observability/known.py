"""Every metric that Prometheus can know of, and what an expression asks for."""

from __future__ import annotations

import re

from prometheus_client import CollectorRegistry
from task_platform.metrics import (
    ApiMetrics,
    BrokerMetrics,
    RelayMetrics,
    ServiceMetrics,
    WorkerMetrics,
)

from tests.unit.observability.files import rules

# As RabbitMQ 4.0, postgres_exporter 0.17 and Prometheus 2.53 name what is used here.
THIRD_PARTY = frozenset(
    {
        "rabbitmq_queue_messages",
        "rabbitmq_queue_messages_ready",
        "rabbitmq_queue_messages_unacked",
        "rabbitmq_queue_consumers",
        "rabbitmq_global_messages_received_total",
        "rabbitmq_global_messages_confirmed_total",
        "rabbitmq_global_messages_delivered_total",
        "rabbitmq_global_messages_acknowledged_total",
        "rabbitmq_global_messages_redelivered_total",
        "rabbitmq_global_messages_unroutable_returned_total",
        "rabbitmq_connections",
        "rabbitmq_connections_opened_total",
        "rabbitmq_channels",
        "rabbitmq_alarms_memory_used_watermark",
        "rabbitmq_alarms_free_disk_space_watermark",
        "rabbitmq_alarms_file_descriptor_limit",
        "rabbitmq_process_resident_memory_bytes",
        "rabbitmq_resident_memory_limit_bytes",
        "rabbitmq_disk_space_available_bytes",
        "rabbitmq_disk_space_available_limit_bytes",
        "pg_up",
        "pg_settings_max_connections",
        "pg_stat_activity_count",
        "pg_stat_activity_max_tx_duration",
        "pg_stat_database_numbackends",
        "pg_stat_database_xact_commit",
        "pg_stat_database_xact_rollback",
        "pg_stat_database_deadlocks",
        "pg_stat_database_blks_hit",
        "pg_stat_database_blks_read",
        "pg_stat_user_tables_n_dead_tup",
        "pg_stat_user_tables_n_live_tup",
        "pg_stat_user_tables_n_tup_ins",
        "pg_stat_user_tables_n_tup_upd",
        "pg_stat_user_tables_n_tup_del",
        "pg_stat_user_tables_n_tup_hot_upd",
        "pg_database_size_bytes",
        "pg_wal_size_bytes",
        "pg_locks_count",
        "prometheus_config_last_reload_successful",
        "prometheus_rule_evaluation_failures_total",
        "up",
        "scrape_samples_post_metric_relabeling",
        "ALERTS",
        # Of every process that uses prometheus_client.
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
    }
)
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
_WORDS = frozenset({"and", "or", "unless", "bool", "offset"})


def exported() -> set[str]:
    """Names of the series that our own processes export."""
    registry = CollectorRegistry()
    ServiceMetrics(registry, service="api")
    BrokerMetrics(registry)
    ApiMetrics(registry)
    WorkerMetrics(registry, ["sum"])
    RelayMetrics(registry)
    return {
        f"{family.name}{suffix}"
        for family in registry.collect()
        for suffix in _SUFFIXES[family.type]
    }


def known() -> set[str]:
    """Everything that an expression may ask for."""
    recorded = {str(rule["record"]) for rule in rules() if "record" in rule}
    return exported() | recorded | THIRD_PARTY


def metrics_in(expression: str) -> set[str]:
    """Names of the metrics that an expression asks for."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", bare)
    names = re.findall(r"(?<![\w.:])[a-zA-Z_][\w:]*(?!\s*\(|[\w:])", bare)
    return {name for name in names if name not in _WORDS}
