import numpy as np
import pytest
from task_lab.scaling.speedup import speedups


def test_e16_one_and_three_workers_have_a_speedup_with_an_interval() -> None:
    rng = np.random.default_rng(1)
    measured = {n: list(100 * n * np.exp(0.02 * rng.standard_normal(6))) for n in (1, 3)}
    (found,) = speedups(measured)
    assert (found.workers, found.base) == (3, 1)
    assert found.ratio == pytest.approx(3, rel=0.05)
    assert found.interval is not None
    assert found.interval.low <= found.ratio <= found.interval.high
    assert found.efficiency == pytest.approx(found.ratio / 3)
    assert found.efficiency_interval is not None
    assert found.efficiency_interval.high == pytest.approx(found.interval.high / 3)
    assert not found.is_flagged


def test_the_smallest_count_measured_is_the_base_and_its_share_is_fair() -> None:
    found = speedups({6: [300.0], 2: [100.0], 4: [200.0]})
    assert [(s.base, s.workers, s.ratio, s.efficiency) for s in found] == [
        (2, 4, 2.0, 1.0),
        (2, 6, 3.0, 1.0),
    ]


def test_few_measurements_give_a_ratio_and_why_it_has_no_interval() -> None:
    (found,) = speedups({1: [100.0] * 6, 2: [150.0] * 5})
    assert found.interval is None
    assert found.efficiency_interval is None
    assert found.reason == "5 a side, 6 needed for an interval"


def test_a_count_where_one_worker_did_most_is_flagged() -> None:
    found = speedups({1: [1.0], 2: [2.0], 3: [3.0]}, flagged={3})
    assert {s.workers: s.is_flagged for s in found} == {2: False, 3: True}


@pytest.mark.parametrize("measured", [{}, {1: [5.0]}, {1: [5.0], 2: []}])
def test_one_count_alone_has_no_speedup(measured: dict[int, list[float]]) -> None:
    assert speedups(measured) == []
