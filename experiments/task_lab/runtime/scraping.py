"""How a lab's Prometheus finds the platform's processes, and which of them it reaches.

It scrapes far more often than one in production would, because a round lasts about a second, and
it knows each process by its replica's name: an address may be another worker's later on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

SCRAPE_INTERVAL_S = 0.25
# The broker renews its figures every 500 ms, and a scrape of it is not free.
RABBITMQ_SCRAPE_INTERVAL_S = 0.5
# New targets wait for two beats of 5 s, one after the other; this one can be set.
RELOAD_INTERVAL = "--scrape.discovery-reload-interval"
APPLY_TARGETS_SOON = f"{RELOAD_INTERVAL}=100ms"


@dataclass(frozen=True, slots=True)
class Target:
    """One process to scrape: job (api, worker, relay), its replica's name, and host:port."""

    job: str
    replica: str
    address: str


def write_targets(file: Path, targets: Sequence[Target]) -> None:
    """Replace the processes to scrape; the file changes in one step."""
    groups = [
        {"targets": [target.address], "labels": {"job": target.job, "instance": target.replica}}
        for target in targets
    ]
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(groups))
    fresh.chmod(0o644)  # in a container, another user reads it
    fresh.replace(file)


def scrape_config(targets_file: str, rabbitmq_metrics_url: str = "") -> str:
    """The configuration (JSON, which is also YAML); the broker is scraped if its URL is given."""
    jobs: list[dict[str, object]] = [
        {
            "job_name": "platform",
            "file_sd_configs": [{"files": [targets_file], "refresh_interval": "1s"}],
        }
    ]
    if rabbitmq_metrics_url:
        url = httpx.URL(rabbitmq_metrics_url)
        jobs.append(
            {
                "job_name": "rabbitmq",
                "metrics_path": url.path,
                "scrape_interval": _duration(RABBITMQ_SCRAPE_INTERVAL_S),
                "scrape_timeout": _duration(RABBITMQ_SCRAPE_INTERVAL_S),
                "static_configs": [{"targets": [f"{url.host}:{url.port}"]}],
            }
        )
    interval = _duration(SCRAPE_INTERVAL_S)
    return json.dumps(
        {
            "global": {"scrape_interval": interval, "scrape_timeout": interval},
            "scrape_configs": jobs,
        }
    )


def reached(prometheus_url: str) -> dict[str, bool]:
    """Each process of the platform that it knows, and whether the latest scrape of it worked.

    By the replica's name. Raises httpx.HTTPError when Prometheus itself does not answer.
    """
    query = {"query": 'up{job=~"api|relay|worker"}'}
    answer = httpx.get(f"{prometheus_url}/api/v1/query", params=query, timeout=5)
    answer.raise_for_status()
    series = answer.json()["data"]["result"]
    return {one["metric"]["instance"]: one["value"][1] == "1" for one in series}


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
