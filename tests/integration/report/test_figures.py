import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from task_lab.report.plots import draw, expected_figures
from task_lab.report.summary import summarise
from task_lab.report.written import read_summary

from ...run_folders import FakeRun, write_run


def test_every_expected_figure_is_there_and_is_a_picture(reported: Path) -> None:
    names = expected_figures(read_summary(reported))
    assert sorted(names) == sorted(
        [
            *("rates.png", "rounds.png", "latency.png", "resources.png"),
            *(f"{k}-{w}.png" for k in ("throughput", "queue-depth", "in-flight")
              for w in ("sum", "sleep")),
        ]
    )  # fmt: skip
    assert sorted(p.name for p in (reported / "figures").iterdir()) == sorted(names)
    for name in names:
        with Image.open(reported / "figures" / name) as picture:
            assert picture.width >= 1200
            assert len(set(picture.convert("L").tobytes())) > 50
            assert picture.info.keys() <= {"dpi"}


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param("agg", marks=pytest.mark.slow),
        "module://matplotlib_inline.backend_inline",
        pytest.param(None, marks=pytest.mark.slow),
    ],
)
def test_a15_figures_are_saved_whatever_the_backend_and_without_a_display(
    tmp_path: Path, backend: str | None
) -> None:
    folder = write_run(tmp_path / "run", FakeRun(rounds=1, tasks=30, drain_tasks=30))
    summary = summarise(folder)
    environment = {k: v for k, v in os.environ.items() if k not in {"DISPLAY", "MPLBACKEND"}}
    if backend:
        environment["MPLBACKEND"] = backend
    code = (
        "import sys; from pathlib import Path; from task_lab.report.plots import draw\n"
        "draw(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(folder)]
    subprocess.run(command, env=environment, check=True, timeout=100)
    drawn = {p.name for p in (folder / "figures").iterdir()}
    assert drawn == set(expected_figures(summary))


def test_a_run_where_nothing_finished_is_drawn_without_a_crash(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", FakeRun(rounds=1, tasks=30, drain_tasks=30))
    lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
    (folder / "events.jsonl").write_text("".join(lines[:3]))
    for path in (folder / "metrics").iterdir():
        path.unlink()
    summary = summarise(folder)
    assert len(draw(folder)) == len(expected_figures(summary)) == 7
