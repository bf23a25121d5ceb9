"""The commands of the run store, as a user types them: what they print, and how they end."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from task_lab import execute, reproduce
from task_lab.check.verdict import Verdict
from task_lab.cli import run_command
from task_lab.errors import InvalidRun
from task_lab.prune import PRUNED, delete_runs, may_be_running
from task_lab.runs import find_runs
from task_lab.store import PROJECT, RunFolder

from .stored_runs import STEADY, A, B, change, store_run, times, write

COMMITTED = PROJECT / "results" / "throughput" / "20261129T130307Z-31f3fd1-ba61"
BENCH = PROJECT / "results" / "bench" / "20261128T220346Z-be30d6a-63cd"

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


@pytest.fixture
def lab(results: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command on `results`; its exit code, output and error output."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_command([*map(str, arguments), "--results", str(results)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def outside_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever holds the temporary folder, it is no checkout of ours."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))


def digest_of(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_list_has_every_run_with_what_it_found(results: Path, lab: Command) -> None:
    store_run(results, A)
    change(store_run(results, B), git__dirty=True, verdict="FAIL")
    code, out, _ = lab("list")
    assert code == 0
    lines = out.splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == [B, A]
    for part in ("FAIL", "2026-01-02 00:00", "bbbbbbb *", "cafe", "sum 1: 1,000 tasks/s"):
        assert part in lines[2]


def test_a_run_that_cannot_be_read_is_in_the_list(results: Path, lab: Command) -> None:
    store_run(results, A)
    path = store_run(results, B) / "run.json"
    path.write_text(path.read_text()[:100])
    code, out, _ = lab("list")
    assert code == 0
    assert "unreadable" in out.splitlines()[2]
    assert "run.json: " in out.splitlines()[2]
    code, out, _ = lab("list", "--json")
    listed = json.loads(out)["runs"]
    assert [one["id"] for one in listed] == [B, A]
    assert (listed[0]["verdict"], listed[1]["problem"]) == (None, None)
    assert listed[1]["headline"] == "sum 1: 1,000 tasks/s"


def test_an_empty_list_is_no_failure_an_unknown_experiment_is(results: Path, lab: Command) -> None:
    assert lab("list")[:2] == (0, f"no runs in {results}\n")
    store_run(results, A)
    code, _, err = lab("list", "troughput")
    assert code == 64
    assert "throughput" in err


def test_a_run_is_shown_with_its_summary_and_its_report(results: Path, lab: Command) -> None:
    folder = store_run(results, A)
    code, out, _ = lab("show", "latest")
    assert code == 0
    assert out.startswith("# throughput: PASS")
    assert out.splitlines()[-2:] == [str(folder / "report.html"), str(folder)]
    document = json.loads(lab("show", "aaaaaaa", "--json")[1])
    assert document["run"] == str(folder)
    assert document["of"]["verdict"] == "PASS"
    assert document["summary"]["points"][0]["workload"] == "sum"


def test_a_run_without_summary_and_report_says_how_it_ended(results: Path, lab: Command) -> None:
    folder = store_run(results, A)
    for name in ("summary.json", "summary.md", "report.html"):
        (folder / name).unlink()
    change(folder, verdict="UNKNOWN", reason="the kernel died")
    code, out, _ = lab("show", A)
    assert code == 0
    assert "throughput: UNKNOWN: the kernel died" in out
    assert "there is no report of it" in out
    assert json.loads(lab("show", A, "--json")[1])["summary"] is None
    code, _, err = lab("open", A)
    assert code == 64
    assert "reanalyse" in err


def test_a_report_is_opened_only_where_there_is_a_screen(
    results: Path, lab: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    page = store_run(results, A) / "report.html"
    assert lab("open", "latest")[:2] == (0, f"{page}\n")
    assert opened == []
    monkeypatch.setenv("DISPLAY", ":0")
    assert lab("open", "latest")[:2] == (0, f"{page}\n")
    assert opened == [page.as_uri()]


@pytest.mark.parametrize(
    ("factor", "code", "word"),
    [(1.0, 0, "No regression shown"), (0.6, 3, "Regression"), (1.5, 0, "higher")],
)
def test_e14_compare_ends_with_0_or_3_and_prints_a_table(
    results: Path, lab: Command, factor: float, code: int, word: str
) -> None:
    store_run(results, A)
    store_run(results, B, {("sum", 1): times(STEADY, factor)})
    found, out, _ = lab("compare", "latest~1", "latest")
    assert found == code
    assert word in out
    assert "| sum | end to end | 1 |" in out
    assert json.loads(lab("compare", A, B, "--json")[1])["exit_code"] == code


def test_e4_compare_ends_with_2_where_nothing_can_be_said(results: Path, lab: Command) -> None:
    store_run(results, A, {("sum", 1): STEADY[:3]})
    store_run(results, B, {("sum", 1): times(STEADY[:3], 0.6)})
    code, out, _ = lab("compare", A, B)
    assert code == 2
    assert "need 4 a side (6 for an interval)" in out


def test_e14_compare_refuses_other_parameters_until_it_is_told(results: Path, lab: Command) -> None:
    store_run(results, A)
    store_run(results, B, asked={"tasks": 500})
    code, out, err = lab("compare", A, B)
    assert (code, out) == (64, "")
    assert "tasks: 2000 → 500" in err
    assert lab("compare", A, B, "--allow-different")[0] == 0


def test_e6_compare_concludes_nothing_across_machines(results: Path, lab: Command) -> None:
    store_run(results, A)
    change(store_run(results, B, {("sum", 1): times(STEADY, 0.5)}), machine={"fingerprint": "beef"})
    assert lab("compare", A, B)[0] == 64
    code, out, _ = lab("compare", A, B, "--allow-other-machine")
    assert code == 2
    assert "Nothing can be said" in out


def test_several_runs_a_side_are_separated_by_commas(results: Path, lab: Command) -> None:
    names = []
    for letter, factor in (("a", 1.0), ("b", 0.6)):
        side = [f"202601{n + 10}T000000Z-{letter * 7}-{n:04x}" for n in range(6)]
        for n, name in enumerate(side):
            store_run(results, name, {("sum", 1): times(STEADY, factor * (1 + n / 100))})
        names.append(",".join(side))
    code, out, _ = lab("compare", *names)
    assert code == 3
    assert "Medians of runs" in out


def test_the_least_difference_that_matters_can_be_told(results: Path, lab: Command) -> None:
    store_run(results, A)
    store_run(results, B, {("sum", 1): times(STEADY, 0.9)})
    assert lab("compare", A, B)[0] == 3
    assert lab("compare", A, B, "--least-percent", "20")[0] == 0
    assert lab("compare", A, B, "--least-percent", "-1")[0] == 64


@pytest.mark.parametrize("committed", [COMMITTED, BENCH], ids=["throughput", "bench"])
def test_a_committed_run_cannot_be_reanalysed_says_so_and_stays_as_it_is(
    committed: Path, lab: Command
) -> None:
    before = digest_of(committed)
    code, out, err = lab("reanalyse", committed)
    assert (code, out) == (4, "")
    assert "is a finished run without its raw files" in err
    assert digest_of(committed) == before


def test_every_command_that_reads_works_on_a_committed_run(lab: Command, tmp_path: Path) -> None:
    assert "sum" in lab("show", COMMITTED)[1]
    assert lab("open", COMMITTED)[0] == 0
    assert lab("compare", COMMITTED, COMMITTED)[0] == 64
    code, out, _ = lab("export", COMMITTED, "--to", tmp_path / "one.tar.gz", "--small")
    assert (code, out) == (0, f"{tmp_path / 'one.tar.gz'}\n")


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".zip"])
@pytest.mark.parametrize("small", [True, False])
def test_an_export_has_the_same_bytes_from_another_copy_at_another_time(
    results: Path, lab: Command, tmp_path: Path, suffix: str, small: bool
) -> None:
    one = store_run(results, A)
    other = store_run(tmp_path / "elsewhere", A)
    for path in other.rglob("*"):
        os.utime(path, (1e9, 1e9))
        path.chmod(0o700)
    targets = [tmp_path / f"{n}{suffix}" for n in range(2)]
    for folder, target in zip((one, other), targets, strict=True):
        arguments = ["export", folder, "--to", target, *(["--small"] if small else [])]
        assert lab(*arguments)[0] == 0
    assert targets[0].read_bytes() == targets[1].read_bytes()
    assert (b"history" in unpacked(targets[0])) is not small


def unpacked(target: Path) -> bytes:
    """All names in an archive."""
    if target.suffix == ".zip":
        with zipfile.ZipFile(target) as archive:
            return "\n".join(archive.namelist()).encode()
    return gzip.decompress(target.read_bytes())


def test_an_export_unpacks_to_a_run_whose_sums_agree(
    results: Path, lab: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store_run(results, A)
    (folder / f".run.json.{os.getpid()}.0123").write_text("cut")
    (folder / "link").symlink_to("/etc/passwd")
    monkeypatch.chdir(tmp_path)
    code, out, _ = lab("export", A)
    assert (code, out) == (0, f"{tmp_path / A}.tar.gz\n")
    with tarfile.open(f"{A}.tar.gz") as archive:
        members = archive.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in members} == {(0, 0, 0, "", 0o644)}
    assert [m.name for m in members] == sorted(m.name for m in members)
    (tmp_path / "again").mkdir()
    subprocess.run(["tar", "-xf", f"{A}.tar.gz", "-C", "again"], check=True)
    again = tmp_path / "again" / "throughput" / A
    subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=again, check=True
    )
    assert set(digest_of(again)) == {
        "SHA256SUMS",
        *("run.json", "summary.json", "summary.md", "report.html", "history.jsonl"),
        "figures/rates.png",
    }
    assert [run.id for run in find_runs(tmp_path / "again")] == [A]


def test_an_export_overwrites_nothing(results: Path, lab: Command, tmp_path: Path) -> None:
    folder = store_run(results, A)
    there = tmp_path / "there.zip"
    there.write_text("mine")
    for target in (there, tmp_path / "x.rar", folder / "x.zip", tmp_path / "no" / "x.zip"):
        assert lab("export", A, "--to", target)[0] == 64
    assert there.read_text() == "mine"
    assert not (folder / "x.zip").exists()
    told = json.loads(lab("export", A, "--to", tmp_path / "x.zip", "--json")[1])
    assert told["bytes"] == (tmp_path / "x.zip").stat().st_size


def days_ago(days: float, number: int = 0) -> str:
    at = datetime.now(UTC) - timedelta(days=days)
    return f"{at:%Y%m%dT%H%M%SZ}-aaaaaaa-{number:04x}"


def test_prune_says_what_goes_and_deletes_it_only_when_told(
    results: Path, lab: Command, outside_git: None
) -> None:
    old, middle, new = (store_run(results, days_ago(days)) for days in (30, 20, 1))
    code, out, _ = lab("prune", "--keep", "1", "--dry-run")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[:2]] == [
        ["delete", f"throughput/{old.name}"],
        ["delete", f"throughput/{middle.name}"],
    ]
    code, _, err = lab("prune", "--keep", "1")
    assert code == 64
    assert "--yes" in err
    assert old.is_dir()
    code, out, _ = lab("prune", "--older-than", "25", "--yes")
    assert (code, out.splitlines()[-1]) == (0, "1 deleted")
    assert (old.exists(), middle.exists(), new.exists()) == (False, True, True)
    told = json.loads(lab("prune", "--keep", "1", "--older-than", "5", "--yes", "--json")[1])
    assert (told["delete"], told["deleted"]) == ([str(middle)], 1)
    assert [run.id for run in find_runs(results)] == [new.name]
    assert not (results / PRUNED).exists()
    assert (results / "index.html").is_file()


def test_prune_has_to_be_told_what_to_keep(lab: Command) -> None:
    code, _, err = lab("prune", "--yes")
    assert code == 64
    assert "--keep N" in err


def test_prune_never_takes_the_newest_pass_of_an_experiment(
    results: Path, lab: Command, outside_git: None
) -> None:
    older_pass = store_run(results, days_ago(30))
    newest_pass = store_run(results, days_ago(20))
    failed = change(store_run(results, days_ago(10)), verdict="FAIL")
    code, out, _ = lab("prune", "--keep", "0", "--yes")
    assert code == 0
    assert f"keep    throughput/{newest_pass.name}  PASS  (the newest PASS of throughput)" in out
    assert (older_pass.exists(), newest_pass.exists(), failed.exists()) == (False, True, False)


def test_prune_never_takes_a_run_that_git_tracks(results: Path, lab: Command) -> None:
    kept, gone, last = (store_run(results, days_ago(days)) for days in (30, 20, 1))
    for command in (
        ["git", "init", "--quiet", str(results.parent)],
        ["git", "-C", str(results), "add", "--force", f"throughput/{kept.name}/run.json"],
    ):
        subprocess.run(command, check=True)
    _, out, _ = lab("prune", "--keep", "0", "--yes")
    assert f"keep    throughput/{kept.name}  PASS  (git tracks it)" in out
    assert (kept.exists(), gone.exists(), last.exists()) == (True, False, True)


def test_prune_deletes_nothing_while_git_does_not_answer(
    results: Path, lab: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = store_run(results, days_ago(30))
    store_run(results, days_ago(1))
    (results.parent / ".git").mkdir()
    code, _, err = lab("prune", "--keep", "0", "--yes")
    assert code == 70
    assert "none is deleted" in err
    monkeypatch.setenv("PATH", "")
    assert lab("prune", "--keep", "0", "--yes")[0] == 70
    assert old.is_dir()


def test_prune_leaves_a_run_that_may_still_be_running(
    results: Path, lab: Command, outside_git: None
) -> None:
    store_run(results, days_ago(0.5))
    running = change(store_run(results, days_ago(0.1)), ended_at=None, verdict="UNKNOWN")
    killed = change(store_run(results, days_ago(3)), ended_at=None, verdict="UNKNOWN")
    for path in (killed, *killed.iterdir()):
        os.utime(path, (time.time() - 7200,) * 2)
    _, out, _ = lab("prune", "--keep", "0", "--yes")
    assert "(it may still be running)" in out
    assert (running.exists(), killed.exists()) == (True, False)


def test_prune_takes_an_unreadable_run_by_the_time_in_its_name(
    results: Path, lab: Command, outside_git: None
) -> None:
    store_run(results, days_ago(1))
    cut = store_run(results, days_ago(40))
    (cut / "run.json").write_text("{")
    nameless = store_run(results, "copy-of-a-run")
    (nameless / "run.json").write_text("{")
    for folder in (cut, nameless):
        for path in (folder, *folder.iterdir()):
            os.utime(path, (time.time() - 7200,) * 2)
    _, out, _ = lab("prune", "--older-than", "30", "--yes")
    assert (cut.exists(), nameless.exists()) == (False, True)
    assert "when it was started cannot be told" in out


def test_a_prune_that_is_cut_leaves_no_half_run_in_the_list(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = store_run(results, days_ago(30)), store_run(results, days_ago(20))

    def cut(path: Path, **_: object) -> None:
        (path / "run.json").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("shutil.rmtree", cut)
        delete_runs(results, find_runs(results)[::-1])
    assert [run.id for run in find_runs(results)] == [second.name]
    assert not first.exists()
    assert list(results.glob("*/*/run.json")) == [second / "run.json"]
    assert len(delete_runs(results, find_runs(results))) == 1
    assert list(results.rglob("run.json")) == []


def test_a_run_that_somebody_else_deleted_is_no_error(results: Path) -> None:
    run = store_run(results, A)
    listed = find_runs(results)
    assert len(delete_runs(results, listed)) == 1
    assert delete_runs(results, listed) == []
    assert not run.exists()
    assert may_be_running(listed[0], datetime.now(UTC)) is False


def rerun(results: Path, factor: float, verdict: Verdict) -> Callable[..., Verdict]:
    """Stands for an execution: the files that a run of that speed leaves."""

    def execute_run(folder: RunFolder, asked: Mapping[str, Any]) -> Verdict:
        made = store_run(
            results.parent / "made", folder.path.name, {("sum", 1): times(STEADY, factor)}
        )
        for name in ("summary.json", "summary.md", "report.html"):
            (folder / name).write_bytes((made / name).read_bytes())
        folder.update_run(verdict=verdict, asked_in_the_end=dict(asked), ended="completed")
        return verdict

    return execute_run


@pytest.mark.parametrize(
    ("factor", "verdict", "code"),
    [
        (1.0, Verdict.PASS, 2),  # this machine is not the one of the original
        (1.0, Verdict.FAIL, 1),
    ],
)
def test_a_run_is_reproduced_with_what_it_had_and_compared(
    results: Path,
    lab: Command,
    monkeypatch: pytest.MonkeyPatch,
    factor: float,
    verdict: Verdict,
    code: int,
) -> None:
    store_run(results, A, asked={"tasks": 500, "seed": 9, "workloads": "sum"})
    monkeypatch.setattr(execute, "execute_run", rerun(results, factor, verdict))
    monkeypatch.setattr("task_lab.doctor.require_fit", lambda: None)
    found, out, err = lab("reproduce", A, "--quiet")
    assert found == code
    assert "what changed from A to B" in out
    assert "not as it was: commit: aaaaaaa → " in err
    assert "not as it was: machine: cafe → " in err
    again = RunFolder(Path(out.splitlines()[-1]))
    asked = {"tasks": 500, "seed": 9, "workloads": "sum", "runtime": "native"}
    assert again.run()["params"]["asked"] == again.run()["asked_in_the_end"] == asked
    original = RunFolder(results / "throughput" / A).run()
    assert again.run()["params"]["resolved"] == original["params"]["resolved"]


def test_a_reproduced_run_that_is_slower_ends_as_a_regression(
    results: Path, lab: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from task_lab.collect.host import machine

    change(store_run(results, A), machine=machine())
    monkeypatch.setattr(execute, "execute_run", rerun(results, 0.6, Verdict.PASS))
    monkeypatch.setattr("task_lab.doctor.require_fit", lambda: None)
    code, out, err = lab("reproduce", A, "--quiet", "--json")
    told = json.loads(out)
    assert (code, told["verdict"], told["comparison"]["verdict"]) == (3, "PASS", "regression")
    assert "machine" not in err


def test_a_run_whose_repetition_ends_early_says_where_it_is(
    results: Path, lab: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: RunFolder, asked: Mapping[str, Any]) -> Verdict:
        raise InvalidRun("the generator was the limit")

    store_run(results, A)
    monkeypatch.setattr(execute, "execute_run", fail)
    monkeypatch.setattr("task_lab.doctor.require_fit", lambda: None)
    code, out, err = lab("reproduce", A, "--quiet")
    assert code == 4
    assert Path(out.splitlines()[-1]).parent == results / "throughput"
    assert "the generator was the limit" in err


def test_a_definition_that_changed_since_is_not_taken_for_the_same(
    results: Path, lab: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store_run(results, A)
    change(folder, params__resolved__warmup_tasks=777)
    code, _, err = lab("reproduce", A)
    assert code == 64
    assert "warmup_tasks: 777 → 200" in err
    assert "--allow-different" in err
    assert len(find_runs(results)) == 1
    monkeypatch.setattr(execute, "execute_run", rerun(results, 1.0, Verdict.PASS))
    monkeypatch.setattr("task_lab.doctor.require_fit", lambda: None)
    _, out, _ = lab("reproduce", A, "--quiet", "--allow-different")
    assert "parameter warmup_tasks: 777 → 200" in out


def test_an_experiment_nobody_knows_is_repeated_from_the_runs_own_definition(
    results: Path,
) -> None:
    folder = store_run(results, A)
    change(folder, experiment="mine")
    own = (PROJECT / "experiments" / "definitions" / "throughput.toml").read_text("utf-8")
    (folder / "definition.toml").write_text(own)
    plan = reproduce.again(RunFolder(folder))
    assert plan.definition == str(folder / "definition.toml")


def test_a_bench_is_repeated_by_its_own_command(lab: Command) -> None:
    code, _, err = lab("reproduce", BENCH)
    assert code == 64
    assert "task-lab bench --cycles 5 --scale 1" in err


@pytest.mark.parametrize(
    "command", ["show", "open", "reanalyse", "report", "reproduce", "export", "compare"]
)
def test_a_name_that_is_no_run_is_usage_and_a_cut_run_is_named(
    results: Path, lab: Command, command: str
) -> None:
    cut = store_run(results, A)
    (cut / "run.json").write_text("{")
    (cut / "report.html").unlink()
    other = [B] if command == "compare" else []
    store_run(results, B)
    assert lab(command, "nothing", *other)[0] == 64
    code, _, err = lab(command, A, *other)
    assert code == (64 if command == "open" else 4)
    assert A in err


def test_what_is_no_json_in_a_summary_is_named(results: Path, lab: Command) -> None:
    folder = store_run(results, A)
    write(folder / "summary.json", {})
    (folder / "summary.json").write_text('{"points": NaN}')
    assert lab("list")[0] == 0
    code, _, err = lab("show", A, "--json")
    assert code == 4
    assert "summary.json cannot be read: NaN" in err
