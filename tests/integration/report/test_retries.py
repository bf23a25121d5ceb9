"""What a report of retries says, of a run whose every number is known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from task_lab.check.judge import check_run
from task_lab.report.figures.retries import trailing_per_s
from task_lab.report.kinds.retries import RETRIES
from task_lab.report.plots import draw, expected_figures
from task_lab.report.sections import section_html
from task_lab.report.summary import summarise
from task_lab.store import RunFolder

from ...retry_runs import write_retries_run

TOLD = ("name", "foretold", "ledger", "prometheus")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its figures; tests only read it."""
    path = tmp_path_factory.mktemp("results") / "retries_and_dlq" / "20260102T030405Z-0123456-abcd"
    write_retries_run(path)
    check_run(RunFolder(path))
    summarise(path)
    draw(path)
    return path


def summary_of(folder: Path) -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def test_a_run_read_back_from_its_folder_passes(folder: Path) -> None:
    checks = json.loads((folder / "checks.json").read_text())
    assert [c for c in checks["checks"] if c["verdict"] != "PASS"] == []


def test_expectations_stand_beside_what_was_counted(folder: Path) -> None:
    # A warm-up of 200 and a load of 600: 80 % good; a third of 15 % fails once, twice, thrice;
    # four fifths of 5 % use up five attempts, the rest has one.
    dead, retried = 40, 40 * (1 + 2 + 3) + 32 * 4
    assert [tuple(one[name] for name in TOLD) for one in summary_of(folder)["expectations"]] == [
        ("tasks", 800, 800, 800),
        ("succeeded", 760, 760, 760),
        ("dead letters", dead, dead, dead),
        ("messages in tasks.dlq", dead, dead, None),
        ("retries", retried, retried, retried),
        ("attempts", 800 + retried, 800 + retried, 800 + retried),
    ]


def test_attempts_are_counted_as_foretold_and_as_they_came(folder: Path) -> None:
    assert summary_of(folder)["attempts"] == [
        {"attempts": number, "foretold": count, "observed": count}
        for number, count in [(1, 640 + 8), (2, 40), (3, 40), (4, 40), (5, 32)]
    ]


def test_waits_are_told_by_attempt_with_their_bounds(folder: Path) -> None:
    waits = summary_of(folder)["backoff"]
    assert [(w["attempt"], w["low_s"], w["high_s"], w["retries"]) for w in waits] == [
        (1, 0.25, 0.5, 152),
        (2, 0.5, 1.0, 112),
        (3, 1.0, 2.0, 72),
        (4, 1.5, 3.0, 32),
    ]
    for one in waits:
        assert one["low_s"] <= one["wait_s"]["min"] <= one["wait_s"]["max"] <= one["high_s"]
        assert one["outside"] == 0
        assert one["late_s"] == pytest.approx({"p50": 0.02, "p95": 0.02, "max": 0.02})


def test_parts_are_told_of_the_load_alone(folder: Path) -> None:
    parts = {one["part"]: one for one in summary_of(folder)["parts"]}
    assert {name: one["tasks"] for name, one in parts.items()} == {
        **{"good": 480, "flaky-1": 30, "flaky-2": 30, "flaky-3": 30},
        **{"poison": 24, "poison-final": 6},
    }
    assert all(one["as_foretold"] == one["tasks"] for one in parts.values())
    assert parts["poison"]["backoff_s"] == [3.25, 6.5]
    assert 3.25 < parts["poison"]["to_end_s"]["p50"] < 6.5 + 5 * 0.03
    assert parts["good"]["backoff_s"] == [0, 0]


def test_rates_are_of_the_stretch_in_which_every_retry_is_under_way(folder: Path) -> None:
    (rates,) = summary_of(folder)["goodput"]
    begin, end = rates["window_s"]
    assert begin == pytest.approx(6.5)
    assert end == pytest.approx(599 / 60, abs=0.001)
    # 60 a second are offered: 95 % succeed; each brings (0.15 * 2 + 0.04 * 4) attempts more
    assert rates["throughput_per_s"] == pytest.approx(60, rel=0.08)
    assert rates["goodput_per_s"] == pytest.approx(57, rel=0.08)
    assert rates["attempts_per_s"] == pytest.approx(60 * 1.46, rel=0.1)


