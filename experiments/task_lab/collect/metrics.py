"""Which PromQL a run keeps, and how each answer reaches `metrics/<name>.json`.

Curves are for drawing. Counts come from `*_first` and `*_last`: the lowest and highest raw value
of each instance's counter, which no extrapolation touched and no query step can miss.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from task_lab.collect.prometheus import NoData, Prometheus, QueryFailed, Series, Window, step_for
from task_lab.runtime.rabbitmq import STATISTICS_INTERVAL_MS
from task_lab.runtime.scraping import SCRAPE_INTERVAL_S
from task_lab.store import RunFolder

# One second holds four scrapes: the shortest stretch over which a rate is more than one step.
_RATE = "[1s]"
_UP = 'up{job="api"}'
_SCRAPED_AT = 'min(timestamp(up{job="worker"}))'

CURVES: Mapping[str, str] = {
    "throughput": f'sum(rate(worker_tasks_processed_total{{job="worker"}}{_RATE}))',
    "throughput_by_instance": (
        f'sum by (instance) (rate(worker_tasks_processed_total{{job="worker"}}{_RATE}))'
    ),
    "api_accepted": f'sum(rate(api_tasks_accepted_total{{job="api"}}{_RATE}))',
    "retries": f'sum(rate(worker_tasks_retried_total{{job="worker"}}{_RATE}))',
    "dead_lettered": f'sum(rate(worker_tasks_failed_total{{job="worker"}}{_RATE}))',
    "processed_raw": 'sum by (instance) (worker_tasks_processed_total{job="worker"})',
    "failed_raw": 'sum by (instance) (worker_tasks_failed_total{job="worker"})',
    "retried_raw": 'sum by (instance) (worker_tasks_retried_total{job="worker"})',
    "in_flight": 'sum(worker_tasks_in_flight{job="worker"})',
    "running": 'sum(worker_tasks_running{job="worker"})',
    "up": 'up{job=~"api|relay|worker"}',
    "ready": 'service_ready{job=~"api|relay|worker"}',
    "consumers_lost": 'sum by (instance) (worker_consumer_lost_total{job="worker"})',
    "leases_lost": 'sum by (instance) (worker_leases_lost_total{job="worker"})',
    "leases_expired": 'sum by (instance) (relay_leases_expired_total{job="relay"})',
    "loop_errors": 'sum by (instance) (relay_loop_errors_total{job="relay"})',
    "up_workers": 'sum(up{job="worker"})',
    "queue_ready": 'sum(rabbitmq_queue_messages_ready{job="rabbitmq",queue="tasks"})',
    "dlq_ready": 'sum(rabbitmq_queue_messages_ready{job="rabbitmq",queue="tasks.dlq"})',
    "outbox_oldest_age": 'max(relay_outbox_oldest_age_seconds{job="relay"})',
    "cpu_seconds": 'sum by (job, instance) (process_cpu_seconds_total{job=~"api|worker|relay"})',
    "queue_wait_buckets": 'sum by (le) (worker_queue_wait_seconds_bucket{job="worker"})',
}

COUNTERS: Mapping[str, str] = {
    "processed": 'worker_tasks_processed_total{job="worker"}',
    "failed": 'worker_tasks_failed_total{job="worker"}',
    "retried": 'worker_tasks_retried_total{job="worker"}',
    "given_back": 'worker_tasks_given_back_total{job="worker"}',
}

_ENDS: Mapping[str, str] = {
    "first": "min_over_time",
    "last": "max_over_time",
    "resets": "resets",
}


def keep_metrics(prometheus: Prometheus, folder: RunFolder, window: Window) -> None:
    """Ask every query over the window and keep text and answer, also where there is none.

    Raises TooFewScrapes before anything else when the window cannot carry a curve.
    """
    scrapes = prometheus.scrapes(_UP, window)
    (folder / "metrics").mkdir(exist_ok=True)
    step_s = step_for(window, SCRAPE_INTERVAL_S)
    for name, query in CURVES.items():
        document = _ask(prometheus, query, window, step_s)
        folder.write_json(f"metrics/{name}.json", {"name": name, "scrapes": scrapes, **document})
    around = window.whole_seconds()
    end = Window(around.end, around.end)
    # A second more: the window's ends are widened, and Prometheus leaves a range's start out.
    length = f"[{math.ceil(around.seconds) + 1}s]"
    for counter, selector in COUNTERS.items():
        for suffix, function in _ENDS.items():
            name = f"{counter}_{suffix}"
            query = f"sum by (instance) ({function}({selector}{length}))"
            document = _ask(prometheus, query, end, 1)
            folder.write_json(
                f"metrics/{name}.json", {"name": name, "scrapes": scrapes, **document}
            )


def wait_scraped(prometheus: Prometheus, since: float, timeout_s: float = 10.0) -> bool:
    """True once every worker was scraped after a moment in unix seconds; False when time is up."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with suppress(NoData, QueryFailed):
            answer = prometheus.at(_SCRAPED_AT, datetime.now(UTC))
            if answer[0].points[-1][1] > since:
                return True
        time.sleep(SCRAPE_INTERVAL_S)
    return False


def _ask(prometheus: Prometheus, query: str, window: Window, step_s: float) -> dict[str, Any]:
    """Query and answer as they are kept; without an answer, `problem` says why."""
    document: dict[str, Any] = {
        "query": query,
        "start": window.start.timestamp(),
        "end": window.end.timestamp(),
        "step_s": step_s,
        "series": [],
    }
    if "rabbitmq_" in query:
        document["refresh_s"] = STATISTICS_INTERVAL_MS / 1000
    try:
        document["series"] = [_as_json(one) for one in prometheus.range(query, window, step_s)]
    except (NoData, QueryFailed) as error:
        document["problem"] = str(error)
    return document


def _as_json(series: Series) -> dict[str, Any]:
    points = [[at, value if math.isfinite(value) else None] for at, value in series.points]
    return {"labels": dict(series.labels), "points": points}
