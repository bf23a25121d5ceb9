"""What the text of a query tells."""

from __future__ import annotations

import pytest
from task_lab.collect.promql import evaluations_a_step, mixer_without_grouping, ranges_s, seconds_of


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("250ms", 0.25), ("1s", 1), ("1m30s", 90), ("2h", 7200), ("1d", 86_400), ("1h5ms", 3600.005)],
)
def test_a_duration_may_have_several_parts(duration: str, seconds: float) -> None:
    assert seconds_of(duration) == seconds


def test_ranges_are_told_and_subqueries_are_none() -> None:
    assert ranges_s("rate(x[1s]) + max_over_time(rate(y[1m30s])[1h:1m])") == [1, 90]


@pytest.mark.parametrize(
    ("query", "evaluations"),
    [
        ("up", 1),
        ("rate(x[5m])", 1),
        ("max_over_time(x[10s:1s])", 11),
        ("max_over_time(x[10s:1s]) + min_over_time(y[20s:1s])", 31),
        ("max_over_time((min_over_time(x[10s:1s]))[20s:1s])", 1 + 20 + 20 * 10),
        ("max_over_time(sum(min_over_time(x[10s:1s]))[20s:1s])", 1 + 20 + 20 * 10),
        ("max_over_time(x[10s:])", 1 + 10 / 2),
    ],
)
def test_a_subquery_inside_another_multiplies(query: str, evaluations: float) -> None:
    assert evaluations_a_step(query, step_s=2) == pytest.approx(evaluations)


@pytest.mark.parametrize(
    ("query", "mixer"),
    [
        ("avg(rate(x[1s]))", "avg"),
        ("1 + quantile(0.95, rate(x[1s]))", "quantile"),
        ("stddev (x) / 2", "stddev"),
        ("max(avg(x) or avg by (instance) (x))", "avg"),
        ("avg by (instance) (rate(x[1s]))", None),
        ("avg(rate(x[1s])) by (instance)", None),
        ("quantile without (le) (0.95, x)", None),
        ("avg by () (x)", None),
        ("sum(x) + max(x) + count(x)", None),
        ("avg_over_time(x[1m]) + histogram_quantile(0.95, sum by (le) (x))", None),
        ('x{a="avg(y)"}', None),
    ],
)
def test_b16_a_mean_of_several_series_names_its_grouping(query: str, mixer: str | None) -> None:
    assert mixer_without_grouping(query) == mixer
