"""A whole bench, as small as it gets, on real processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from task_lab.bench.rows import Group
from task_lab.cli import run_command
from task_lab.doctor import examine
from task_lab.store import RunFolder

pytestmark = [
    # `make test-bench` runs it, whatever the mark.
    pytest.mark.slow,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not all(f.is_met for f in examine()), reason="see `task-lab doctor`"),
]


def test_a_bench_measures_what_was_asked_for_and_leaves_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--only", "bulk", "--cycles", "1", "--scale", "0.01", "--json", "--quiet"]
    code = run_command(["bench", *small, "--results", str(tmp_path)])
    said = json.loads(capsys.readouterr().out)

    folder = RunFolder(Path(said["run"]))
    run, summary = folder.run(), folder.read_json("summary.json")
    (row,) = summary["rows"]
    # How fast this machine is just now is no question of the test's.
    assert (code, run["verdict"]) == ((0, "PASS") if row["pass"] else (1, "FAIL"))
    assert said["verdict"] == run["verdict"]
    assert (row["name"], row["unit"]) == ("bulk_submit_per_s", "tasks/s")
    assert row["value"] > 0
    assert summary["tasks_checked"] == 2_000 + 2_000
    assert set(summary["left_out"]) == set(Group) - {Group.BULK}
    assert (run["ended"], run["params"]["resolved"]["scale"]) == ("completed", 0.01)
    assert {"postgres", "rabbitmq"} <= set(run["versions"])
    assert [event["event"] for event in folder.events()] == ["group_started", "group_ended"]
    assert (folder / "report.html").exists()
    assert folder.path.name in (tmp_path / "index.html").read_text()
    for name in ("run.json", "summary.json", "measurements.jsonl", "events.jsonl", "report.html"):
        text = (folder / name).read_text()
        assert "postgresql://" not in text and "amqp://" not in text
