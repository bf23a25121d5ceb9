"""Reading along while another process writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from task_lab.live import feed as feeds
from task_lab.live.feed import Feed, Sent, Tail
from task_lab.store import RunFolder, create_run


def test_a_tail_gives_each_whole_line_once(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    tail = Tail(path)
    assert tail.news() == []
    path.write_bytes(b"a\nb\nc")
    assert tail.news() == [b"a", b"b"]
    with path.open("ab") as file:
        file.write(b"c\n")
    assert tail.news() == [b"cc"]
    assert tail.news() == []


def test_a_look_has_what_was_written_since_the_last_one(tmp_path: Path) -> None:
    folder = create_run("faults", {}, results=tmp_path)
    feed = Feed(folder)
    first = feed.look()
    assert first.run is not None
    assert first.run["experiment"] == "faults"
    assert not feed.look()
    event = folder.append_event("scaled", workers=3)
    (folder / "history.jsonl").write_text(
        '{"phase": "p", "index": 0, "outcome": "accepted", "answered_at": 7.5, "task_id": null}\n'
    )
    (folder / "samples.jsonl").write_text('{"at": 7.0, "ready": 12, "consumers": 1}\n')
    (folder / "resources.jsonl").write_text('{"at": 7.0, "groups": {}}\n')
    folder.update_run(verdict="PASS")
    news = feed.look()
    assert news.run is not None
    assert news.run["verdict"] == "PASS"
    assert list(news.events) == [event]
    assert list(news.sent) == [Sent("accepted", 7.5, "p")]
    assert [sample["ready"] for sample in news.samples] == [12]
    assert [sample["groups"] for sample in news.resources] == [{}]
    assert not feed.look()


def test_lines_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    (folder / "events.jsonl").write_text('{"at": 1\n[]\n{"at": 1}\n{"at": 2, "event": "healed"}\n')
    (folder / "history.jsonl").write_text('{"index": 1}\nnothing\n{"outcome": "unknown"}\n')
    (folder / "run.json").write_text("{")
    news = Feed(folder).look()
    assert [event["event"] for event in news.events] == ["healed"]
    assert list(news.sent) == [Sent("unknown")]
    assert news.run is None


def test_a_long_history_comes_in_parts_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "_CHUNK_BYTES", 1000)
    (tmp_path / "history.jsonl").write_text('{"outcome": "accepted", "answered_at": 1.0}\n' * 500)
    looks = [len(news.sent) for news in Feed(RunFolder(tmp_path)).looks()]
    assert sum(looks) == 500
    assert len(looks) > 10
    assert looks[-1] == 0


def test_a_folder_that_does_not_exist_has_no_news(tmp_path: Path) -> None:
    assert not Feed(RunFolder(tmp_path / "none")).look()
