"""The report of a scaling run, from raw files to figures and page."""

from pathlib import Path

import pytest
from PIL import Image
from task_lab.report.plots import draw, expected_figures
from task_lab.report.render import render_html
from task_lab.report.sections import section_html
from task_lab.report.summary import summarise
from task_lab.report.written import read_summary

from ...scaling_runs import write_scaling_run


@pytest.fixture(scope="module")
def scaled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its whole report, shared: tests only read it."""
    folder = tmp_path_factory.mktemp("results") / "scaling" / "20260102T030405Z-0123456-abcd"
    write_scaling_run(folder)
    summarise(folder)
    draw(folder)
    render_html(folder)
    return folder


def test_each_workload_has_its_law_or_the_reason_for_none(scaled: Path) -> None:
    laws = {law["workload"]: law for law in read_summary(scaled)["usl"]}
    assert laws["sleep"]["refused"] is None
    assert laws["sleep"]["lambda_per_s"]["value"] == pytest.approx(490, rel=0.05)
    assert laws["sum"]["peak"]["note"].startswith("at or below 1")
    assert laws["cpu"]["refused"].startswith("the law misses 2 workers")


def test_the_question_is_answered_in_the_summary_for_people(scaled: Path) -> None:
    text = (scaled / "summary.md").read_text("utf-8")
    assert "sleep, 1,200 tasks/s with a p95 queue wait of at most 100 ms: 3 workers" in text
    assert "cpu, 200 tasks/s" in text
    assert "no answer: no law was fitted" in text


def test_every_figure_is_drawn(scaled: Path) -> None:
    names = expected_figures(read_summary(scaled))
    assert {"speedup.png", "law-sum.png", "law-sleep.png", "law-cpu.png", "shares.png"} <= set(
        names
    )
    assert {path.name for path in (scaled / "figures").iterdir()} == set(names)
    for name in names:
        with Image.open(scaled / "figures" / name) as picture:
            assert len(set(picture.convert("L").tobytes())) > 50


@pytest.mark.parametrize("name", ["headline", "speedups", "rates", "law", "shares", "sizing"])
def test_every_section_is_there(scaled: Path, name: str) -> None:
    assert 'class="missing"' not in section_html(scaled, name)


def test_the_page_shows_the_law_and_the_answer(scaled: Path) -> None:
    page = (scaled / "report.html").read_text("utf-8")
    assert "not told apart from 0" in page
    assert "3 workers (3 to 3)" in page


def test_e16_one_and_three_workers_make_a_report_without_a_law(tmp_path: Path) -> None:
    folder = write_scaling_run(tmp_path / "run", counts=[1, 3], workloads=["sleep"])
    summary = summarise(folder)
    assert all("2 usable worker counts (1, 3)" in law["refused"] for law in summary["usl"])
    assert all(one["interval"] for one in summary["speedups"])
    drawn = {path.name: path.read_bytes() for path in draw(folder)}
    assert set(drawn) == set(expected_figures(summary))
    assert {path.name: path.read_bytes() for path in draw(folder)} == drawn
    assert "no law" in section_html(folder, "law")


def test_a_run_where_nothing_finished_is_reported_without_a_crash(tmp_path: Path) -> None:
    folder = write_scaling_run(tmp_path / "run", drains=1, workloads=["sleep"])
    lines = (folder / "events.jsonl").read_text("utf-8").splitlines(keepends=True)
    (folder / "events.jsonl").write_text("".join(lines[:3]), "utf-8")
    for path in (folder / "metrics").iterdir():
        path.unlink()
    summary = summarise(folder)
    assert len(draw(folder)) == len(expected_figures(summary))
    for name in ("headline", "speedups", "law", "shares", "sizing"):
        section_html(folder, name)
