"""The figure that follows a run, without a kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
from task_lab.live.picture import draw, png, told
from task_lab.live.plot import live_plot
from task_lab.store import create_run

from tests.unit.live.story import START, state_at

PNG = b"\x89PNG"


def test_without_a_notebook_nothing_is_shown_and_nothing_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with live_plot(create_run("throughput", {}, results=tmp_path)) as plot:
        assert not plot.is_live
        assert plot.wait(1)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("moment_s", [0, 8, 42, 63, 95])
def test_every_moment_of_a_run_can_be_drawn(moment_s: float) -> None:
    state = state_at(moment_s)
    assert png(draw(state, START + moment_s)).startswith(PNG)
    assert "tasks accepted" in told(state, START + moment_s)


def test_the_figure_marks_each_fault_that_struck() -> None:
    above, _ = draw(state_at(63), START + 63).axes
    marked = [text.get_text() for text in above.texts]
    assert marked == [
        "kill of worker-2: healed",
        "database_restart: healed",
        "network_cut of broker: healing",
    ]


def test_a_second_that_is_not_over_is_no_dip() -> None:
    above, _ = draw(state_at(35.3), START + 35.3).axes
    values = above.lines[0].get_ydata()
    assert values[-1] == pytest.approx(400, abs=2)  # type: ignore[index]


def test_the_words_are_for_those_who_cannot_see_the_figure() -> None:
    text = told(state_at(42), START + 42)
    assert text.startswith(
        "0:42: effect, 3 workers, load at 400/s, 12,150 tasks accepted, 1,068/s now"
    )
    assert "database_restart biting" in text
