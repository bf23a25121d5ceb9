from itertools import pairwise, permutations

import numpy as np
import pytest
from task_lab.scaling.residuals import fewer_runs_p, lack_of_fit


def runs(signs: tuple[int, ...]) -> int:
    return 1 + sum(a != b for a, b in pairwise(signs))


@pytest.mark.parametrize(("above", "below"), [(1, 1), (3, 3), (2, 5), (4, 4), (1, 6)])
def test_the_runs_test_counts_every_order_of_the_signs(above: int, below: int) -> None:
    orders = set(permutations([1] * above + [-1] * below))
    for order in orders:
        expected = sum(runs(other) <= runs(order) for other in orders) / len(orders)
        assert fewer_runs_p([float(s) for s in order]) == pytest.approx(expected)


def test_six_counts_cannot_show_a_pattern_and_eight_can() -> None:
    assert fewer_runs_p([1, 1, 1, -1, -1, -1]) == pytest.approx(0.1)
    assert fewer_runs_p([1, 1, 1, 1, -1, -1, -1, -1]) < 0.05


@pytest.mark.parametrize("values", [[], [1.0, 2.0], [0.0, 0.0], [-1.0]])
def test_signs_that_are_all_the_same_have_no_pattern(values: list[float]) -> None:
    assert fewer_runs_p(values) == 1.0


def test_lack_of_fit_follows_its_law_where_the_model_is_right() -> None:
    rng = np.random.default_rng(1)
    columns = np.stack([np.ones(8), np.arange(8.0)], axis=-1)
    spreads = np.full(8, 0.02)
    ps, between = [], []
    for _ in range(400):
        seen = columns @ [0.5, 0.1] * (1 + 0.02 * rng.standard_normal(8))
        scaled = columns / seen[:, None]
        best = np.linalg.lstsq(scaled, np.ones(8), rcond=None)[0]
        found = lack_of_fit(scaled, scaled @ best, spreads, within=0.02, within_freedom=10_000)
        ps.append(found.p)
        between.append(found.between)
    assert np.mean(np.array(ps) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.median(between) < 0.01


def test_what_the_repeats_do_not_explain_is_measured() -> None:
    rng = np.random.default_rng(2)
    columns = np.ones((40, 1))
    squares = []
    for _ in range(100):
        seen = 1 + np.hypot(0.01, 0.03) * rng.standard_normal(40)
        found = lack_of_fit(
            columns,
            np.full(40, 1.0) / seen * seen.mean(),
            np.full(40, 0.01),
            within=0.01,
            within_freedom=200,
        )
        squares.append(found.between**2)
    assert np.sqrt(np.mean(squares)) == pytest.approx(0.03, rel=0.1)
