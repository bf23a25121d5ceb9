"""A run analysed again from its raw files: the same bytes, or a word about what changed."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import pytest
from task_lab.cli import run_command

from ...run_folders import FakeRun, write_run

RUN = "20260101T000000Z-aaaaaaa-000a"


def digest_of(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all of its raw files, analysed once."""
    folder = tmp_path_factory.mktemp("results") / "throughput" / RUN
    folder.parent.mkdir(parents=True)
    rates = {("sum", 1): 2900.0}
    write_run(folder, FakeRun(rounds=2, tasks=60, drain_tasks=60, rates=rates))
    run_command(["reanalyse", str(folder)])
    return folder


def test_a14_a_run_reanalysed_twice_has_the_same_bytes(
    analysed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = digest_of(analysed)
    assert {"summary.json", "summary.md", "report.html", "figures/rates.png"} <= set(before)
    capsys.readouterr()
    code = run_command(["reanalyse", str(analysed), "--json"])
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (found["run"], found["changed"]) == (str(analysed), [])
    assert code in {0, 1, 2, 4}
    assert "the same bytes" in said.err
    assert "not the bytes" not in said.err
    assert digest_of(analysed) == before


def test_reanalysis_says_that_the_stored_summary_had_other_bytes(
    analysed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = digest_of(analysed)
    summary = analysed / "summary.json"
    summary.write_text(summary.read_text().replace('"sum"', '"sun"'))
    (analysed / "figures" / "rates.png").unlink()
    capsys.readouterr()
    run_command(["report", str(analysed)])
    said = capsys.readouterr()
    assert "summary.json: not the bytes that were stored" in said.err
    assert "figures/rates.png: new" in said.err
    assert said.out.splitlines()[-1] == str(analysed)
    assert digest_of(analysed) == before


def test_e15_a_run_is_one_page_without_a_network_and_a_summary_with_percentiles(
    analysed: Path, tmp_path: Path
) -> None:
    target = tmp_path / "run.zip"
    assert run_command(["export", str(analysed), "--to", str(target), "--small"]) == 0
    with zipfile.ZipFile(target) as archive:
        root = f"throughput/{RUN}"
        page = archive.read(f"{root}/report.html").decode()
        summary = archive.read(f"{root}/summary.md").decode()
    assert not [link for link in ('src="http', 'href="http', "url(http", "@import") if link in page]
    assert "data:image/png;base64," in page
    assert "queue wait p50 / p95 / p99" in summary
    assert "end to end p50 / p95 / p99" in summary


def test_the_page_says_the_verdict_that_the_run_was_given(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / RUN, FakeRun(rounds=1, tasks=30, drain_tasks=30, rates={("sum", 1): 2900.0})
    )
    assert json.loads((folder / "run.json").read_text())["verdict"] == "PASS"
    (folder / "metrics" / "processed_first.json").unlink()
    assert run_command(["reanalyse", str(folder)]) == 2
    assert (folder / "summary.md").read_text().startswith("# throughput: UNKNOWN")
    assert "PASS" not in (folder / "summary.md").read_text()
