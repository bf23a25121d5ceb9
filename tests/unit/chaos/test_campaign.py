"""A campaign remembers what is finished; its summary adds up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from task_lab.chaos.campaign import Campaign, run_campaign, summarise, told_summary
from task_lab.check.verdict import Verdict


def line(seed: int, verdict: str = "PASS", **counts: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "verdict": verdict,
        "failed": [],
        "counts": {"tasks": 10, **counts},
        "faults": {"kill": 1, "freeze": 2},
        "faults_bit": 3,
        "settled_s": float(seed),
        "took_s": 1.5,
    }


def test_finished_schedules_are_not_run_again(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    campaign.add(line(1))
    campaign.add(line(2))
    assert Campaign(tmp_path).remaining(range(1, 5)) == [3, 4]


def test_a_line_cut_by_a_kill_is_run_again(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    campaign.add(line(1))
    with (tmp_path / "campaign.jsonl").open("a") as file:
        file.write('{"seed": 2, "ver')
    assert campaign.remaining([1, 2]) == [2]


def test_a_line_after_a_cut_one_counts(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    campaign.add(line(1))
    with (tmp_path / "campaign.jsonl").open("a") as file:
        file.write('{"seed": 2, "ver')
    campaign.add(line(2))
    assert campaign.remaining([1, 2, 3]) == [3]


def test_what_an_interrupted_trial_left_is_deleted(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    (campaign.trial_folder(7) / "history.jsonl").write_text("half")
    assert list(campaign.trial_folder(7).path.iterdir()) == []


def test_a_finished_campaign_starts_nothing_and_tells_its_verdict(tmp_path: Path) -> None:
    campaign, said = Campaign(tmp_path), list[str]()
    campaign.add(line(1))
    campaign.add(line(2, "FAIL"))
    campaign.add(line(9, "UNKNOWN"))
    assert run_campaign(tmp_path, [1, 2], said.append) is Verdict.FAIL
    assert run_campaign(tmp_path, [1], said.append) is Verdict.PASS
    assert run_campaign(tmp_path, [1, 9], said.append) is Verdict.UNKNOWN
    assert "did not pass: 2" in said
    assert (tmp_path / "summary.json").exists()


def test_the_summary_adds_up() -> None:
    unknown = {"seed": 4, "verdict": "UNKNOWN", "reason": "the lab failed"}
    summary = summarise([line(1), line(3, lost=0), unknown], Verdict.UNKNOWN)
    assert summary["counts"] == {"tasks": 20, "lost": 0}
    assert summary["faults"] == {"freeze": 4, "kill": 2}
    assert summary["faults_bit"] == 6
    assert summary["not_passed"] == [4]
    assert summary["settled_s"] == {"median": 2.0, "largest": 3.0}
    assert told_summary(summary)[-1] == "UNKNOWN"
