"""F7: every sabotage of a run is noticed, by the check that is there for it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from task_lab.errors import UsageError
from task_lab.mutation.bases import BASES
from task_lab.mutation.copies import Copy
from task_lab.mutation.live import LIVE
from task_lab.mutation.sabotage import ALL, Sabotage
from task_lab.mutation.sabotages import SABOTAGES, sabotages_of
from task_lab.mutation.suite import is_proven, killed, line, no_base
from task_lab.mutation.trial import (
    UNTOUCHED,
    Trial,
    judge_anew,
    try_sabotage,
    try_untouched,
)
from task_lab.report.plots import expected_figures
from task_lab.report.records import RunRecords
from task_lab.report.summary import build_summary
from task_lab.spec import load_definition, resolve
from task_lab.store import RunFolder

from ..run_folders import FakeRun, write_run

KIND = "throughput"
EVERY = [one for group in SABOTAGES.values() for one in group]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "mutation.md"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which everything is right, with all that a finished one leaves."""
    folder = tmp_path_factory.mktemp("base") / "run"
    rates = {("sum", 1): 2900.0, ("sum", 3): 2700.0}
    write_run(folder, FakeRun(rounds=1, tasks=40, drain_tasks=60, rates=rates))
    run = RunFolder(folder).run()
    run["params"]["resolved"]["workloads"] = run["params"]["resolved"]["workloads"][:1]
    RunFolder(folder).update_run(params=run["params"])
    (folder / "figures").mkdir()
    figures = expected_figures(build_summary(RunRecords(folder)))
    for name in ("report.html", "report.ipynb", *(f"figures/{name}" for name in figures)):
        (folder / name).touch()
    return folder


def test_the_untouched_run_passes(base: Path, tmp_path: Path) -> None:
    trial = try_untouched(KIND, base, tmp_path)
    assert trial.outcome is not None
    assert (trial.outcome.verdict, trial.outcome.reason) == ("PASS", "")
    assert trial.is_caught


@pytest.mark.parametrize("sabotage", sabotages_of(KIND), ids=lambda one: one.change.__name__)
def test_f7_a_sabotage_is_noticed_by_the_check_that_is_there_for_it(
    base: Path, tmp_path: Path, sabotage: Sabotage
) -> None:
    trial = try_sabotage(sabotage, KIND, base, tmp_path)
    assert trial.is_caught, line(trial)
    assert list(tmp_path.iterdir()) == []


def test_a_saturation_run_that_ended_with_its_warmup_is_judged_and_unknown(tmp_path: Path) -> None:
    fake = FakeRun(rounds=1, drains=0, tasks=200, rates={("sleep", 1): 480.0})
    copy = Copy(write_run(tmp_path / "run", fake), tmp_path / "warmup")
    history = [one for one in copy.lines("history.jsonl") if one["phase"] == "sleep-w1-warmup"]
    copy.write_lines("history.jsonl", history)
    sent = {one["task_id"] for one in history}
    copy.drop_tasks(set(copy.tasks()["id"]) - sent)
    copy.forget_events(lambda event: event.get("phase") == "sleep-w1-r01")
    copy.count_more(-200)
    spec = resolve(load_definition("saturation"), {"per_s": 60.0, "fractions": "0.5,1"})
    resolved = spec.model_copy(update={"warmup_tasks": 200}).model_dump(mode="json")
    copy.folder.update_run(params={"asked": {}, "resolved": resolved})
    outcome = judge_anew(copy.folder)
    assert (outcome.verdict, outcome.noticed_by) == ("UNKNOWN", ("phases_complete",))
    assert outcome.reason == (
        "phases_complete: not run in full: the ladder of sleep with 1 workers"
    )


def test_a_sabotage_that_changes_nothing_survives_and_is_told(base: Path, tmp_path: Path) -> None:
    def do_nothing(_copy: Copy) -> None:
        """Nothing went wrong."""

    sabotage = EVERY[0].__class__(do_nothing, EVERY[0].verdict, EVERY[0].noticed_by)
    trials = [
        try_untouched(KIND, base, tmp_path),
        try_sabotage(sabotage, KIND, base, tmp_path),
        try_sabotage(EVERY[0], KIND, base, tmp_path),
    ]
    assert killed(trials) == {"caught": 1, "tried": 2}
    assert not is_proven(trials)
    assert "SURVIVED" in line(trials[1])


def test_the_right_verdict_by_the_wrong_check_is_no_catch(base: Path, tmp_path: Path) -> None:
    sabotage = EVERY[0].__class__(EVERY[0].change, EVERY[0].verdict, "times_in_order")
    assert not try_sabotage(sabotage, KIND, base, tmp_path).is_caught


def test_a_base_that_does_not_pass_proves_nothing(base: Path, tmp_path: Path) -> None:
    copy = Copy(base, tmp_path / "red")
    EVERY[0].change(copy)
    assert judge_anew(copy.folder).verdict == "FAIL"
    trial = try_untouched(KIND, copy.folder.path, tmp_path)
    assert not is_proven([trial])
    assert "BROKEN" in line(trial)


def test_a_run_that_did_not_come_about_is_told_and_proves_nothing() -> None:
    trial = no_base("faults", UsageError("no such parameter"))
    assert not is_proven([trial])
    assert "BROKEN" in line(trial)
    assert "no such parameter" in line(trial)


@pytest.mark.parametrize("kind", sorted(BASES))
def test_what_is_asked_of_a_base_is_known_to_its_experiment(kind: str) -> None:
    definition, asked = BASES[kind]
    assert resolve(load_definition(definition), asked).kind == kind


def test_nothing_tried_is_nothing_proven() -> None:
    assert not is_proven([])
    assert not is_proven([Trial(KIND, UNTOUCHED, EVERY[0].verdict, "", None)])


def test_every_sabotage_has_a_name_of_its_own_and_a_story() -> None:
    assert [name for name, n in Counter(one.name for one in EVERY).items() if n > 1] == []
    assert all(one.story and set(one.kinds) <= set(ALL) for one in EVERY)
    assert len(EVERY) >= 20


def test_the_page_has_every_sabotage_with_its_verdict_and_who_notices() -> None:
    rows = re.findall(
        r"^\| ([^|]+) \| ([^|]+) \| (\w+) \| `(\w+)` \|", PAGE.read_text("utf-8"), re.M
    )
    told = {(name, verdict, by) for name, _, verdict, by in rows}
    expected = {(one.name, one.verdict.value, one.noticed_by) for one in EVERY}
    expected |= {(one.name, one.verdict.value, one.noticed_by) for one in LIVE}
    assert told == expected
    assert len(rows) == len(expected)
