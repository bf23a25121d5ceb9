"""Two runs beside each other: what is found, what is refused, and what nobody can say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from task_lab.comparable import Allowed, different_parameters, flat
from task_lab.compare import compare
from task_lab.compare_text import comparison_blocks, conclusion
from task_lab.errors import InvalidRun, Unknown, UsageError
from task_lab.output import markdown
from task_lab.store import RunFolder

from .stored_runs import STEADY, A, B, change, store_run, times, write

LOSS = times(STEADY, 0.6)


def compared(*folders: Path, **allowed: bool) -> dict[str, Any]:
    before, after = folders
    return compare([RunFolder(before)], [RunFolder(after)], Allowed(**allowed))


def rate_of(found: Mapping[str, Any], rate: str, workers: int = 1) -> Mapping[str, Any]:
    rates: Sequence[Mapping[str, Any]] = found["rates"]
    [one] = [r for r in rates if (r["rate"], r["workers"]) == (rate, workers)]
    return one


def test_e14_a_comparison_has_deltas_with_n_interval_and_p(tmp_path: Path) -> None:
    found = compared(store_run(tmp_path, A), store_run(tmp_path, B, {("sum", 1): LOSS}))
    assert (found["verdict"], found["exit_code"], found["tested"]) == ("regression", 3, 2)
    one = rate_of(found, "end_to_end_per_s")
    assert (one["n"], one["finding"]) == ([8, 8], "lower")
    assert (one["a"], one["b"]) == (pytest.approx(1001), pytest.approx(600.6))
    assert one["ratio"] == pytest.approx(0.6)
    assert one["interval"]["low"] < 0.6 < one["interval"]["high"]
    assert one["p"] < one["p_corrected"] < 0.01
    assert 0.04 < one["seen_from"] < 0.1


def test_a_later_run_that_stands_first_is_pointed_out(tmp_path: Path) -> None:
    earlier, later = store_run(tmp_path, A), store_run(tmp_path, "20261202T100000Z-2222222-b002")
    said = "A is the later run"
    assert said in markdown(comparison_blocks(compared(later, earlier)))
    assert said not in markdown(comparison_blocks(compared(earlier, later)))


def test_e14_latencies_are_plain_differences_with_both_intervals(tmp_path: Path) -> None:
    found = compared(store_run(tmp_path, A), store_run(tmp_path, B, p95_s=0.3))
    by_name = {(one["latency"], one["q"]): one for one in found["latencies"]}
    assert len(by_name) == 6
    p95 = by_name["queue_wait_s", "p95"]
    assert p95["delta_s"] == pytest.approx(0.1)
    assert (p95["a_interval"], p95["b_interval"]) == (
        pytest.approx([0.18, 0.22]),
        pytest.approx([0.27, 0.33]),
    )
    assert by_name["end_to_end_s", "p99"]["too_short"] == ["too short for p99"]
    assert by_name["end_to_end_s", "p50"]["a_interval"] is None
    assert "+100 ms (+50 %)" in markdown(comparison_blocks(found))


def test_a_run_like_the_other_is_no_regression_and_says_what_it_could_have_seen(
    tmp_path: Path,
) -> None:
    found = compared(store_run(tmp_path, A), store_run(tmp_path, B, {("sum", 1): STEADY[::-1]}))
    assert (found["verdict"], found["exit_code"]) == ("no regression shown", 0)
    assert "a loss of 4.8 % would have been seen in 4 of 5 cases" in conclusion(found)


def test_a_gain_is_told_and_is_no_regression(tmp_path: Path) -> None:
    faster = store_run(tmp_path, B, {("sum", 1): times(STEADY, 1.2)})
    found = compared(store_run(tmp_path, A), faster)
    assert (found["exit_code"], rate_of(found, "submit_per_s")["finding"]) == (0, "higher")
    assert "higher: sum, 1 worker, submit, 1,001 → 1,201 (+20 %" in conclusion(found)


def test_e12_a_loss_too_small_to_matter_is_none(tmp_path: Path) -> None:
    exact = [1000.0 + n / 100 for n in range(8)]
    before = store_run(tmp_path, A, {("sum", 1): exact})
    found = compared(before, store_run(tmp_path, B, {("sum", 1): times(exact, 0.98)}))
    assert (found["exit_code"], rate_of(found, "submit_per_s")["finding"]) == (
        0,
        "too small to matter",
    )


def test_e4_three_rounds_a_side_say_nothing_whatever_was_lost(tmp_path: Path) -> None:
    before = store_run(tmp_path, A, {("sum", 1): STEADY[:3]})
    found = compared(before, store_run(tmp_path, B, {("sum", 1): LOSS[:3]}))
    assert (found["verdict"], found["exit_code"], found["tested"]) == ("unknown", 2, 0)
    assert conclusion(found).startswith(
        "**Nothing can be said.** Not enough rounds: 3 against 3, need 4 a side "
        "(6 for an interval)."
    )
    assert "seen lower, but not provable" in conclusion(found)


def test_rates_that_cannot_be_tested_are_told_beside_those_that_are(tmp_path: Path) -> None:
    before = store_run(tmp_path, A, drains=[9000.0])
    found = compared(before, store_run(tmp_path, B, drains=[5000.0]))
    assert (found["verdict"], found["tested"]) == ("no regression shown", 2)
    text = conclusion(found)
    assert "not decided: 1 of 3 rates, too few measurements" in text
    assert "not enough drains: 1 against 1" in text
    assert "sum, 1 worker, drain -44 %" in text


def test_warm_ups_are_in_no_comparison(tmp_path: Path) -> None:
    found = compared(store_run(tmp_path, A), store_run(tmp_path, B))
    assert rate_of(found, "submit_per_s")["n"] == [8, 8]


def test_e14_runs_of_other_parameters_are_refused_and_each_is_named(tmp_path: Path) -> None:
    runs = (
        store_run(tmp_path, A),
        store_run(tmp_path, B, asked={"tasks": 500, "in_flight": 8, "workloads": "sum"}),
    )
    with pytest.raises(UsageError) as refused:
        compared(*runs)
    for name in ("in_flight: 64 → 8", "tasks: 2000 → 500", "workloads.sum.tasks: 2000 → 500"):
        assert name in str(refused.value)
    assert "--allow-different" in str(refused.value)
    found = compared(*runs, different=True)
    assert {one["name"] for one in found["parameters"]} >= {"tasks", "in_flight"}
    assert "- parameter tasks: 2000 → 500" in markdown(comparison_blocks(found))


def test_what_was_asked_for_does_not_matter_only_what_it_came_to(tmp_path: Path) -> None:
    default = store_run(tmp_path, A, asked={"tasks": 2000})
    assert compared(default, store_run(tmp_path, B))["parameters"] == []


def test_a_runtime_is_what_it_was_not_what_was_asked_for(tmp_path: Path) -> None:
    before, after = store_run(tmp_path, A, asked={"runtime": "auto"}), store_run(tmp_path, B)
    assert compared(before, after)["parameters"] == []
    change(before, runtime="compose")
    with pytest.raises(UsageError, match="runtime: compose → native"):
        compared(before, after)


def test_e6_another_machine_is_refused_and_never_a_regression(tmp_path: Path) -> None:
    before, after = store_run(tmp_path, A), store_run(tmp_path, B, {("sum", 1): LOSS})
    change(after, machine__fingerprint="beef")
    with pytest.raises(UsageError, match=r"ran on machine beef.*cafe.*--allow-other-machine"):
        compared(before, after)
    found = compared(before, after, other_machine=True)
    assert (found["verdict"], found["exit_code"]) == ("unknown", 2)
    assert {one["finding"] for one in found["rates"]} == {"unknown"}
    assert "The runs are of different machines" in conclusion(found)
    assert rate_of(found, "submit_per_s")["ratio"] == pytest.approx(0.6)


@pytest.mark.parametrize("verdict", ["FAIL", "UNKNOWN", "INVALID", "INTERRUPTED"])
def test_a_run_that_is_no_pass_is_refused_unless_told(tmp_path: Path, verdict: str) -> None:
    before, after = store_run(tmp_path, A), store_run(tmp_path, B)
    change(after, verdict=verdict)
    with pytest.raises(UsageError, match=f"{B} is {verdict}.*--any-verdict"):
        compared(before, after)
    found = compared(before, after, any_verdict=True)
    assert f"B has {verdict}" in markdown(comparison_blocks(found))


def test_different_experiments_are_never_compared(tmp_path: Path) -> None:
    before, after = store_run(tmp_path, A), store_run(tmp_path, B)
    change(after, experiment="faults")
    with pytest.raises(UsageError, match="different experiments are not compared"):
        compared(before, after, different=True, other_machine=True, any_verdict=True)


def test_a_run_is_not_compared_with_itself(tmp_path: Path) -> None:
    run = store_run(tmp_path, A)
    with pytest.raises(UsageError, match="named twice"):
        compared(run, run)


def test_a_run_without_a_summary_or_points_is_unknown(tmp_path: Path) -> None:
    before, after = store_run(tmp_path, A), store_run(tmp_path, B)
    write(after / "summary.json", {"rows": []})
    with pytest.raises(Unknown, match="no points"):
        compared(before, after)
    (after / "summary.json").unlink()
    with pytest.raises(Unknown, match=r"no summary\.json"):
        compared(before, after)


@pytest.mark.parametrize("name", ["run.json", "summary.json"])
def test_a_cut_file_is_named(tmp_path: Path, name: str) -> None:
    before, after = store_run(tmp_path, A), store_run(tmp_path, B)
    text = (after / name).read_text()
    (after / name).write_text(text[: len(text) // 2])
    with pytest.raises(InvalidRun, match=f"{B}/{name} cannot be read"):
        compared(before, after)


def test_a_run_json_that_lacks_what_is_needed_says_so(tmp_path: Path) -> None:
    before, after = store_run(tmp_path, A), store_run(tmp_path, B)
    write(after / "run.json", {"experiment": "throughput"})
    with pytest.raises(InvalidRun, match="it lacks verdict, params, machine"):
        compared(before, after)


def test_points_of_one_run_alone_are_told(tmp_path: Path) -> None:
    before = store_run(tmp_path, A, {("sum", 1): STEADY, ("sum", 3): STEADY})
    found = compared(before, store_run(tmp_path, B))
    assert found["only_in_a"] == [{"workload": "sum", "workers": 3}]
    assert len(found["rates"]) == 2
    assert "- only in A: sum 3" in markdown(comparison_blocks(found))


def test_runs_without_a_point_in_common_are_unknown(tmp_path: Path) -> None:
    found = compared(store_run(tmp_path, A), store_run(tmp_path, B, {("sleep", 1): STEADY}))
    assert found["exit_code"] == 2
    assert "no point in common" in conclusion(found)


def test_a_version_that_changed_is_told(tmp_path: Path) -> None:
    before, after = store_run(tmp_path, A), store_run(tmp_path, B)
    change(after, versions={"postgres": "16.1"})
    assert "version of postgres: 15.9 → 16.1" in markdown(
        comparison_blocks(compared(before, after))
    )


def test_e2_a_loss_that_the_bare_loops_had_as_well_is_no_regression(tmp_path: Path) -> None:
    before = store_run(tmp_path, A, floor=10_000)
    slower_machine = store_run(tmp_path, B, {("sum", 1): LOSS}, floor=6_100)
    found = compared(before, slower_machine)
    assert (found["verdict"], found["exit_code"]) == ("unknown", 2)
    assert "Bare loops lost 39 % as well" in conclusion(found)
    other = store_run(tmp_path, B.replace("000b", "000c"), {("sum", 1): LOSS}, floor=9_000)
    assert compared(before, other)["exit_code"] == 3


def paced(folder: Path, achieved: float, fractions: Sequence[float | None] = (0.5, 1.0)) -> Path:
    """The run with the steps of a ladder instead of rounds."""
    summary = json.loads((folder / "summary.json").read_text())
    step = {**summary["points"][0], "kind": "step", "rounds": [], "drains": []}
    step |= {"submit_per_s": 500.0, "end_to_end_per_s": achieved, "drain_per_s": None}
    summary["points"] = [{**step, "fraction": fraction} for fraction in fractions]
    write(folder / "summary.json", summary)
    return folder


def test_steps_of_a_ladder_are_told_apart_and_have_one_value_each(tmp_path: Path) -> None:
    found = compared(paced(store_run(tmp_path, A), 500.0), paced(store_run(tmp_path, B), 400.0))
    ends = [one for one in found["rates"] if one["rate"] == "end_to_end_per_s"]
    assert [(one["fraction"], one["n"]) for one in ends] == [(0.5, [1, 1]), (1.0, [1, 1])]
    assert found["exit_code"] == 2
    assert "sum at 0.5, 1 worker, end to end -20 %" in conclusion(found)
    assert "| sum at 0.5 | end to end | 1 | 500 | 400 | -20 % |" in markdown(
        comparison_blocks(found)
    )


def test_a_paced_load_is_no_step_of_a_ladder(tmp_path: Path) -> None:
    runs = [paced(store_run(tmp_path, run_id), 500.0, [None]) for run_id in (A, B)]
    text = markdown(comparison_blocks(compared(*runs)))
    assert "| sum | end to end | 1 | 500 | 500 | +0 % |" in text


def test_what_may_have_disturbed_a_machine_is_told(tmp_path: Path) -> None:
    before, after = store_run(tmp_path, A), store_run(tmp_path, B)
    change(before, machine__unstable=["swap is in use"])
    change(after, machine__unstable=["swap is in use", "the load average was 9.72"])
    text = markdown(comparison_blocks(compared(before, after)))
    assert "- A and B: swap is in use" in text
    assert "- B: the load average was 9.72" in text


def ids(letter: str, count: int) -> list[str]:
    return [f"202601{n + 10:02d}T000000Z-{letter * 7}-{n:04x}" for n in range(count)]


def sides(
    tmp_path: Path, before: Sequence[float], after: Sequence[float]
) -> tuple[list[RunFolder], list[RunFolder]]:
    """A run for each factor; all of its rounds are so many times as fast."""
    return tuple(  # type: ignore[return-value]
        [
            RunFolder(store_run(tmp_path, run_id, {("sum", 1): times(STEADY, factor)}))
            for run_id, factor in zip(ids(letter, len(factors)), factors, strict=True)
        ]
        for letter, factors in (("a", before), ("b", after))
    )


def test_e2_one_lucky_run_makes_none_of_several_look_slow(tmp_path: Path) -> None:
    lucky, normal = sides(tmp_path, [1.15, 1.0, 1.02, 0.98, 1.01], [1.0, 1.01, 0.99, 1.02, 0.98])
    found = compare(lucky, normal)
    assert (found["verdict"], found["compared_by"]) == ("no regression shown", "runs")
    assert rate_of(found, "submit_per_s")["n"] == [5, 5]


def test_e4_sides_of_three_runs_are_not_enough(tmp_path: Path) -> None:
    found = compare(*sides(tmp_path, [1.0, 1.01, 0.99], [0.6, 0.61, 0.59]))
    assert found["exit_code"] == 2
    assert "Not enough runs: 3 against 3, need 4 a side (6 for an interval)" in conclusion(found)


def test_sides_of_several_runs_are_compared_run_by_run(tmp_path: Path) -> None:
    before, after = sides(
        tmp_path,
        [1.0, 1.01, 0.99, 1.02, 0.98, 1.03],
        [0.8, 0.81, 0.79, 0.82, 0.78, 0.83],
    )
    found = compare(before, after)
    one = rate_of(found, "end_to_end_per_s")
    assert (found["exit_code"], one["n"], one["finding"]) == (3, [6, 6], "lower")
    assert found["latencies"][0]["a_interval"] is not None
    assert "sitting to the next" not in markdown(comparison_blocks(found))


def test_records_in_a_list_are_known_by_their_names() -> None:
    before = {"workloads": [{"name": "sum", "tasks": 1, "parts": [{"name": "p", "share": 1}]}]}
    after = {"workloads": [{"name": "sum", "tasks": 2, "parts": [{"name": "p", "share": 1}]}]}
    [found] = different_parameters(flat(before), flat({**after, "workers": []}))[:1]
    assert str(found) == "workloads.sum.tasks: 1 → 2"
    assert flat({"workers": [1, 3], "settings": {}}) == {"workers": [1, 3], "settings": {}}
    new = different_parameters({}, {"drains": 3})
    assert [str(one) for one in new] == ["drains: absent → 3"]
