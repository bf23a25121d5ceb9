"""The run folder: whole documents, lines that only grow, and a truthful start."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from task_lab.errors import UsageError
from task_lab.schema import SCHEMA
from task_lab.store import (
    RunFolder,
    Unreadable,
    create_run,
    read_json,
    read_lines,
    write_atomically,
)


def new_folder(results: Path, sha: str | None = "0123456789abcdef") -> RunFolder:
    return create_run("throughput", {"git": {"sha": sha, "dirty": False}}, results=results)


def test_a_new_run_says_unknown_and_crashed_until_somebody_knows_better(tmp_path: Path) -> None:
    run = new_folder(tmp_path).run()
    assert (run["verdict"], run["ended"], run["ended_at"]) == ("UNKNOWN", "crashed", None)
    assert (run["schema"], run["experiment"]) == (SCHEMA, "throughput")


@pytest.mark.parametrize(("sha", "part"), [("0123456789abcdef", "0123456"), (None, "nogit00")])
def test_the_folder_is_named_by_time_commit_and_chance(
    tmp_path: Path, sha: str | None, part: str
) -> None:
    stamp, commit, chance = new_folder(tmp_path, sha).path.name.split("-")
    assert (len(stamp), commit, len(chance)) == (16, part, 4)


def test_folders_of_one_second_do_not_collide(tmp_path: Path) -> None:
    assert len({new_folder(tmp_path).path for _ in range(50)}) == 50


def test_updating_a_run_keeps_its_other_fields(tmp_path: Path) -> None:
    folder = new_folder(tmp_path)
    folder.update_run(verdict="PASS")
    assert folder.run()["verdict"] == "PASS"
    assert folder.run()["experiment"] == "throughput"


def test_replacing_a_document_leaves_no_draft_behind(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.json", "1")
    write_atomically(tmp_path / "a.json", "2")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "2"


def test_a_document_that_cannot_be_json_leaves_the_old_one(tmp_path: Path) -> None:
    folder = new_folder(tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.update_run(verdict=float("nan"))
    assert folder.run()["verdict"] == "UNKNOWN"


def test_a_private_document_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    write_atomically(tmp_path / "secret.json", "{}", private=True)
    assert stat.S_IMODE((tmp_path / "secret.json").stat().st_mode) == 0o600


def test_events_are_appended_in_order_and_told_to_the_listener(tmp_path: Path) -> None:
    heard: list[Any] = []
    folder = RunFolder(new_folder(tmp_path).path, listener=heard.append)
    folder.append_event("scaled", workers=1)
    folder.append_event("scaled", workers=3)
    assert [event["workers"] for event in folder.events()] == [1, 3]
    assert heard == folder.events()


def test_a_line_cut_by_a_kill_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"event":"a"}\n{"event":"b"}\n{"eve')
    assert [line["event"] for line in read_lines(path)] == ["a", "b"]


def test_a_folder_without_a_run_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no run\.json"):
        RunFolder(tmp_path).run()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"verdict": "PA', "Unterminated string"),
        ("", "Expecting value"),
        ('{"rate": NaN}', "NaN is not a number"),
        ('{"rate": -Infinity}', "-Infinity is not a number"),
        ('{"verdict": "PASS", "verdict": "FAIL"}', "'verdict' stands twice"),
        ('{"verdict": "PASS"}}', "Extra data"),
        ("[" * 100_000, "recursion"),
        ("[]", "not an object"),
    ],
)
def test_a_run_json_that_is_none_is_an_invalid_run_that_names_the_file(
    text: str, problem: str, tmp_path: Path
) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(Unreadable, match=problem) as raised:
        RunFolder(tmp_path).run()
    assert raised.value.path == tmp_path / "run.json"
    assert str(tmp_path / "run.json") in str(raised.value)
    assert raised.value.exit_code == 4


def test_bytes_that_are_no_text_are_named_too(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(Unreadable, match=r"summary\.json cannot be read: 'utf-8'"):
        read_json(tmp_path / "summary.json")


def test_a_whole_line_that_is_no_json_is_told_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"event":"a"}\n{"event":\n{"event":"c"}\n')
    with pytest.raises(Unreadable, match=r"events\.jsonl cannot be read: line 2: "):
        list(read_lines(path))


def test_an_event_that_cannot_be_json_is_refused_before_it_is_written(tmp_path: Path) -> None:
    folder = new_folder(tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.append_event("measured", rate=float("nan"))
    assert folder.events() == []
