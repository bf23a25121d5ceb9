import numpy as np
import pytest
from task_lab.report.captions import CAPTIONS, caption
from task_lab.report.figures.timelines import (
    finished_per_s,
    present,
    rate_window,
    refresh_s,
    total,
    windows,
)
from task_lab.report.records import Metric, Phase, Series

GRID = np.array([0.0, 0.25, 0.5, 0.75, 1.0])


def metric(*lines: list[tuple[float, float]], query: str = "q") -> Metric:
    series = tuple(
        Series({}, np.array([t for t, _ in line]), np.array([v for _, v in line])) for line in lines
    )
    return Metric("m", query, 0.0, 10.0, 0.25, series)


def test_every_finished_task_is_in_one_step_of_the_grid() -> None:
    finished = np.array([0.1, 0.2, 0.25, 0.6, 1.0])
    assert finished_per_s(finished, GRID).tolist() == [0, 12, 0, 4, 4]


def test_depth_counts_what_has_arrived_and_not_left() -> None:
    arrived = np.array([0.0, 0.1, 0.6])
    left = np.array([0.5, np.nan, 0.9])
    assert present(arrived, left, GRID).tolist() == [1, 2, 1, 2, 1]


def test_a_metric_of_several_instances_is_drawn_as_their_sum() -> None:
    at, values = total(metric([(0, 1), (1, 2)], [(1, 10), (2, np.nan)]))
    assert at.tolist() == [0, 1]
    assert values.tolist() == [1, 12]


def test_the_refresh_of_a_sampled_value_is_seen_in_its_changes() -> None:
    points = [(i * 0.25, float(i // 4)) for i in range(40)]
    assert refresh_s(metric(points)) == 1.0
    assert refresh_s(metric([(0.0, 1.0), (1.0, 1.0)])) is None


def test_a_queue_at_rest_does_not_slow_the_refresh() -> None:
    points = [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (3.0, 3.0), (60.0, 4.0), (61.0, 5.0)]
    assert refresh_s(metric(points)) == 1.0


@pytest.mark.parametrize(
    ("query", "window"), [("sum(rate(x[1s]))", "1s"), ("rate(x[250ms])", "250ms"), ("x", None)]
)
def test_the_window_of_a_rate_is_read_from_its_query(query: str, window: str | None) -> None:
    assert rate_window(query) == window


def test_a_caption_prints_the_query_its_window_and_its_refresh() -> None:
    text = caption(CAPTIONS["throughput"], metric(query="sum(rate(x[1s]))"))
    assert "`sum(rate(x[1s]))`" in text
    assert "Window: 1s." in text
    depth = caption(CAPTIONS["queue-depth"], metric([(i * 0.25, float(i // 2)) for i in range(40)]))
    assert "about every 0.5 s" in depth


def test_rounds_and_drain_of_a_worker_count_are_drawn_apart() -> None:
    phases = [
        Phase("w", "warmup", "sum", 1, 1, None, 0.0, 1.0, None),
        Phase("r", "round", "sum", 1, 1, 1, 1.0, 2.0, None),
        Phase("d", "drain", "sum", 1, 1, None, 2.0, 9.0, 7.0),
        Phase("other", "round", "sum", 3, 1, 1, 10.0, 11.0, None),
    ]
    rounds, drain = windows(phases, 1)
    assert (rounds.start, rounds.end) == (0.0, 2.0)
    assert (drain.start, drain.end) == (6.5, 9.0)
    assert drain.grid()[0] == 6.5
    assert drain.grid()[-1] <= 9.0
