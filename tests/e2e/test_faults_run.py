"""A small run of the experiment on faults: real processes are killed and frozen; all is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from task_lab.check.judge import check_run
from task_lab.doctor import examine
from task_lab.ipynb import code_cells, read_notebook, tags
from task_lab.report.plots import draw
from task_lab.report.render import render_html
from task_lab.report.sections import section_html
from task_lab.report.summary import summarise
from task_lab.run import open_experiment
from task_lab.store import PROJECT, RunFolder

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not all(f.is_met for f in examine()), reason="see `task-lab doctor`"),
]

# Few enough that a machine which does other things as well keeps up.
TASKS, PER_S = 400, 20
PLAN = "kill worker-1 at 4 for 0.5; freeze worker-2 at 8 for 1; kill relay at 11 for 0.5"
SETTINGS = {
    "TASK_PLATFORM_LEASE_S": "2",
    "TASK_PLATFORM_RENEW_S": "0.5",
    "TASK_PLATFORM_REAPER_INTERVAL_S": "0.2",
}
# What the machine that the tests run on may be too busy for.
OF_THE_MACHINE = {"generator_not_the_limit"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunFolder]:
    """A run up to its checks; nothing of it runs any more."""
    definition = tmp_path_factory.mktemp("definition") / "faults.toml"
    text = (PROJECT / "experiments" / "definitions" / "faults.toml").read_text("utf-8")
    short = "".join(f'{name} = "{value}"\n' for name, value in SETTINGS.items())
    definition.write_text(text.replace("[settings]\n", f"[settings]\n{short}"), "utf-8")
    exp = open_experiment(
        str(definition),
        results=tmp_path_factory.mktemp("results"),
        tasks=TASKS,
        per_s=PER_S,
        faults=PLAN,
    )
    exp.up()
    exp.measure()
    exp.collect()
    exp.check()
    exp.close()
    yield RunFolder(exp.folder)


def checks_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in document["checks"]}


def test_every_task_is_accounted_for_whatever_was_killed(folder: RunFolder) -> None:
    checks = checks_of(folder.read_json("checks.json"))
    red = {name: one["detail"] for name, one in checks.items() if one["verdict"] != "PASS"}
    assert red.keys() <= OF_THE_MACHINE, red
    counts = checks["history"]["observed"]
    warmup = folder.run()["params"]["resolved"]["warmup_tasks"]
    assert counts["ok"] + counts["unknown"] == TASKS + min(warmup, TASKS)
    assert counts["lost"] == counts["unexpected"] == counts["duplicated"] == 0
    assert checks["faults_bit"]["expected"] == {
        "kill worker-1": 1,
        "freeze worker-2": 1,
        "kill relay": 1,
    }


def test_f4_nothing_is_checked_before_all_is_healed_settled_and_drained(folder: RunFolder) -> None:
    names = [event["event"] for event in folder.events()]
    last = {name: place for place, name in enumerate(names)}
    order = ["fault_injected", "fault_healed", "healed", "phase_ended", "settled", "collected"]
    assert [last[name] for name in order] == sorted(last[name] for name in order)
    assert last["collected"] < names.index("checked")
    (ended,) = [one for one in folder.events() if one.get("phase", "").endswith("-load")
                and one["event"] == "phase_ended"]  # fmt: skip
    assert ended["drained"]


def test_the_check_is_repeatable_from_disk_alone(folder: RunFolder) -> None:
    before = folder.read_json("checks.json")
    assert check_run(folder) == before


def test_the_report_tells_of_each_fault_and_of_its_cost(folder: RunFolder) -> None:
    summary = summarise(folder.path)
    assert [(one["kind"], one["target"]) for one in summary["faults"]] == [
        ("kill", "worker-1"),
        ("freeze", "worker-2"),
        ("kill", "relay"),
    ]
    for fault in summary["faults"]:
        assert fault["bit"]
        assert fault["down_s"] > 0
        assert fault["baseline_per_s"] > 0
    assert {one.name for one in draw(folder.path)} >= {
        "throughput-effect.png",
        "latency-effect.png",
        "backlog-effect.png",
    }
    source = read_notebook(PROJECT / "notebooks" / "03_faults.ipynb")
    shown = [tag.removeprefix("section:") for cell in code_cells(source) for tag in tags(cell)
             if tag.startswith("section:")]  # fmt: skip
    # Without the notebook's calibration there is no floor, and nothing else may be missing.
    missing = [name for name in shown if "Not available" in section_html(folder.path, name)]
    assert missing == []
    page = render_html(folder.path).read_text("utf-8")
    assert "kill worker-1" in page
