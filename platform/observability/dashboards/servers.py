"""RabbitMQ and Postgres, as far as the platform depends on them."""

from __future__ import annotations

from observability.dashboards.model import RATE, Dashboard, Panel, Query, Row, Unit

_OURS = 'datname!~"template[01]|postgres"'
_TABLES = 'relname=~"tasks|outbox|claims|dead_letters|unique_keys"'

DASHBOARD = Dashboard(
    uid="task-platform-servers",
    title="Broker and database",
    description="RabbitMQ and Postgres, as far as the platform depends on them.",
    rows=(
        Row(
            "RabbitMQ: queues",
            (
                Panel(
                    "Messages ready",
                    "Messages that no worker has yet.",
                    Unit.COUNT,
                    (Query("sum by (queue) (rabbitmq_queue_messages_ready)", "{{queue}}"),),
                ),
                Panel(
                    "Messages with workers",
                    "Delivered and not yet acknowledged.",
                    Unit.COUNT,
                    (Query("sum by (queue) (rabbitmq_queue_messages_unacked)", "{{queue}}"),),
                ),
                Panel(
                    "Consumers",
                    "One for each worker on `tasks`; none on `tasks.dlq` unless somebody reads it.",
                    Unit.COUNT,
                    (Query("sum by (queue) (rabbitmq_queue_consumers)", "{{queue}}"),),
                ),
                Panel(
                    "Messages in and out",
                    "Of the whole broker, per second.",
                    Unit.PER_SECOND,
                    (
                        Query(
                            f"sum(rate(rabbitmq_global_messages_received_total[{RATE}]))",
                            "published",
                        ),
                        Query(
                            f"sum(rate(rabbitmq_global_messages_confirmed_total[{RATE}]))",
                            "confirmed",
                        ),
                        Query(
                            f"sum(rate(rabbitmq_global_messages_delivered_total[{RATE}]))",
                            "delivered",
                        ),
                        Query(
                            f"sum(rate(rabbitmq_global_messages_acknowledged_total[{RATE}]))",
                            "acknowledged",
                        ),
                    ),
                ),
                Panel(
                    "Messages that took a detour",
                    "Delivered a second time, or returned because there was no queue for them.",
                    Unit.PER_SECOND,
                    (
                        Query(
                            f"sum(rate(rabbitmq_global_messages_redelivered_total[{RATE}]))",
                            "redelivered",
                        ),
                        Query(
                            f"sum(rate(rabbitmq_global_messages_unroutable_returned_total[{RATE}]))",
                            "returned",
                        ),
                    ),
                ),
                Panel(
                    "Connections and channels",
                    "Each process keeps a few. Counts that climb, or much coming and going, mean "
                    "that somebody does not keep theirs.",
                    Unit.COUNT,
                    (
                        Query("sum(rabbitmq_connections)", "connections"),
                        Query("sum(rabbitmq_channels)", "channels"),
                        Query(
                            f"60 * sum(rate(rabbitmq_connections_opened_total[{RATE}]))",
                            "connections opened per minute",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "RabbitMQ: node",
            (
                Panel(
                    "Alarms",
                    "1 while an alarm is on. Publishers are blocked until it is off again.",
                    Unit.ON_OFF,
                    (
                        Query("max(rabbitmq_alarms_memory_used_watermark)", "memory"),
                        Query("max(rabbitmq_alarms_free_disk_space_watermark)", "disk"),
                        Query("max(rabbitmq_alarms_file_descriptor_limit)", "file descriptors"),
                    ),
                ),
                Panel(
                    "Memory",
                    "Resident memory, and the limit at which publishers are blocked.",
                    Unit.BYTES,
                    (
                        Query("sum(rabbitmq_process_resident_memory_bytes)", "used"),
                        Query("sum(rabbitmq_resident_memory_limit_bytes)", "limit"),
                    ),
                ),
                Panel(
                    "Disk space",
                    "Free space, and the limit below which publishers are blocked.",
                    Unit.BYTES,
                    (
                        Query("sum(rabbitmq_disk_space_available_bytes)", "free"),
                        Query("sum(rabbitmq_disk_space_available_limit_bytes)", "limit"),
                    ),
                ),
            ),
        ),
        Row(
            "Postgres",
            (
                Panel(
                    "Connections by state",
                    "Of the platform's database; the limit is for all databases together.",
                    Unit.COUNT,
                    (
                        Query(f"sum by (state) (pg_stat_activity_count{{{_OURS}}})", "{{state}}"),
                        Query("max(pg_settings_max_connections)", "limit"),
                    ),
                ),
                Panel(
                    "Transactions",
                    "Committed and rolled back, per second. One commit carries many tasks.",
                    Unit.PER_SECOND,
                    (
                        Query(
                            f"sum(rate(pg_stat_database_xact_commit{{{_OURS}}}[{RATE}]))",
                            "committed",
                        ),
                        Query(
                            f"sum(rate(pg_stat_database_xact_rollback{{{_OURS}}}[{RATE}]))",
                            "rolled back",
                        ),
                        Query(
                            f"sum(rate(pg_stat_database_deadlocks{{{_OURS}}}[{RATE}]))",
                            "deadlocks",
                        ),
                    ),
                ),
                Panel(
                    "Oldest transaction",
                    "While it is open, vacuum can remove no row that died since. Autovacuum itself "
                    "does not count.",
                    Unit.SECONDS,
                    (
                        Query(
                            "max by (state) (pg_stat_activity_max_tx_duration"
                            f'{{{_OURS},backend_type!="autovacuum worker"}})',
                            "{{state}}",
                        ),
                    ),
                ),
                Panel(
                    "Dead rows",
                    "Rows that vacuum has yet to remove. They come with every change, and go.",
                    Unit.COUNT,
                    (
                        Query(
                            f"sum by (relname) (pg_stat_user_tables_n_dead_tup{{{_TABLES}}})",
                            "{{relname}}",
                        ),
                    ),
                ),
                Panel(
                    "Updates of tasks in place",
                    "The share of updates that touched no index (HOT). Near 100 % as long as no "
                    "index names a column that changes.",
                    Unit.SHARE,
                    (
                        Query(
                            "sum by (relname) (rate("
                            f'pg_stat_user_tables_n_tup_hot_upd{{relname="tasks"}}[{RATE}])) '
                            "/ sum by (relname) (rate("
                            f'pg_stat_user_tables_n_tup_upd{{relname="tasks"}}[{RATE}]))',
                            "{{relname}}",
                        ),
                    ),
                    most=1,
                ),
                Panel(
                    "Rows written",
                    "Inserts, updates and deletes per second, all tables together.",
                    Unit.PER_SECOND,
                    (
                        Query(f"sum(rate(pg_stat_user_tables_n_tup_ins[{RATE}]))", "inserted"),
                        Query(f"sum(rate(pg_stat_user_tables_n_tup_upd[{RATE}]))", "updated"),
                        Query(f"sum(rate(pg_stat_user_tables_n_tup_del[{RATE}]))", "deleted"),
                    ),
                ),
                Panel(
                    "Size",
                    "The platform's database, and the write-ahead log that is kept.",
                    Unit.BYTES,
                    (
                        Query(f"sum(pg_database_size_bytes{{{_OURS}}})", "database"),
                        Query("max(pg_wal_size_bytes)", "write-ahead log"),
                    ),
                ),
                Panel(
                    "Locks",
                    "Locks that are held or waited for, by mode.",
                    Unit.COUNT,
                    (Query(f"sum by (mode) (pg_locks_count{{{_OURS}}})", "{{mode}}"),),
                ),
                Panel(
                    "Blocks from memory",
                    "The share of block reads that Postgres' own cache answered.",
                    Unit.SHARE,
                    (
                        Query(
                            f"sum(rate(pg_stat_database_blks_hit{{{_OURS}}}[{RATE}])) "
                            f"/ (sum(rate(pg_stat_database_blks_hit{{{_OURS}}}[{RATE}])) "
                            f"+ sum(rate(pg_stat_database_blks_read{{{_OURS}}}[{RATE}])))",
                            "from memory",
                        ),
                    ),
                    most=1,
                ),
            ),
        ),
    ),
)
