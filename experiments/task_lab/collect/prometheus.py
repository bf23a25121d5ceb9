"""Range queries against Prometheus, wrapped once, with errors that say what was asked.

Only `custom_query_range` of prometheus-api-client is used: its other calls return raw samples
without a step, take naive datetimes as local time, or mix series before aggregating. Totals never
come from `rate` or `increase`, which extrapolate.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.util.retry import Retry

from task_lab.collect.promql import evaluations_a_step, mixer_without_grouping
from task_lab.errors import Unknown, UsageError

# Prometheus refuses more steps than this in one series; the second bounds what one answer costs.
MAX_STEPS = 11_000
MAX_EVALUATIONS = 200_000
# Fewer scrapes than this in a window draw no curve: a rate needs two, a shape more.
MIN_SCRAPES = 4
_TIMEOUT_S = 15
_SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_NEAR = 5
_MATCHER = re.compile(r'([a-zA-Z_]\w*)\s*=\s*"([^"]*)"')


@dataclass(frozen=True)
class Window:
    """A stretch of time. Both ends aware; naive ones would silently mean local time."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise UsageError("a window needs datetimes with a time zone")
        if self.end < self.start:
            raise UsageError(f"a window cannot end before it starts: {self}")

    @classmethod
    def of(cls, start: float, end: float) -> Window:
        """The window between two moments in unix seconds."""
        return cls(datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC))

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end - self.start).total_seconds()

    def whole_seconds(self) -> Window:
        """The smallest window of whole seconds around this one: the client rounds to seconds."""
        return Window.of(math.floor(self.start.timestamp()), math.ceil(self.end.timestamp()))

    def __str__(self) -> str:
        return f"{self.start.astimezone(UTC).isoformat()} to {self.end.astimezone(UTC).isoformat()}"


