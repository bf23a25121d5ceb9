import json
from pathlib import Path

import pandas as pd
import pytest
from task_lab.check.evidence import RawFilesGone
from task_lab.errors import Unknown, UsageError
from task_lab.report.summary import summarise
from task_lab.report.written import read_summary
from task_lab.schema import SCHEMA

from ...run_folders import FakeRun, write_run


def test_the_summary_has_the_names_other_programs_rely_on(reported: Path) -> None:
    summary = json.loads((reported / "summary.json").read_text())
    assert summary["schema"] == SCHEMA
    assert [(p["workload"], p["workers"]) for p in summary["points"]] == [
        ("sum", 1),
        ("sum", 3),
        ("sleep", 1),
        ("sleep", 3),
    ]
    for point in summary["points"]:
        assert point["tasks"] == 400
        for rate in ("submit_per_s", "drain_per_s", "end_to_end_per_s"):
            assert point[rate] > 0
        for latency in ("answer_s", "queue_wait_s", "end_to_end_s"):
            assert list(point[latency]) == ["p50", "p95", "p99"]
            assert 0 < point[latency]["p50"] <= point[latency]["p95"] <= point[latency]["p99"]
    assert set(summary["points"][0]["efficiency"]) == {"submit", "drain", "end_to_end"}
    assert summary["points"][2]["efficiency"] is None
    total = len(pd.read_parquet(reported / "tasks.parquet"))
    assert summary["counts"] == {"client": total, "ledger": total, "prometheus": total}


def test_the_points_are_the_run_that_was_written(reported: Path) -> None:
    one, three = read_summary(reported)["points"][2:]
    assert one["drain_per_s"] == pytest.approx(480, rel=0.05)
    assert three["drain_per_s"] == pytest.approx(1420, rel=0.05)


def test_summarising_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", FakeRun(rounds=6, tasks=60, drain_tasks=60))
    summarise(folder)
    first = [(folder / name).read_bytes() for name in ("summary.json", "summary.md")]
    summarise(folder)
    assert [(folder / name).read_bytes() for name in ("summary.json", "summary.md")] == first


def test_a_difference_between_the_counts_is_printed(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", FakeRun(rounds=1, tasks=30, drain_tasks=30))
    path = folder / "metrics" / "processed_first.json"
    document = json.loads(path.read_text())
    document["series"][0]["points"][0][1] = 4.0
    path.write_text(json.dumps(document))
    summary = summarise(folder)
    assert summary["reconciliation"]["prometheus_minus_ledger"] == -4
    assert "before a worker's first scrape" in summary["reconciliation"]["notes"][0]


def test_a_run_without_a_floor_or_metrics_still_has_its_rates(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", FakeRun(rounds=1, tasks=30, drain_tasks=30))
    (folder / "floor.json").write_text('{"reason": "no room"}')
    for path in (folder / "metrics").iterdir():
        path.unlink()
    summary = summarise(folder)
    assert summary["points"][0]["drain_per_s"] > 0
    assert summary["points"][0]["efficiency"] is None
    assert summary["counts"]["prometheus"] is None


@pytest.mark.parametrize("name", ["tasks.parquet", "history.jsonl", "load.json"])
def test_missing_raw_data_gives_no_summary(tmp_path: Path, name: str) -> None:
    folder = write_run(tmp_path / "run", FakeRun(rounds=1, tasks=30, drain_tasks=30))
    (folder / name).unlink()
    with pytest.raises(RawFilesGone, match=f"is a finished run without its raw files.*no {name}"):
        summarise(folder)
    with pytest.raises(Unknown, match=r"no summary\.json"):
        read_summary(folder)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no run\.json"):
        summarise(tmp_path)
