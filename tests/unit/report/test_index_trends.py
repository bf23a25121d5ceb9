"""The plots of the index: which runs, where, and what joins them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from task_lab.report.index.found import Figure
from task_lab.report.index.rows import Row
from task_lab.report.index.trends import (
    BOTTOM,
    HEIGHT,
    LANE,
    LEFT,
    RIGHT,
    SHOWN,
    TOP,
    WIDTH,
    Plot,
    trends,
)

VALUES = st.lists(st.floats(-1e14, 1e14), min_size=2, max_size=12)


def row(number: int, value: float | None = 100.0, **fields: object) -> Row:
    given = {
        "experiment": "throughput",
        "name": f"run-{number:04d}",
        "verdict": "PASS",
        "machine": "m1",
        "started_at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number),
        "figures": (Figure("sum 1", value, "tasks/s", "higher"),),
    }
    return Row(**{**given, **fields})  # type: ignore[arg-type]


def newest_first(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row.name, reverse=True)


def plot_of(*rows: Row) -> Plot:
    ((plot,),) = [group.plots for group in trends(newest_first(rows))]
    return plot


def test_every_experiment_and_machine_has_plots_of_its_own() -> None:
    rows = [row(1), row(2, machine="m2"), row(3), row(4, experiment="bench"), row(5, machine="")]
    groups = [(g.experiment, g.machine, g.runs) for g in trends(newest_first(rows))]
    assert groups == [("bench", "m1", 1), ("throughput", "m1", 2), ("throughput", "m2", 1)]


def test_runs_stand_in_order_of_time_at_even_distances() -> None:
    plot = plot_of(row(1), row(2), row(400))
    assert [mark.row.name for mark in plot.marks] == ["run-0001", "run-0002", "run-0400"]
    first, second, third = [mark.x for mark in plot.marks]
    assert round(second - first, 1) == round(third - second, 1)
    assert plot.dates == ("2 Jan 2026", "5 Feb 2027")


def test_a_higher_value_stands_higher() -> None:
    low, high = plot_of(row(1, 90.0), row(2, 100.0)).marks
    assert high.y < low.y


def test_noise_does_not_fill_the_plot() -> None:
    first, second = plot_of(row(1, 1000.0), row(2, 1001.0)).marks
    assert abs(first.y - second.y) < 2


def test_a_line_joins_what_passed_and_was_asked_for_the_same() -> None:
    plot = plot_of(
        row(1),
        row(2, verdict="FAIL"),
        row(3, asked="tasks = 9"),
        row(4),
        row(5, asked="tasks = 9"),
        row(6),
    )
    assert [(len(line.points.split()), line.usual) for line in plot.lines] == [
        (3, True),
        (2, False),
    ]
    assert [mark.usual for mark in plot.marks] == [True, True, False, True, False, True]


def test_the_latest_value_is_that_of_a_usual_run_that_passed() -> None:
    plot = plot_of(row(1), row(2, 110.0), row(3, 30.0, asked="tasks = 9"), row(4, verdict="FAIL"))
    assert plot.latest == "110 tasks/s"
    assert plot.latest_row.name == "run-0002"


def test_without_a_usual_run_that_passed_it_is_the_newest_of_all() -> None:
    plot = plot_of(row(1), row(2, 90.0), row(3, 80.0, verdict="FAIL", asked="tasks = 9"))
    assert plot.latest == "90 tasks/s"
    plot = plot_of(row(1, 70.0, verdict="FAIL"), row(2, 80.0, verdict="FAIL"))
    assert (plot.latest, plot.latest_row.verdict) == ("80 tasks/s", "FAIL")


def test_a_run_that_came_to_nothing_stands_below_and_one_without_this_figure_nowhere() -> None:
    other = (Figure("sum 3", 5.0, "tasks/s", "higher"),)
    stopped = row(2, verdict="INTERRUPTED", figures=())
    null = row(4, None, verdict="INVALID")
    (group,) = trends(newest_first([row(1), stopped, row(3, figures=other), null]))
    plot = next(plot for plot in group.plots if plot.title == "sum 1")
    assert [(mark.row.name, mark.y == LANE) for mark in plot.marks] == [
        ("run-0001", False),
        ("run-0002", True),
        ("run-0004", True),
    ]
    assert plot.marks[2].text.startswith("n/a · INVALID")


def test_a_mark_tells_all_about_its_run() -> None:
    mark = plot_of(row(1), row(2, 2345.6, commit="abcdef0", dirty=True, asked="tasks = 9")).marks[1]
    assert mark.text == (
        "2,346 tasks/s · PASS · 2026-01-03 00:00 · commit abcdef0 · uncommitted changes"
        " · asked: tasks = 9 · run-0002"
    )


def test_one_run_is_no_trend_and_too_many_are_cut_to_the_latest() -> None:
    assert plot_of(row(1)).marks == ()
    plot = plot_of(*[row(i) for i in range(SHOWN + 20)])
    assert (len(plot.marks), plot.runs) == (SHOWN, SHOWN + 20)
    assert plot.marks[-1].row.name == f"run-{SHOWN + 19:04d}"


def test_whole_numbers_have_no_halves_on_their_scale() -> None:
    assert [label for _, label in plot_of(row(1, 3.0), row(2, 4.0)).ticks] == ["3", "4"]


@given(VALUES)
def test_every_mark_and_tick_is_inside_the_plot(values: list[float]) -> None:
    plot = plot_of(*[row(i, value) for i, value in enumerate(values)])
    for mark in plot.marks:
        assert LEFT <= mark.x <= WIDTH - RIGHT
        assert TOP - 0.1 <= mark.y <= HEIGHT - BOTTOM + 0.1
    assert 2 <= len(plot.ticks) <= 6
    heights = [y for y, _ in plot.ticks]
    assert heights == sorted(heights, reverse=True)
