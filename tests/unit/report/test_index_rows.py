"""One line for each run, whatever state its files are in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from task_lab.report.index.page import index_html
from task_lab.report.index.rows import Row, read_rows
from task_lab.report.tables import SIGNS

NAME = "20260304T050607Z-abcdef0-0001"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
RUN = st.dictionaries(
    st.sampled_from(["verdict", "started_at", "git", "machine", "params", "reason", "runtime"]),
    JSON,
)
SUMMARY = JSON | st.dictionaries(st.sampled_from(["headline", "points", "rows"]), JSON)


def run(results: Path, document: object, name: str = NAME) -> Path:
    folder = results / "faults" / name
    folder.mkdir(parents=True, exist_ok=True)
    text = document if isinstance(document, str) else json.dumps(document)
    (folder / "run.json").write_text(text)
    return folder


def only(results: Path) -> Row:
    (row,) = read_rows(results)
    return row


@pytest.mark.parametrize("document", ["{", "", "[]", "null", '"text"', "{}", "\x00", '{"verdict":'])
def test_a_run_that_cannot_be_read_says_so_and_is_dated_by_its_name(
    tmp_path: Path, document: str
) -> None:
    run(tmp_path, document)
    row = only(tmp_path)
    assert row.found.startswith("unreadable: ")
    assert (row.verdict, row.started) == ("UNKNOWN", "2026-03-04 05:06:07")


def test_a_broken_summary_leaves_the_rest_of_the_line(tmp_path: Path) -> None:
    folder = run(tmp_path, {"verdict": "FAIL", "git": {"sha": "abcdef0123", "dirty": True}})
    (folder / "summary.json").write_text('{"points": [{}]}')
    row = only(tmp_path)
    assert (row.verdict, row.commit, row.dirty) == ("FAIL", "abcdef0", True)
    assert row.found == "summary unreadable: KeyError: 'end_to_end_per_s'"


def test_a_verdict_nobody_knows_is_unknown(tmp_path: Path) -> None:
    run(tmp_path, {"verdict": "SPLENDID"})
    assert only(tmp_path).verdict == "UNKNOWN"


def test_times_are_told_in_utc(tmp_path: Path) -> None:
    run(tmp_path, {"verdict": "PASS", "started_at": "2026-01-02T03:04:05.678+02:00"})
    assert only(tmp_path).started == "2026-01-02 01:04:05"


def test_why_is_told_of_a_run_that_did_not_pass_alone(tmp_path: Path) -> None:
    run(tmp_path, {"verdict": "PASS", "reason": "all well"})
    assert only(tmp_path).reason == ""
    run(tmp_path, {"verdict": "FAIL", "reason": "x" * 1000})
    assert 200 < len(only(tmp_path).reason) < 300


def test_runs_are_of_one_kind_that_were_asked_for_the_same(tmp_path: Path) -> None:
    asked = {"tasks": 200, "workers": [1, 3], "runtime": "auto"}
    resolved = {"seed": 1}
    run(tmp_path, {"verdict": "PASS", "params": {"asked": asked, "resolved": resolved}})
    assert only(tmp_path).asked == "runtime = auto, tasks = 200, workers = [1, 3]"
    run(tmp_path, {"verdict": "PASS", "params": {"asked": {}, "resolved": resolved}})
    assert only(tmp_path).asked == ""
    run(tmp_path, {"verdict": "PASS", "params": {"resolved": {"cycles": 5}}})
    assert only(tmp_path).asked == "cycles = 5"


def test_what_is_no_run_has_no_line(tmp_path: Path) -> None:
    (tmp_path / "chaos" / "seed-1").mkdir(parents=True)
    (tmp_path / "chaos" / "seed-1" / "summary.json").write_text("{}")
    (tmp_path / "index.html").write_text("")
    assert read_rows(tmp_path) == []
    assert read_rows(tmp_path / "nowhere") == []


@given(document=RUN, summary=SUMMARY)
@settings(
    max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_any_documents_make_a_line_and_a_page(tmp_path: Path, document: Any, summary: Any) -> None:
    folder = run(tmp_path, document)
    (folder / "summary.json").write_text(json.dumps(summary))
    row = only(tmp_path)
    assert row.verdict in SIGNS
    assert f'<tr id="faults/{NAME}"' in index_html([row, row])