@dataclass(frozen=True)
class Series:
    """One series of an answer: its labels and its points, (unix seconds, value)."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


class NoData(Unknown):
    """The query is well-formed and nothing answers it. `near` lists what does exist close by."""

    def __init__(self, query: str, window: Window, near: Sequence[str]) -> None:
        hint = f"; near: {', '.join(near)}" if near else ""
        super().__init__(f"no data for {query} in {window}{hint}")
        self.query, self.window, self.near = query, window, list(near)


class TooFewScrapes(Unknown):
    """The window holds too few scrapes to say anything about a curve."""

    def __init__(self, window: Window, scrapes: int) -> None:
        super().__init__(f"{scrapes} scrapes in {window}, at least {MIN_SCRAPES} needed")
        self.window, self.scrapes = window, scrapes


class QueryFailed(Unknown):
    """Prometheus did not answer, or refused the query."""

    def __init__(self, query: str, window: Window, reason: str) -> None:
        super().__init__(f"{query} in {window}: {reason}")
        self.query, self.window, self.reason = query, window, reason


class TooManyPoints(UsageError):
    """The query would cost more evaluations than the budget allows; it was not sent."""

    def __init__(self, query: str, evaluations: float, allowed: int) -> None:
        super().__init__(f"{query} needs {evaluations:.0f} evaluations a series, {allowed} allowed")
        self.query, self.evaluations, self.allowed = query, evaluations, allowed


class GroupingNotNamed(UsageError):
    """The query mixes all its series into one mean or spread; it was not sent."""

    def __init__(self, query: str, mixer: str) -> None:
        super().__init__(
            f"{query}: name what {mixer} is by, such as `{mixer} by (instance) (…)`, or"
            f" `{mixer} by () (…)` where all series are one"
        )
        self.query, self.mixer = query, mixer


class Prometheus:
    """A Prometheus server, asked for ranges only."""

    def __init__(self, url: str) -> None:
        session = requests.Session()
        session.trust_env = False  # a proxy of the environment is not for loopback
        self._client = PrometheusConnect(
            url=url,
            session=session,
            timeout=_TIMEOUT_S,
            retry=Retry(total=3, backoff_factor=0.1),  # the default waits for seconds
        )

    def range(self, query: str, window: Window, step_s: float) -> list[Series]:
        """The answer at every step of the window, its ends widened to whole seconds.

        Raises NoData for an empty answer or one without a number, QueryFailed when Prometheus
        refuses or does not answer; before anything is sent, TooManyPoints and GroupingNotNamed.
        """
        check_budget(query, window, step_s)
        if mixer := mixer_without_grouping(query):
            raise GroupingNotNamed(query, mixer)
        series = self._ask(query, window, step_s)
        if not any(math.isfinite(value) for one in series for _, value in one.points):
            raise NoData(query, window, self._near(query, window))
        return series

    def at(self, query: str, moment: datetime) -> list[Series]:
        """The answer at one moment, a full second not before it. Raises as `range` does."""
        second = Window(moment, moment).whole_seconds().end
        return self.range(query, Window(second, second), 1)

    def scrapes(self, selector: str, window: Window) -> int:
        """Scrapes of the selected targets in the window: the most that any one of them had.

        Raises TooFewScrapes where that is too few to draw a curve.
        """
        around = window.whole_seconds()
        length_s = max(1, round(around.seconds))
        query = f"count_over_time({selector}[{length_s}s])"
        series = self._ask(query, Window(around.end, around.end), 1)
        scrapes = max((int(value) for one in series for _, value in one.points), default=0)
        if scrapes < MIN_SCRAPES:
            raise TooFewScrapes(window, scrapes)
        return scrapes

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, query: str, window: Window, step_s: float) -> list[Series]:
        around = window.whole_seconds()
        try:
            answer: list[dict[str, Any]] = self._client.custom_query_range(
                query, start_time=around.start, end_time=around.end, step=f"{step_s:g}"
            )
        except (PrometheusApiClientException, requests.RequestException) as error:
            raise QueryFailed(query, window, str(error)) from error
        return [
            Series(one["metric"], [(float(at), float(value)) for at, value in one["values"]])
            for one in answer
        ]

    def _near(self, query: str, window: Window) -> list[str]:
        """What exists close to the query's first selector: label values, or metric names."""
        selector = _SELECTOR.search(query)
        name, matchers = selector.groups() if selector else (query.strip(), "")
        labels = [label for label, _ in _MATCHER.findall(matchers)]
        of_metric = self._label_sets(name, labels, window) if _NAME.fullmatch(name) else []
        if of_metric:
            return [
                f'{label}="{value}"'
                for label in labels
                for value in sorted({found.get(label, "") for found in of_metric})[:_NEAR]
            ]
        of_all = self._label_sets('{__name__=~".+"}', ["__name__"], window)
        return difflib.get_close_matches(name, [found["__name__"] for found in of_all], n=_NEAR)

    def _label_sets(
        self, selector: str, labels: Sequence[str], window: Window
    ) -> list[Mapping[str, str]]:
        query = f"group by ({', '.join(labels)}) ({selector})"
        try:
            series = self._ask(query, window, max(1.0, window.seconds / 10))
        except QueryFailed:
            return []  # a hint that cannot be had must not hide the error it belongs to
        return [one.labels for one in series]


def check_budget(query: str, window: Window, step_s: float) -> None:
    """Raise TooManyPoints when the query would be evaluated too often, subqueries included."""
    if step_s <= 0:
        raise UsageError(f"a step must be longer than 0 s, not {step_s}")
    steps = math.floor(window.whole_seconds().seconds / step_s) + 1
    if steps > MAX_STEPS:
        raise TooManyPoints(query, steps, MAX_STEPS)
    each = evaluations_a_step(query, step_s)
    if steps * each > MAX_EVALUATIONS:
        raise TooManyPoints(query, steps * each, MAX_EVALUATIONS)


def step_for(window: Window, scrape_interval_s: float) -> float:
    """The finest step that shows every scrape and stays within Prometheus's limit, in seconds."""
    return max(scrape_interval_s, math.ceil(window.whole_seconds().seconds / MAX_STEPS * 100) / 100)
