"""When the generator's own report makes a run invalid."""

from __future__ import annotations

import pytest
from task_lab.load.calibration import judge_closed_loop, judge_open_loop, judge_send_lag
from task_lab.load.wire import SenderReport


def report(
    *,
    cpu_share: float = 0.4,
    lags_s: list[float] | None = None,
    duration_s: float = 1.0,
    own_lag_s: list[float] | None = None,
) -> SenderReport:
    return SenderReport(
        phase="sum-w1-r01",
        submitted=2000,
        accepted=2000,
        rejected=0,
        unknown=0,
        first_scheduled_at=100.0,
        first_sent_at=100.0,
        last_answered_at=101.0,
        duration_s=duration_s,
        cpu_s=cpu_share * duration_s,
        loop_lag_s=[0.001] * 100 if lags_s is None else lags_s,
        send_lag_s=[],
        first_id="a",
        last_id="b",
        problems={},
        own_lag_s=own_lag_s or [],
    )


@pytest.mark.parametrize(
    ("rounds", "is_valid"),
    [
        ([report()], True),
        ([report(cpu_share=0.86)], False),
        ([report(cpu_share=0.85)], True),
        # one round may be above as long as the point as a whole is not
        ([report(cpu_share=0.9), report(cpu_share=0.5)], True),
        ([report(lags_s=[0.001] * 970 + [0.060] * 30)], False),
        ([report(lags_s=[0.001] * 995 + [0.060] * 5)], True),
        ([report(lags_s=[0.049] * 1000)], True),
        # one late wake-up of twenty is no percentile; three are more than chance
        ([report(lags_s=[0.001] * 19 + [0.100])], True),
        ([report(lags_s=[0.001] * 17 + [0.100] * 3)], False),
        ([report(lags_s=[])], True),
        ([], True),
    ],
)
def test_d4_a_generator_at_its_limit_is_told(rounds: list[SenderReport], is_valid: bool) -> None:
    assert (judge_closed_loop("sum with 1 workers", rounds) == []) is is_valid


@pytest.mark.parametrize(
    ("stood_s", "duration_s", "is_valid"),
    [
        (3.0, 4.0, False),
        (3.0, 59.0, False),  # 5.1 % of the rounds
        (3.0, 61.0, True),
        (0.6, 13.0, True),
        (0.4, 1.0, True),  # a hiccup, of which the percentile judges
    ],
)
def test_d4_a_generator_that_stood_still_once_is_told_by_the_time_it_lost(
    stood_s: float, duration_s: float, is_valid: bool
) -> None:
    of_point = [report(lags_s=[0.001] * 400 + [stood_s], duration_s=duration_s)]
    reasons = judge_closed_loop("sum with 1 workers", of_point)
    assert (reasons == []) is is_valid
    assert is_valid or "stood still" in reasons[0]


@pytest.mark.parametrize(
    ("lags_s", "is_valid"),
    [
        ([0.004] * 1000, True),
        ([0.099] * 1000, True),
        ([0.004] * 990 + [3.0] * 10, True),
        ([0.004] * 900 + [0.3] * 100, False),
        ([], True),
    ],
)
def test_d3_an_open_loop_that_left_its_schedule_is_told(
    lags_s: list[float], is_valid: bool
) -> None:
    assert (judge_send_lag("sleep-w1-step01", report(own_lag_s=lags_s)) == []) is is_valid


def test_the_reason_names_the_point_and_the_figure() -> None:
    (reason,) = judge_closed_loop("sum with 3 workers", [report(cpu_share=0.99)])
    assert "sum with 3 workers" in reason
    assert "99%" in reason


@pytest.mark.parametrize(("offered", "is_valid"), [(1000, True), (1001, False)])
def test_d3_an_open_loop_may_offer_half_of_what_the_stub_saw(offered: int, is_valid: bool) -> None:
    assert (judge_open_loop("point", offered, stub_per_s=2000) == []) is is_valid


def test_rates_are_accepted_tasks_over_the_time_between_first_send_and_last_answer() -> None:
    assert report().submit_per_s == pytest.approx(2000)
