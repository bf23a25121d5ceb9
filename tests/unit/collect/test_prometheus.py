"""Windows, budgets and steps: what is refused before Prometheus is asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_lab.collect.prometheus import MAX_STEPS, TooManyPoints, Window, check_budget, step_for
from task_lab.errors import UsageError

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def minutes(count: float) -> Window:
    return Window(NOON, NOON + timedelta(minutes=count))


def test_b13_a_naive_datetime_is_refused() -> None:
    with pytest.raises(UsageError, match="time zone"):
        Window(NOON.replace(tzinfo=None), NOON)


def test_b13_a_window_is_the_same_in_every_zone() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert Window(there, there + timedelta(minutes=1)) == minutes(1)
    assert str(Window(there, there)) == str(Window(NOON, NOON))


def test_a_window_cannot_end_before_it_starts() -> None:
    with pytest.raises(UsageError, match="before it starts"):
        Window(NOON, NOON - timedelta(seconds=1))


@given(st.floats(1e9, 2e9), st.floats(0, 1e5))
def test_whole_seconds_never_cut_the_window(start: float, length: float) -> None:
    window = Window.of(start, start + length)
    around = window.whole_seconds()
    assert around.start <= window.start
    assert around.end >= window.end
    assert around.start.microsecond == around.end.microsecond == 0
    assert around.seconds <= window.seconds + 2


@pytest.mark.parametrize(
    ("query", "window", "step_s", "is_allowed"),
    [
        ("rate(x[1m])", minutes(10), 0.25, True),
        ("x", minutes(60 * 24), 1, False),
        ("rate(x[5m])[60m:10ms]", minutes(1), 1, False),
        ("max_over_time(rate(x[5m])[10m:1s])", minutes(1), 1, True),
        ("max_over_time(rate(x[5m])[10m:])", minutes(1), 1, True),
        ("max_over_time(rate(x[5m])[10d:])", minutes(1), 1, False),
        ("max_over_time((max_over_time(x[1h:1s]))[1h:1s])", minutes(0), 1, False),
        ("max_over_time(x[1h:1s]) / max_over_time(y[1h:1s])", minutes(0), 1, True),
        ("max_over_time(x[1h30m:10ms])", minutes(0), 1, False),
        ("max_over_time(x[1w:])", minutes(60), 60, False),
        ('max_over_time(x{a="[60m:10ms]"}[10m:1s])', minutes(1), 1, True),
    ],
)
def test_b9_a_query_beyond_the_budget_is_not_sent(
    query: str, window: Window, step_s: float, is_allowed: bool
) -> None:
    if is_allowed:
        check_budget(query, window, step_s)
    else:
        with pytest.raises(TooManyPoints):
            check_budget(query, window, step_s)


@pytest.mark.parametrize("step_s", [0, -1])
def test_a_step_is_longer_than_nothing(step_s: float) -> None:
    with pytest.raises(UsageError, match="step"):
        check_budget("x", minutes(1), step_s)


@given(st.floats(0, 1e6))
def test_the_step_shows_every_scrape_where_the_budget_allows(length: float) -> None:
    window = Window.of(1e9, 1e9 + length)
    step_s = step_for(window, 0.25)
    assert step_s >= 0.25
    assert window.whole_seconds().seconds / step_s <= MAX_STEPS
    if length < 2_000:
        assert step_s == 0.25
