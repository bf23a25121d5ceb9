"""What processes expose on /metrics, as series and their values."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

import httpx
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from task_platform.service import Service

Labels = frozenset[tuple[str, str]]
Series = tuple[str, Labels]


class Exposed:
    """One scrape of one process."""

    def __init__(self, text: str) -> None:
        values: dict[Series, float] = {}
        counters: set[Series] = set()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                series = sample.name, frozenset(sample.labels.items())
                values[series] = sample.value
                if family.type in ("counter", "histogram"):
                    counters.add(series)
        self.values = MappingProxyType(values)
        self.counters = frozenset(counters)

    def sum(self, name: str, **labels: str) -> float:
        """The sum over all series of this name that have these labels."""
        return sum(
            value
            for (found, own), value in self.values.items()
            if found == name and labels.items() <= dict(own).items()
        )

    def has(self, name: str) -> bool:
        """Whether there is any series of this name."""
        return any(found == name for found, _ in self.values)


def exposed(service: Service) -> Exposed:
    """A scrape of a process that runs in this one."""
    return Exposed(generate_latest(service.registry).decode())


async def scraped(client: httpx.AsyncClient, url: str) -> Exposed:
    """A scrape of a real process."""
    answer = await client.get(f"{url}/metrics", timeout=30)
    return Exposed(answer.raise_for_status().text)


def total(processes: Iterable[Exposed], name: str, **labels: str) -> float:
    """The sum over processes."""
    return sum(process.sum(name, **labels) for process in processes)
