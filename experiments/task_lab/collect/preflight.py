"""What must hold of a fresh stack before a clock starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families

from task_lab.collect.prometheus import MIN_SCRAPES
from task_lab.collect.promql import ranges_s, seconds_of
from task_lab.errors import InvalidRun

# Two processes behind one address take turns by chance: all of ten answers come from one of them
# once in 500 times.
_READS = 10
_ANSWER_S = 5.0
_STARTED_AT = ("process_start_time_seconds", ())

Counters = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class CounterFell(InvalidRun):
    """Readings of one process's counters contradict each other, so rates of them would be invented.

    More than one process answers behind the address, each with counts of its own.
    """

    def __init__(self, url: str, counter: str, before: float, after: float) -> None:
        super().__init__(f"{counter} at {url} fell from {before:g} to {after:g} without a restart")
        self.url, self.counter, self.before, self.after = url, counter, before, after


class SeveralProcesses(InvalidRun):
    """Readings of one address come from processes that started at different times."""

    def __init__(self, url: str, before: float, after: float) -> None:
        super().__init__(
            f"more than one process answers at {url}: one started {abs(after - before):.2f} s"
            " after the other, and each counts for itself"
        )
        self.url, self.before, self.after = url, before, after


class ScrapedTooRarely(InvalidRun):
    """A range of a query would hold too few scrapes for a rate; `job` is scraped that rarely."""

    def __init__(self, job: str, interval_s: float, query: str, range_s: float) -> None:
        super().__init__(
            f"{job} is scraped every {interval_s:g} s, so the {range_s:g} s of {query} hold"
            f" {range_s / interval_s:.1f} scrapes, {MIN_SCRAPES} needed: scrape more often,"
            " or ask for a longer range"
        )
        self.job, self.interval_s, self.query, self.range_s = job, interval_s, query, range_s


def check_counters_only_rise(metrics_url: str) -> None:
    """Read the metrics a few times, each over a connection of its own.

    Raises CounterFell or SeveralProcesses: either tells that not one process alone answers.
    """
    before: Counters = {}
    for _ in range(_READS):
        answer = httpx.get(metrics_url, timeout=_ANSWER_S, trust_env=False)
        after = read_counters(answer.raise_for_status().text)
        started_at = before.get(_STARTED_AT), after.get(_STARTED_AT)
        if before and started_at[0] != started_at[1]:
            raise SeveralProcesses(metrics_url, started_at[0] or 0.0, started_at[1] or 0.0)
        for key in before.keys() & after.keys():
            if after[key] < before[key]:
                raise CounterFell(metrics_url, key[0], before[key], after[key])
        before = after


def check_scraped_often_enough(prometheus_url: str, queries: Iterable[str]) -> None:
    """Hold the ranges of the queries against how often Prometheus scrapes what it knows now.

    Raises ScrapedTooRarely: such a rate would have gaps, or odd values, without an error.
    """
    answer = httpx.get(
        f"{prometheus_url}/api/v1/targets",
        params={"state": "active"},
        timeout=_ANSWER_S,
        trust_env=False,
    )
    intervals_s = {
        target["labels"]["job"]: seconds_of(target["scrapeInterval"])
        for target in answer.raise_for_status().json()["data"]["activeTargets"]
    }
    for query in queries:
        check_ranges(query, intervals_s)


def check_ranges(query: str, intervals_s: Mapping[str, float]) -> None:
    """Hold the ranges of one query against the scrape intervals, by job.

    A query that names no job may be about any of them; one about a job of which nobody is scraped
    yet, as the workers' before the first one starts, about none. Raises ScrapedTooRarely.
    """
    named = {job: every_s for job, every_s in intervals_s.items() if f'job="{job}"' in query}
    for range_s in ranges_s(query):
        for job, every_s in (named if 'job="' in query else intervals_s).items():
            if range_s < MIN_SCRAPES * every_s:
                raise ScrapedTooRarely(job, every_s, query, range_s)


def read_counters(text: str) -> Counters:
    """The counters of an exposition and the start of its process, by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        if family.type == "counter" or family.name == _STARTED_AT[0]
        for sample in family.samples
        if family.type != "counter" or sample.name.endswith("_total")
    }