def test_the_headline_names_what_a_trend_is_drawn_of(folder: Path) -> None:
    headline = {one["name"]: one for one in summary_of(folder)["headline"]}
    assert headline["retries"]["value"] == 368
    assert headline["dead letters"]["value"] == 40
    assert headline["extra attempts per task"]["value"] == pytest.approx(0.46)
    assert headline["goodput"]["unit"] == "tasks/s"
    assert {one["better"] for one in headline.values()} == {"higher", "lower"}


def test_a_missing_dead_letter_shows_as_a_difference_and_not_as_goodput(tmp_path: Path) -> None:
    folder = write_retries_run(tmp_path / "run", tasks=120)
    tasks = pd.read_parquet(folder / "tasks.parquet")
    good = tasks.index[(tasks["task_type"] == "sum") & (tasks["phase"] == "mix-w2-load")]
    tasks.loc[good[:5], "result"] = '{"sum": 16}'
    tasks.to_parquet(folder / "tasks.parquet")
    document = json.loads((folder / "dlq.json").read_text())
    (folder / "dlq.json").write_text(json.dumps({"message_ids": document["message_ids"][1:]}))
    summary = summarise(folder)
    (messages,) = (o for o in summary["expectations"] if o["name"] == "messages in tasks.dlq")
    assert messages["ledger"] == messages["foretold"] - 1
    assert "<b>-1</b>" in section_html(folder, "expectations")
    parts = {one["part"]: one for one in summary["parts"]}
    assert parts["good"]["as_foretold"] == parts["good"]["tasks"] - 5


def test_every_figure_is_drawn_and_the_same_twice(folder: Path) -> None:
    names = expected_figures(dict(summary_of(folder)))
    assert sorted(names) == sorted(
        f"{name}.png"
        for name in (
            *("retries", "dead-letters", "attempts", "backoff"),
            *("time-to-end", "goodput", "latency"),
        )
    )
    before = {path.name: path.read_bytes() for path in (folder / "figures").iterdir()}
    assert {path.name: path.read_bytes() for path in draw(folder)} == before
    for name in names:
        with Image.open(folder / "figures" / name) as picture:
            assert picture.width >= 1200


def test_every_section_of_its_own_can_be_shown(folder: Path) -> None:
    for name in (*RETRIES.sections, "latency", "counts", "checks"):
        assert "Not available" not in section_html(folder, name), name


def test_the_summary_is_the_same_twice_and_reads_as_text(folder: Path) -> None:
    before = [(folder / name).read_bytes() for name in ("summary.json", "summary.md")]
    summarise(folder)
    assert [(folder / name).read_bytes() for name in ("summary.json", "summary.md")] == before
    text = before[1].decode()
    assert "| dead letters | 40 | 40 | 40 |" in text
    assert "| 4 | 32 | " in text


def test_a_mix_in_which_nothing_fails_has_a_report_all_the_same(tmp_path: Path) -> None:
    folder = write_retries_run(
        tmp_path / "run", tasks=60, workers=[1, 2], good=1.0, flaky=0.0, poison=0.0
    )
    summary = summarise(folder)
    assert {path.stem for path in draw(folder)} == {
        *("retries", "dead-letters", "attempts", "goodput", "latency")
    }
    assert len(summary["goodput"]) == 2
    assert all(one["ledger"] == one["foretold"] for one in summary["expectations"])


def test_a_trailing_rate_counts_the_second_before_each_instant() -> None:
    times = np.array([0.1, 0.2, 1.15, np.nan, 5.0])
    grid = np.array([0.0, 0.15, 1.0, 1.12, 1.17, 1.3, 4.0, 5.5])
    assert trailing_per_s(times, grid).tolist() == [0, 1, 2, 1, 2, 1, 0, 1]
