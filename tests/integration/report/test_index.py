import json
from pathlib import Path

from task_lab.report.index import rebuild_index


def run(results: Path, name: str, verdict: str = "PASS", experiment: str = "throughput") -> Path:
    folder = results / experiment / name
    folder.mkdir(parents=True)
    document = {
        "verdict": verdict,
        "started_at": "2026-01-02T03:04:05.000+00:00",
        "git": {"sha": "abcdef0123", "dirty": True},
        "machine": {"fingerprint": "f00d"},
    }
    (folder / "run.json").write_text(json.dumps(document))
    return folder


def test_e7_the_index_is_rebuilt_from_the_runs_and_loses_none(tmp_path: Path) -> None:
    for name in ("20260101T000000Z-a-1", "20260103T000000Z-a-1", "20260102T000000Z-a-1"):
        run(tmp_path, name)
        rebuild_index(tmp_path)
    text = rebuild_index(tmp_path).read_text()
    found = [text.index(f"2026010{day}T000000Z") for day in (3, 2, 1)]
    assert found == sorted(found)
    assert "abcdef0 *" in text


def test_a_run_with_a_page_is_linked_and_shows_its_rates(tmp_path: Path) -> None:
    folder = run(tmp_path, "20260101T000000Z-a-1")
    (folder / "report.html").write_text("")
    points = [{"workload": "sum", "workers": 1, "end_to_end_per_s": 2345.6}]
    (folder / "summary.json").write_text(json.dumps({"points": points}))
    text = rebuild_index(tmp_path).read_text()
    assert '<a href="throughput/20260101T000000Z-a-1/report.html">' in text
    assert "sum 1: 2,346" in text


def test_a_broken_run_is_listed_rather_than_left_out(tmp_path: Path) -> None:
    run(tmp_path, "20260101T000000Z-a-1")
    broken = run(tmp_path, "20260102T000000Z-b-2")
    (broken / "run.json").write_text("{")
    text = rebuild_index(tmp_path).read_text()
    assert "20260102T000000Z-b-2" in text
    assert "unreadable" in text
    assert "20260101T000000Z-a-1" in text


def test_an_index_of_nothing_is_a_page(tmp_path: Path) -> None:
    assert "<h1>Runs</h1>" in rebuild_index(tmp_path).read_text()
