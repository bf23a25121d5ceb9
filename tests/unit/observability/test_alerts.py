"""Every alert fires when it should, alone, and none fires when all is well."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.observability.files import alerts
from tests.unit.observability.world import (
    World,
    api,
    climbing,
    healthy,
    missing,
    refused,
    relay,
    servers,
    steady,
    then,
    worker,
)

API = 'job="api",instance="api-1"'
WORKER = 'job="worker",instance="worker-1"'
RELAY = 'job="relay",instance="relay-1"'
BROKER = 'job="rabbitmq",instance="rabbitmq:15692"'
DATABASE = 'job="postgres",instance="postgres-exporter:9187"'
WAIT = f'worker_queue_wait_seconds_count{{{WORKER},task_type="sum"}}'
IN_TIME = f'worker_queue_wait_seconds_bucket{{{WORKER},task_type="sum",le="1.0"}}'


def changed(minutes: float, changes: dict[str, str], *, busy: bool = True) -> dict[str, str]:
    """Healthy but for these series, each of which exists in good health as well."""
    series = healthy(minutes, busy=busy)
    assert changes.keys() <= series.keys(), changes.keys() - series.keys()
    return series | changes


def without(minutes: float, *beginnings: str) -> dict[str, str]:
    """Healthy, but nothing was scraped whose name and labels begin like this."""
    series = healthy(minutes)
    kept = {name: values for name, values in series.items() if not name.startswith(beginnings)}
    assert len(kept) < len(series)
    return kept


def failing(name: str, labels: str, minutes: float = 40, *, after: float = 0) -> dict[str, str]:
    """A counter of trouble that climbs by one a scrape."""
    calm = (steady(0, after),) if after else ()
    return changed(minutes, {f"{name}{{{labels}}}": then(*calm, climbing(1, minutes - after))})


CASES: dict[str, Callable[[], World]] = {
    "no data": lambda: (
        World({"unrelated": steady(1, 60)})
        .fires(1)
        .fires(3, "NoData")
        .holds(3, 'count(ALERTS{alertname="NoData",alertstate="firing"})', {"{}": 5})
    ),
    "no worker is found": lambda: World(
        {
            **api(60),
            **relay(60),
            **servers(60),
            f'rabbitmq_queue_consumers{{{BROKER},queue="tasks"}}': steady(2, 60),
        }
    ).holds(
        10,
        'ALERTS{alertstate="firing",alertname="NoData"}',
        {'ALERTS{alertname="NoData",alertstate="firing",job="worker",severity="page"}': 1},
    ),
    "the API is down": lambda: (
        World(changed(20, {f"up{{{API}}}": steady(0, 20)}, busy=False))
        .fires(1.9, "JobDown")
        .fires(5, "JobDown", "TargetDown")
    ),
    "one of two workers is down": lambda: World(
        changed(20, {f"up{{{WORKER}}}": steady(0, 20)})
    ).fires(5, "TargetDown"),
    "the relay is not ready": lambda: (
        World(changed(20, {f"service_ready{{{RELAY}}}": steady(0, 20)}))
        .fires(2, "NoneReady")
        .fires(10, "NoneReady", "NotReady")
    ),
    "one of two workers is not ready": lambda: (
        World(changed(20, {f"service_ready{{{WORKER}}}": steady(0, 20)}))
        .fires(3)
        .fires(10, "NotReady")
    ),
    "the broker tells nothing of queues": lambda: (
        World(without(20, "rabbitmq_queue")).fires(3).fires(10, "FiguresMissing")
    ),
    "the broker tells nothing of alarms": lambda: World(without(20, "rabbitmq_alarms")).fires(
        10, "FiguresMissing"
    ),
    "rules fail": lambda: World(
        failing(
            "prometheus_rule_evaluation_failures_total",
            'job="prometheus",instance="localhost:9090",rule_group="tasks"',
        )
    ).fires(15, "RulesFail"),
    "nobody consumes": lambda: (
        World(changed(20, {f'rabbitmq_queue_consumers{{{BROKER},queue="tasks"}}': steady(0, 20)}))
        .fires(0.5)
        .fires(3, "ConsumersLost")
    ),
    "nothing happens": lambda: (
        World(
            changed(
                30,
                {f'rabbitmq_queue_messages{{{BROKER},queue="tasks"}}': steady(8, 30)},
                busy=False,
            )
        )
        .fires(4)
        .fires(12, "QueueStalled")
    ),
    "a long task and nothing else": lambda: World(
        changed(
            60,
            {
                f'rabbitmq_queue_messages{{{BROKER},queue="tasks"}}': steady(1, 60),
                f"worker_tasks_running{{{WORKER}}}": steady(1, 60),
                f"relay_backlog_oldest_age_seconds{{{RELAY}}}": climbing(15, 60),
            },
            busy=False,
        )
    ).fires(50),
    "long tasks in all slots and more waiting": lambda: World(
        changed(
            40,
            {
                f'rabbitmq_queue_messages{{{BROKER},queue="tasks"}}': steady(50, 40),
                f'rabbitmq_queue_messages_ready{{{BROKER},queue="tasks"}}': steady(30, 40),
                **{
                    f'worker_tasks_running{{job="worker",instance="{name}"}}': steady(10, 40)
                    for name in ("worker-1", "worker-2")
                },
            },
            busy=False,
        )
    ).fires(30, "WorkersSaturated"),
    "more comes in than is done": lambda: (
        World(
            changed(
                60,
                {f'rabbitmq_queue_messages_ready{{{BROKER},queue="tasks"}}': climbing(90, 60)},
            )
        )
        .fires(10)
        .fires(40, "BacklogGrows")
    ),
    "a large backlog that shrinks": lambda: World(
        changed(
            60,
            {
                f'rabbitmq_queue_messages_ready{{{BROKER},queue="tasks"}}': climbing(
                    -100, 60, start=90_000
                ),
            },
        )
    ).fires(50),
    "a task that is due next week, and a short queue that is never empty": lambda: World(
        changed(60, {f"relay_backlog_oldest_age_seconds{{{RELAY}}}": climbing(15, 60)})
    ).fires(50),
    "all slots are taken": lambda: (
        World(
            changed(
                40,
                {
                    f"worker_tasks_running{{{WORKER}}}": steady(10, 40),
                    f"worker_tasks_running{{{WORKER.replace('-1', '-2')}}}": steady(10, 40),
                },
            )
        )
        .fires(10)
        .fires(30, "WorkersSaturated")
    ),
    "one task in ten fails": lambda: World(
        changed(
            40,
            {
                f'worker_tasks_failed_total{{{WORKER},task_type="sum"}}': climbing(20, 40),
                f'relay_ledger_finished_tasks_total{{{RELAY},state="failed"}}': climbing(20, 40),
            },
        )
    ).fires(30, "TasksFail"),
    "three tasks fail at night": lambda: (
        World(
            changed(
                40,
                {
                    f'worker_tasks_failed_total{{{WORKER},task_type="sum"}}': then(
                        steady(0, 20), climbing(1, 1), steady(3, 19)
                    )
                },
                busy=False,
            )
        )
        .fires(22)
        .fires(30)
    ),
    "dead letters pile up": lambda: (
        World(
            changed(
                120,
                {
                    f"relay_{name}{{{RELAY}}}": climbing(2, 120)
                    for name in ("dead_letters_open", "dead_letter_queue_depth")
                },
            )
        )
        .fires(50)
        .fires(100, "DeadLettersPileUp")
    ),
    "the dead letter queue was purged for good": lambda: (
        World(changed(40, {f"relay_dead_letter_queue_depth{{{RELAY}}}": steady(0, 40)}))
        .fires(2)
        .fires(20, "DeadLetterQueueDisagrees")
    ),
    "somebody reads the dead letter queue": lambda: World(
        changed(
            40,
            {
                f"relay_dead_letter_queue_depth{{{RELAY}}}": steady(0, 40),
                f'rabbitmq_queue_consumers{{{BROKER},queue="tasks.dlq"}}': steady(1, 40),
            },
        )
    ).fires(20),
    "counters say less than the ledger": lambda: (
        World(
            changed(
                120,
                {f'worker_tasks_processed_total{{{WORKER},task_type="sum"}}': climbing(60, 120)},
            )
        )
        .fires(30)
        .fires(90, "CountersDisagreeWithLedger")
    ),
    "a worker was killed, and with it what it had counted": lambda: (
        World(
            healthy(120)
            | {name: then(values, "stale") for name, values in worker(60, name="worker-2").items()}
        )
        .fires(75)
        .fires(90)
    ),
    "messages do not leave": lambda: (
        World(changed(20, {f"relay_outbox_oldest_age_seconds{{{RELAY}}}": climbing(15, 20)}))
        .fires(1)
        .fires(10, "OutboxOld")
    ),
    "a loop of the relay keeps failing": lambda: (
        World(failing("relay_loop_errors_total", f'{RELAY},loop="retention"'))
        .fires(8)
        .fires(20, "RelayLoopFails")
    ),
    "a loop of the relay failed for two minutes": lambda: (
        World(
            changed(
                40,
                {
                    f'relay_loop_errors_total{{{RELAY},loop="outbox"}}': then(
                        steady(0, 10), climbing(5, 2), steady(35, 28)
                    )
                },
            )
        )
        .fires(12)
        .fires(20)
        .fires(30)
    ),
    "a worker was killed": lambda: (
        World(
            changed(
                60,
                {f"relay_leases_expired_total{{{RELAY}}}": then(steady(0, 20), steady(3, 40))},
            )
        )
        .fires(19)
        .fires(22, "WorkersDie")
        .fires(40)
    ),
    "workers are killed all the time": lambda: World(
        failing("relay_leases_expired_total", RELAY, 60)
    ).fires(40, "WorkersDie", "WorkersKeepDying"),
    "a worker cannot renew": lambda: World(failing("worker_leases_lost_total", WORKER)).fires(
        20, "LeasesLost"
    ),
    "a consumer is lost all the time": lambda: World(
        failing("worker_consumer_lost_total", f'{WORKER},reason="closed"')
    ).fires(20, "ConsumerFlaps"),
    "the broker was restarted once": lambda: World(
        changed(
            40,
            {
                f'worker_consumer_lost_total{{{WORKER},reason="closed"}}': then(
                    steady(0, 20), steady(1, 20)
                )
            },
        )
    ).fires(25),
    "a thread is stuck": lambda: (
        World(changed(40, {f"worker_threads_stuck{{{WORKER}}}": steady(1, 40)}))
        .fires(10)
        .fires(20, "ThreadsStuck")
    ),
    "connections are waited for": lambda: (
        World(
            changed(
                40,
                {
                    f'database_pool_wait_seconds_bucket{{{API},le="{bound}"}}': climbing(20, 40)
                    for bound in ("0.001", "0.5")
                },
            )
        )
        .fires(5)
        .fires(20, "PoolWaits")
    ),
    "handlers wait for connections": lambda: (
        World(
            changed(
                40,
                {
                    f'worker_handler_connection_wait_seconds_bucket{{{WORKER},le="{bound}"}}': rows
                    for bound, rows in (
                        ("0.001", steady(0, 40)),
                        ("0.5", steady(0, 40)),
                        ("1.0", climbing(20, 40)),
                        ("+Inf", climbing(20, 40)),
                    )
                },
            )
        )
        .fires(5)
        .fires(20, "HandlersWait")
    ),
    "the broker is short of memory": lambda: (
        World(
            changed(
                40,
                {
                    f"rabbitmq_alarms_memory_used_watermark{{{BROKER}}}": steady(1, 40),
                    f"rabbitmq_process_resident_memory_bytes{{{BROKER}}}": steady(1.1e9, 40),
                },
            )
        )
        .fires(1, "BrokerAlarm")
        .fires(20, "BrokerAlarm", "BrokerMemoryHigh")
    ),
    "the broker's disk fills up": lambda: (
        World(
            changed(
                60,
                {
                    f"rabbitmq_disk_space_available_bytes{{{BROKER}}}": climbing(
                        -6e7, 60, start=5e10
                    )
                },
            )
        )
        .fires(10)
        .fires(40, "BrokerDiskLow")
    ),
    "the exporter has no database": lambda: World(
        changed(20, {f"pg_up{{{DATABASE}}}": steady(0, 20)})
    ).fires(3, "PostgresUnreachable"),
    "connections run out": lambda: World(
        changed(
            20,
            {
                f'pg_stat_database_numbackends{{{DATABASE},datname="task_platform"}}': steady(
                    180, 20
                )
            },
        )
    ).fires(10, "ConnectionsShort"),
    "a transaction is left open": lambda: (
        World(
            changed(
                40,
                {
                    f'pg_stat_activity_max_tx_duration{{{DATABASE},datname="task_platform",'
                    'state="active"}': climbing(15, 40)
                },
            )
        )
        .fires(10)
        .fires(20, "TransactionOld")
    ),
    "vacuum does not keep up": lambda: (
        World(
            changed(
                60,
                {f'pg_stat_user_tables_n_dead_tup{{{DATABASE},relname="tasks"}}': steady(2e5, 60)},
            )
        )
        .fires(20)
        .fires(40, "DeadRowsPileUp")
    ),
    "half of the submissions are refused": lambda: (
        World(changed(120, {refused(): then(climbing(150, 30), steady(150 * 119, 90))}))
        .fires(10, "SubmissionBudgetBurnFast", "SubmissionBudgetBurnSlow")
        .fires(110, "SubmissionBudgetBurnSlow")
    ),
    "one submission in 250 is refused": lambda: (
        World(changed(150, {refused(): climbing(0.6, 150)}))
        .fires(2)
        .fires(140, "SubmissionBudgetBurnSlow")
    ),
    "one submission in 5,000 is refused": lambda: World(
        changed(150, {refused(): climbing(0.03, 150)})
    ).fires(140),
    "nearly all attempts start late": lambda: World(
        changed(120, {WAIT: climbing(2_000, 120)})
    ).fires(20, "QueueWaitBudgetBurnFast", "QueueWaitBudgetBurnSlow"),
    "one attempt in five starts late": lambda: World(
        changed(120, {WAIT: climbing(110, 120)})
    ).fires(100, "QueueWaitBudgetBurnSlow"),
    "one attempt at night starts late": lambda: (
        World(changed(120, {WAIT: then(steady(0, 60), steady(1, 60))}, busy=False))
        .fires(62)
        .fires(65)
        .fires(110)
    ),
}


FIRING_BY_WINDOW = 'max by (window) (ALERTS{alertstate="firing"})'
# Share of bad events above which an alert fires, as a multiple of the budget, and its long window.
BURNS = ((14.4, "1h"), (6.0, "6h"), (3.0, "1d"), (1.0, "3d"))


# Each threshold from both sides; the lowest two and what is far above all of them in every run.
@pytest.mark.parametrize(
    "burn",
    [
        15.0,
        *(pytest.param(burn, marks=pytest.mark.slow) for burn in (13.8, 6.3, 5.7, 3.15, 2.85)),
        1.05,
        0.95,
    ],
)
def test_budgets_burn_from_their_thresholds_on(burn: float, tmp_path: Path) -> None:
    expected = {f'{{window="{window}"}}': 1.0 for least, window in BURNS if burn > least}
    share = burn * 0.05
    late = {IN_TIME: climbing(75 * (1 - share), 90), WAIT: climbing(75, 90)}
    second = {name.replace("worker-1", "worker-2"): values for name, values in late.items()}
    World(changed(90, late | second)).holds(80, FIRING_BY_WINDOW, expected).check(tmp_path)
    share = burn * 0.001
    bad = {refused(): climbing(151 * share / (1 - share), 90)}
    World(changed(90, bad)).holds(80, FIRING_BY_WINDOW, expected).check(tmp_path)


def test_the_short_window_ends_an_alert_soon_after_the_trouble(tmp_path: Path) -> None:
    """Half an hour of refusals, then none: each page ends with its short window."""
    world = World(changed(150, {refused(): then(climbing(150, 30), steady(150 * 119, 120))}))

    def burning(minute: float, *windows: str) -> None:
        samples = {f'{{window="{window}"}}': 1.0 for window in windows}
        world.holds(minute, FIRING_BY_WINDOW, samples)

    burning(29, "1h", "6h", "1d", "3d")
    burning(40, "6h", "1d", "3d")
    burning(70, "1d", "3d")
    world.check(tmp_path)


@pytest.mark.parametrize("case", CASES)
def test_exactly_the_right_alerts_fire(case: str, tmp_path: Path) -> None:
    CASES[case]().check(tmp_path)


@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
def test_no_alert_fires_in_good_health_from_the_first_scrape_on(busy: bool, tmp_path: Path) -> None:
    world = World(healthy(200, busy=busy))
    for minute in (0, 1, 2, 5, 10, 30, 60, 120, 180):
        world.fires(minute)
    world.check(tmp_path)


def test_no_alert_fires_when_every_replica_is_replaced(tmp_path: Path) -> None:
    old, new = 60, 90
    replaced = {
        name: then(values, "stale")
        for part in (api(old), worker(old), worker(old, name="worker-2"), relay(old))
        for name, values in part.items()
    }
    # The first scrape of each comes half a minute late, and finds it at work or not yet ready.
    at = old + 0.5
    fresh = {
        **api(new, name="api-2", before=at),
        **worker(new, name="worker-3", before=at),
        **worker(new, name="worker-4", before=at),
        **relay(new, name="relay-2", before=at),
    }
    ready = 'service_ready{job="worker",instance="worker-3"}'
    assert ready in fresh
    fresh[ready] = then(missing(at), steady(0, 1), steady(1, new - 1))
    world = World({**replaced, **fresh, **servers(old + new)})
    for minute in (59, 60, 61, 62, 63, 65, 70, 90, 120, 149):
        world.fires(minute)
    world.check(tmp_path)


def test_obs06_no_traffic_is_no_alarm_and_the_first_failure_of_the_night_neither(
    tmp_path: Path,
) -> None:
    series = healthy(120, busy=False)
    series[refused()] = then(steady(0, 60), steady(1, 60))
    ratio = "slo:submissions_unavailable:ratio_5m"
    world = World(series)
    for minute in (1, 30, 59):
        # No traffic: 0/0 is no value at all, neither NaN nor 0 nor 1.
        world.fires(minute).holds(minute, ratio, {})
        world.holds(minute, "slo:submissions_unavailable:ratio_1h", {})
    # One failure in one request: everything failed, and the ratio says so; nobody is woken.
    world.fires(63).holds(63, ratio, {ratio: 1})
    world.fires(70).fires(110).holds(110, ratio, {})
    world.check(tmp_path)


def test_obs06_no_data_has_an_alert_of_its_own(tmp_path: Path) -> None:
    gone = {name: then(values, "stale") for name, values in api(30).items()}
    world = World({**healthy(60), **gone}).fires(29).fires(31).fires(40, "NoData")
    world.holds(40, "slo:submissions_unavailable:ratio_5m", {})
    world.check(tmp_path)


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    fired = {
        name
        for case in CASES.values()
        for expressions in case().expected.values()
        for samples in expressions.values()
        for name in (
            label.split('alertname="')[1].split('"')[0] for label in samples if "alertname" in label
        )
    }
    assert fired == {alert["alert"] for alert in alerts()}
