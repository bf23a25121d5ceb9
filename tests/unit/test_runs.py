"""The runs of a folder: all of them found, and each found by what people call it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from task_lab.errors import InvalidRun, UsageError
from task_lab.runs import find_runs, headline, resolve_run

OLD = "20260101T000000Z-aaaaaaa-0001"
NEW = "20260102T000000Z-bbbbbbb-0002"
NEWEST = "20260103T000000Z-bbbbbbb-0003"


def add_run(
    results: Path, run_id: str, experiment: str = "throughput", text: str | None = None
) -> Path:
    folder = results / experiment / run_id
    folder.mkdir(parents=True)
    at = f"{run_id[:4]}-{run_id[4:6]}-{run_id[6:8]}T00:00:00.000+00:00"
    run = {
        "verdict": "PASS",
        "experiment": experiment,
        "started_at": at,
        "ended_at": at,
        "git": {"sha": run_id[17:24] + "0" * 33, "dirty": False},
        "machine": {"fingerprint": "cafe"},
    }
    (folder / "run.json").write_text(json.dumps(run) if text is None else text)
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    results = tmp_path / "results"
    add_run(results, OLD)
    add_run(results, NEWEST, "faults")
    add_run(results, NEW)
    return results


def test_the_runs_are_listed_newest_first_over_all_experiments(results: Path) -> None:
    assert [run.id for run in find_runs(results)] == [NEWEST, NEW, OLD]
    assert [run.id for run in find_runs(results, "throughput")] == [NEW, OLD]


def test_what_a_run_says_of_itself_is_at_hand(results: Path) -> None:
    run = find_runs(results)[0]
    assert (run.experiment, run.verdict, run.fingerprint) == ("faults", "PASS", "cafe")
    assert run.sha is not None
    assert run.sha.startswith("bbbbbbb")
    assert not run.is_dirty


def test_nothing_there_is_no_error_but_an_unknown_experiment_is(
    results: Path, tmp_path: Path
) -> None:
    assert find_runs(tmp_path / "nowhere") == []
    assert find_runs(tmp_path / "nowhere", "throughput") == []
    with pytest.raises(UsageError, match="did you mean 'throughput'"):
        find_runs(results, "troughput")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"verdict": "PASS", "star', "run.json: Unterminated string"),
        ("", "run.json: Expecting value"),
        ("[]", "run.json: it is not an object"),
        ('{"verdict": NaN}', "run.json: NaN is not a number"),
        ('{"verdict": "PASS", "schema": 99}', "run.json: schema 99 is newer"),
    ],
)
def test_a_cut_run_is_listed_as_unreadable_at_its_time(
    results: Path, text: str, problem: str
) -> None:
    add_run(results, "20260102T120000Z-ccccccc-0009", text=text)
    unreadable = find_runs(results)[1]
    assert (unreadable.id, unreadable.verdict) == ("20260102T120000Z-ccccccc-0009", "unreadable")
    assert problem in unreadable.problem
    assert (unreadable.sha, unreadable.fingerprint, unreadable.ended_at) == (None, None, None)


def test_a_run_that_lost_its_run_json_or_may_not_be_read_is_listed_too(results: Path) -> None:
    (results / "throughput" / OLD / "run.json").unlink()
    broken = results / "throughput" / NEW / "run.json"
    broken.unlink()
    broken.mkdir()
    problems = {run.id: run.problem for run in find_runs(results, "throughput")}
    assert problems[OLD] == "no run.json"
    assert problems[NEW].startswith("run.json: ")


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"git": None},
        {"git": "x", "started_at": 3},
        {"params": [1]},
        {"params": {"resolved": 3}},
    ],
)
def test_a_run_json_with_something_else_in_it_is_no_crash(
    results: Path, document: dict[str, object]
) -> None:
    add_run(results, "20260102T120000Z-ccccccc-0009", text=json.dumps(document))
    run = find_runs(results)[1]
    assert (run.verdict, run.sha, run.fingerprint) == ("unreadable", None, None)
    assert run.started_at.startswith("2026-01-02T12:00:00")


def test_folders_that_are_no_runs_are_left_out(results: Path) -> None:
    (results / "chaos" / "seed-1").mkdir(parents=True)
    (results / "chaos" / "seed-1" / "summary.json").write_text("{}")
    (results / ".pruned" / OLD).mkdir(parents=True)
    (results / "throughput" / f".{OLD}").mkdir()
    (results / "index.html").write_text("")
    assert len(find_runs(results)) == 3


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (OLD, OLD),
        ("0001", OLD),
        ("aaaaaaa", OLD),
        (f"throughput/{NEW}", NEW),
        ("faults/", NEWEST),
        ("latest", NEWEST),
        ("latest~1", NEW),
        ("latest:throughput", NEW),
        ("latest:throughput~1", OLD),
    ],
)
def test_a_run_is_found_by_id_part_of_it_or_age(results: Path, name: str, found: str) -> None:
    assert resolve_run(name, results).path.name == found


def test_a_run_is_found_by_the_path_of_its_folder_or_of_a_file_in_it(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = add_run(tmp_path / "kept", OLD)
    (elsewhere / "report.html").write_text("")
    for path in (elsewhere, elsewhere / "report.html", elsewhere / "run.json"):
        assert resolve_run(str(path), results).path == elsewhere
    monkeypatch.chdir(elsewhere.parent)
    assert resolve_run(OLD, results).path == elsewhere
    assert resolve_run(f"./{OLD}/", tmp_path).path == elsewhere


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("bbbbbbb", "is a part of 2 runs: faults/2026"),
        ("nothing", "`task-lab list` shows"),
        (OLD.replace("0001", "0007"), f"did you mean '{OLD}'"),
        ("latest:troughput", "did you mean 'throughput'"),
        ("latest~3", "there are 3"),
        (".", "not the folder of a run"),
    ],
)
def test_a_name_that_is_no_run_or_several_is_refused(
    results: Path, name: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(results)
    with pytest.raises(UsageError, match=problem):
        resolve_run(name, results)


def test_without_any_run_that_is_said(tmp_path: Path) -> None:
    for name in ("latest", "0001"):
        with pytest.raises(UsageError, match=f"there are no(ne| runs in {tmp_path})"):
            resolve_run(name, tmp_path)


def test_an_unreadable_run_can_be_named_and_then_says_what_is_wrong(results: Path) -> None:
    add_run(results, "20260104T000000Z-ccccccc-0009", text="{")
    folder = resolve_run("latest", results)
    with pytest.raises(InvalidRun, match=r"run\.json cannot be read"):
        folder.run()


@pytest.mark.parametrize(
    ("summary", "words"),
    [
        (None, "n/a"),
        ("{", "unreadable"),
        ("[]", "unreadable"),
        ('{"points": []}', "n/a"),
        ('{"points": [{"workload": "sum"}]}', "unreadable"),
        (
            '{"points": [{"workload": "sum", "workers": 3, "end_to_end_per_s": 2842.4}]}',
            "sum 3: 2,842 tasks/s",
        ),
        ('{"rows": [{"pass": true}, {"pass": false}]}', "1 of 2 targets met"),
    ],
)
def test_the_headline_says_what_was_found(tmp_path: Path, summary: str | None, words: str) -> None:
    if summary is not None:
        (tmp_path / "summary.json").write_text(summary)
    assert headline(tmp_path) == words
