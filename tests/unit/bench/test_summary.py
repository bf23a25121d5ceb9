"""What a bench says of itself: verdict, table, text."""

from __future__ import annotations

import json

import pytest
from task_lab.bench.rows import TARGETS, Group
from task_lab.bench.summary import (
    number_text,
    spread_text,
    summary_of,
    summary_text,
    table_text,
    target_text,
    verdict_of,
)
from task_lab.check.verdict import Verdict

from .lines import problem, series, whole

ALL = list(Group)


def test_a_bench_whose_rows_all_pass_passes() -> None:
    summary = summary_of(whole(), ALL)
    assert verdict_of(summary) == (Verdict.PASS, "")
    assert all(row["pass"] is True for row in summary["rows"])
    assert summary["tasks_checked"] == 60_000


def test_the_summary_is_json_with_the_agreed_names() -> None:
    summary = json.loads(json.dumps(summary_of(whole(), ALL), allow_nan=False))
    assert [row["name"] for row in summary["rows"]] == [target.name for target in TARGETS]
    assert {"name", "value", "target", "unit", "pass"} <= summary["rows"][0].keys()
    assert set(summary["figures"][0]) == {"name", "value", "unit"}
    assert set(summary["profile"]) == {"drain", "end_to_end"}


def test_one_row_that_misses_its_target_fails_the_bench() -> None:
    lines = [*whole(), *series("bulk_submit_per_s", 1, 1, 1, 1, 1, group=Group.BULK)]
    assert verdict_of(summary_of(lines, ALL)) == (Verdict.FAIL, "1 of 20 rows: bulk_submit_per_s")


def test_a_row_that_was_not_measured_fails_the_bench() -> None:
    lines = [*whole(), problem(Group.PEER, "MissingPeer: not installed")]
    summary = summary_of(lines, ALL)
    assert verdict_of(summary)[0] is Verdict.FAIL
    (row,) = [row for row in summary["rows"] if not row["pass"]]
    assert (row["name"], row["value"]) == ("drain_1w_per_pgqueuer", None)
    assert row["note"] == "not measured: MissingPeer: not installed"


def test_a_promise_that_was_not_kept_fails_the_bench_and_is_its_reason() -> None:
    lines = [*whole(), problem(Group.FLAMES, "2 tasks were lost", is_wrong=True)]
    verdict, reason = verdict_of(summary_of(lines, ALL))
    assert verdict is Verdict.FAIL
    assert reason == "nothing counts as fast that promises less: flames: 2 tasks were lost"


def test_flame_graphs_that_could_not_be_made_leave_it_unknown() -> None:
    lines = [problem(Group.FLAMES, "py-spy is not installed")]
    summary = summary_of(lines, [Group.FLAMES])
    assert verdict_of(summary) == (Verdict.UNKNOWN, "py-spy is not installed")


def test_rows_of_groups_that_were_not_asked_for_are_left_out_and_the_summary_says_so() -> None:
    summary = summary_of(whole(), [Group.BULK])
    assert [row["name"] for row in summary["rows"]] == ["bulk_submit_per_s"]
    assert summary["left_out"] == [group for group in Group if group is not Group.BULK]
    assert "Not asked for: drain, peer" in summary_text({"verdict": "PASS"}, summary)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "n/a"),
        (16_012.4, "16,012"),
        (1_000, "1,000"),
        (999.9, "999.9"),
        (490.0, "490"),
        (99.96, "100"),
        (2.8667, "2.87"),
        (0.05123, "0.0512"),
        (0.0, "0"),
    ],
)
def test_a_number_has_the_digits_it_carries(value: float | None, text: str) -> None:
    assert number_text(value) == text


def test_targets_and_spreads_are_told_as_people_write_them() -> None:
    rows = {row["name"]: row for row in summary_of(whole(), ALL)["rows"]}
    assert target_text(rows["drain_1w_per_s"]) == "≥ 15,000"
    assert target_text(rows["idle_p50_ms"]) == "≤ 6"
    assert target_text(rows["million_rows_buffers"]) == "1 ± 0.05"
    assert spread_text(rows["drain_1w_per_s"]) == "15,500 to 16,500"
    assert spread_text(rows["idle_p50_ms"]) == ""


def test_the_table_has_a_line_for_each_row_with_pass_or_fail() -> None:
    lines = [*whole(), problem(Group.BULK, "no broker")]
    head, *body = table_text(summary_of(lines, ALL)).splitlines()
    assert head.split()[:3] == ["row", "value", "target"]
    assert len(body) == len(TARGETS)
    (failed,) = [line for line in body if "FAIL" in line]
    assert "bulk_submit_per_s" in failed and "n/a" in failed and "no broker" in failed
    assert sum("pass" in line for line in body) == len(TARGETS) - 1


def test_a_bench_without_rows_has_no_table() -> None:
    assert table_text(summary_of([], [Group.FLAMES])) == ""


def test_the_text_shows_the_verdict_its_reason_and_every_row() -> None:
    summary = summary_of(whole(), ALL)
    text = summary_text({"verdict": "FAIL", "reason": "because"}, summary)
    assert text.startswith("# bench: FAIL\n\nbecause\n")
    assert all(f"| `{target.name}` |" in text for target in TARGETS)
    assert "60,000 tasks were accepted" in text
    assert "Cores that others used meanwhile: drain 0.02." in text
