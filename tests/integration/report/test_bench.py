"""A bench's report from its measurements alone: figures, page, summary, verdict, index."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from task_lab.bench.conclude import conclude
from task_lab.bench.measurements import Cost, Measurements
from task_lab.bench.plan import Plan, described
from task_lab.bench.rows import TARGETS, Group
from task_lab.check.verdict import Verdict
from task_lab.cli import run_command
from task_lab.report.index import rebuild_index
from task_lab.store import RunFolder, create_run

from ...unit.bench.lines import problem, whole

HOSTILE = "<script>alert(1)</script>"


def new_bench(
    results: Path, *, ended: str = "completed", groups: tuple[Group, ...] = ()
) -> RunFolder:
    facts = {
        "params": {"resolved": described(Plan(groups or tuple(Group)))},
        "git": {"sha": "0123456789", "dirty": False},
        "machine": {
            "cpu": HOSTILE,
            "cores": 2,
            "memory_bytes": 2**34,
            "kernel": "Linux 6",
            "fingerprint": "f00d",
        },
        "busy_before": 0.02,
        "versions": {"python": "3.11"},
        "runtime": "native",
    }
    folder = create_run("bench", facts, results=results)
    folder.update_run(ended=ended)
    return folder


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A bench with its whole report, shared: tests only read it."""
    folder = new_bench(tmp_path_factory.mktemp("results"))
    measured = Measurements(folder.path)
    for line in whole():
        measured.append(line)
    measured.append(Cost(process="worker", function=HOSTILE, place="a.py:1", share=0.25))
    (folder / "flames").mkdir()
    (folder / "flames" / "worker.svg").write_text("<svg/>")
    assert conclude(folder) is Verdict.PASS
    return folder


def test_the_verdict_and_every_output_are_there(reported: RunFolder) -> None:
    assert (reported.run()["verdict"], reported.run()["reason"]) == ("PASS", "")
    assert len(reported.read_json("summary.json")["rows"]) == len(TARGETS)
    assert {path.name for path in (reported / "figures").iterdir()} == {
        "cpu.png",
        "drains.png",
        "latency.png",
    }
    assert (reported / "summary.md").read_text().startswith("# bench: PASS")


def test_the_page_explains_every_row_and_stands_on_its_own(reported: RunFolder) -> None:
    page = (reported / "report.html").read_text()
    assert all(target.name in page for target in TARGETS)
    assert page.count("data:image/png;base64,") == 3
    assert 'href="flames/worker.svg"' in page
    assert "http://" not in page and "https://" not in page


def test_text_of_others_is_escaped(reported: RunFolder) -> None:
    page = (reported / "report.html").read_text()
    assert HOSTILE not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2


def test_rendering_again_gives_the_same_bytes(reported: RunFolder) -> None:
    names = ("report.html", "summary.json", "summary.md", "figures/drains.png")
    before = [(reported / name).read_bytes() for name in names]
    assert run_command(["report", str(reported.path)]) == 0
    assert [(reported / name).read_bytes() for name in names] == before


def test_the_index_tells_how_many_targets_a_bench_met(reported: RunFolder) -> None:
    text = rebuild_index(reported.path.parents[1]).read_text()
    assert "20 of 20 targets met, end to end: 2,450" in text
    assert "unreadable" not in text


def test_a_bench_that_measured_nothing_still_has_a_page(tmp_path: Path) -> None:
    folder = new_bench(tmp_path, groups=(Group.FLAMES,))
    assert conclude(folder) is Verdict.PASS
    assert "Rows" not in (folder / "report.html").read_text()


def test_what_went_wrong_fails_the_bench_and_is_told_first(tmp_path: Path) -> None:
    folder = new_bench(tmp_path, groups=(Group.BULK,))
    Measurements(folder.path).append(problem(Group.BULK, f"lost {HOSTILE}", is_wrong=True))
    assert conclude(folder) is Verdict.FAIL
    page = (folder / "report.html").read_text()
    assert "promises less: bulk: lost &lt;script&gt;" in page
    (row,) = json.loads((folder / "summary.json").read_text())["rows"]
    assert (row["pass"], row["value"]) == (False, None)


@pytest.mark.parametrize(
    ("ended", "verdict"),
    [("interrupted", Verdict.INTERRUPTED), ("crashed", Verdict.UNKNOWN)],
)
def test_a_bench_that_was_cut_short_is_no_pass(
    tmp_path: Path, ended: str, verdict: Verdict
) -> None:
    folder = new_bench(tmp_path, ended=ended, groups=(Group.FLAMES,))
    assert conclude(folder) is verdict
