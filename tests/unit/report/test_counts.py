import numpy as np
import pytest
from task_lab.report.counts import gain_between, worker_shares
from task_lab.report.records import Metric, Phase, Series


def series(*points: tuple[float, float], instance: str = "a") -> Series:
    return Series(
        {"instance": instance},
        np.array([t for t, _ in points], dtype=float),
        np.array([v for _, v in points], dtype=float),
    )


@pytest.mark.parametrize(
    ("start", "end", "gain"),
    [(1, 3, 30), (0, 4, 40), (2, 2, 10), (2.5, 9, 20), (5, 9, 0)],
)
def test_a_counter_gains_between_two_instants_what_it_rose(
    start: float, end: float, gain: float
) -> None:
    counter = series((0, 0), (1, 10), (2, 20), (3, 30), (4, 40))
    assert gain_between(counter, start, end) == gain


def test_b1_what_a_new_counter_shows_first_is_gain_too() -> None:
    assert gain_between(series((5.0, 40.0), (6.0, 45.0)), 4.0, 7.0) == 45.0


def test_a_reset_counter_gains_from_zero_again() -> None:
    assert gain_between(series((0, 90), (1, 100), (2, 5), (3, 8)), 0.5, 3) == 18


def test_a_gap_in_the_scrapes_is_no_reset() -> None:
    assert gain_between(series((0, 10), (1, np.nan), (2, 14)), 0.5, 3) == 4


def drain(workers: int) -> Phase:
    return Phase("sum-w3-drain", "drain", "sum", workers, 100, 1, 0.0, 10.0, 1.0)


def metric(*gains: float) -> Metric:
    lines = tuple(series((0, 0), (5, g), instance=str(i)) for i, g in enumerate(gains))
    return Metric("processed_raw", "q", 0, 10, 0.25, lines)


@pytest.mark.parametrize(
    ("gains", "shares", "fair"),
    [((50, 30, 20), [0.5, 0.3, 0.2], True), ((70, 20, 10), [0.7, 0.2, 0.1], False)],
)
def test_c13_a_worker_that_did_most_of_the_work_is_flagged(
    gains: tuple[float, ...], shares: list[float], fair: bool
) -> None:
    (found,) = worker_shares([drain(3)], metric(*gains))
    assert found["shares"] == shares
    assert found["fair"] is fair


def test_a_single_worker_has_no_share_to_compare() -> None:
    assert worker_shares([drain(1)], metric(10)) == []
    assert worker_shares([drain(3)], None) == []
