"""What must hold of a fresh stack before a clock starts."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

from task_lab.errors import InvalidRun

_READS = 5
_ANSWER_S = 5.0

Counters = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class CounterFell(InvalidRun):
    """Readings of one process's counters contradict each other, so rates of them would be invented.

    More than one process answers behind the address, each with counts of its own.
    """

    def __init__(self, url: str, counter: str, before: float, after: float) -> None:
        super().__init__(f"{counter} at {url} fell from {before:g} to {after:g} without a restart")
        self.url, self.counter, self.before, self.after = url, counter, before, after


def check_counters_only_rise(metrics_url: str) -> None:
    """Read the metrics a few times, each over a connection of its own. Raises CounterFell."""
    before: Counters = {}
    for _ in range(_READS):
        answer = httpx.get(metrics_url, timeout=_ANSWER_S, trust_env=False)
        after = read_counters(answer.raise_for_status().text)
        for key in before.keys() & after.keys():
            if after[key] < before[key]:
                raise CounterFell(metrics_url, key[0], before[key], after[key])
        before = after


def read_counters(text: str) -> Counters:
    """The counters of an exposition, by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        if family.type == "counter"
        for sample in family.samples
        if sample.name.endswith("_total")
    }
