"""What a part used, from its counters; and that what was not sampled is not made up."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_lab.errors import Unknown
from task_lab.report.figures import style
from task_lab.report.figures.resources import resources
from task_lab.report.records import Phase
from task_lab.report.resource_section import machine_facts, resources_html, sampling_text
from task_lab.report.resources import (
    cores_by_family,
    families,
    gains,
    gains_by_family,
    level_by_family,
    machine_cores,
    machine_rate,
    per_phase,
    per_point,
    resource_summary,
    samples_from,
    sampling,
)

from ...resource_samples import START, Part, lines

MACHINE = {
    "cpu": "a <fast> one",
    "cores": 2,
    "memory_bytes": 2**34,
    "kernel": "Linux 6",
    "fingerprint": "0123456789ab",
}


def phase(name: str, begin: float, end: float, **fields: Any) -> Phase:
    """A round of 1,000 tasks between these seconds."""
    known = {"kind": "round", "workload": "sum", "workers": 1, "tasks": 1000, "round": 1}
    return Phase(
        name=name,
        started_at=START + begin,
        ended_at=START + end,
        **{"resumed_at": None, **known, **fields},
    )


def test_a_part_keeps_as_many_cores_busy_as_its_counter_rises() -> None:
    samples = samples_from(lines({"api": Part(cores=0.7), "lab": Part(cores=0.1)}, 10))
    cores = cores_by_family(samples)
    np.testing.assert_allclose(cores["api"], 0.7, atol=1e-5)
    np.testing.assert_allclose(cores["lab"], 0.1, atol=1e-5)


def test_the_workers_are_one_part_and_stand_in_a_fixed_order() -> None:
    parts = {"worker-10": Part(0.1), "redis": Part(), "worker-2.ab12cd": Part(0.2), "api": Part()}
    samples = samples_from(lines({**parts, "mine": Part()}, 5))
    assert list(samples.groups) == ["api", "worker-2.ab12cd", "worker-10", "redis", "mine"]
    assert families(samples) == ["api", "worker", "redis", "mine"]
    np.testing.assert_allclose(cores_by_family(samples)["worker"], 0.3, atol=1e-5)
    assert level_by_family(samples, "memory_bytes")["worker"][0] == 2 * 70 * 2**20


def test_a_part_that_is_started_anew_counts_from_nothing() -> None:
    samples = samples_from(lines({"api": Part(cores=0.5, restarts=[4.0])}, 10))
    gained = gains(samples, samples.groups["api"], "cpu_s")
    assert np.nanmin(gained) >= 0
    assert gained.sum() == pytest.approx(0.5 * (10 - 0.5))  # the last half second of the first life


def test_an_account_that_falls_by_a_little_is_no_restart() -> None:
    made = lines({"postgres": Part(cores=0.5)}, 10)
    made[10]["groups"]["postgres"]["cpu_s"] -= 0.3
    samples = samples_from(made)
    gained = gains(samples, samples.groups["postgres"], "cpu_s")
    assert gained.max() <= 0.6
    assert gained.sum() == pytest.approx(0.5 * 10 + 0.05)  # what fell was seen twice, no more


def test_a_part_that_is_seen_late_does_not_use_more_than_there_is() -> None:
    made = lines({"worker-1": Part(cores=1.0)}, 10)
    for line in made[:15]:
        del line["groups"]["worker-1"]
    samples = samples_from(made)
    assert gains(samples, samples.groups["worker-1"], "cpu_s").max() == pytest.approx(2 * 0.5)


def test_a_part_that_does_not_run_uses_nothing() -> None:
    samples = samples_from(lines({"api": Part(), "worker-1": Part(0.4, begins=3, ends=6)}, 10))
    cores, memory = cores_by_family(samples)["worker"], level_by_family(samples, "memory_bytes")
    assert cores[samples.at[1:] < START + 3].max() == 0
    assert cores[samples.at[1:] >= START + 6].max() == 0
    assert memory["worker"][-1] == 0


def test_nothing_is_known_of_a_gap() -> None:
    samples = samples_from(lines({"api": Part(cores=0.7)}, 20, missing=(5.0, 9.0)))
    (step,) = np.flatnonzero(samples.is_gap)
    assert (samples.at[step] - START, samples.at[step + 1] - START) == (5.0, 9.0)
    assert np.isnan(cores_by_family(samples)["api"][step])
    assert np.isnan(machine_cores(samples, "busy_s")[step])
    assert np.isnan(machine_rate(samples, "disk_written_bytes")[step])
    found = sampling(samples)
    assert found["gaps"] == [{"from": START + 5.0, "to": START + 9.0}]
    assert found["sampled_s"] == 16
    assert "In 1 place samples are missing, 4.0 s in all" in sampling_text(found)


@pytest.mark.parametrize("clock", ["at", "monotonic_s"])
@pytest.mark.parametrize("jump_s", [-30.0, 60.0])
def test_a_clock_that_jumps_is_a_gap(clock: str, jump_s: float) -> None:
    made = lines({"api": Part()}, 10)
    for line in made[8:]:
        line[clock] += jump_s
    samples = samples_from(made)
    assert list(np.flatnonzero(samples.is_gap)) == [7]
    assert sampling(samples)["sampled_s"] == 9.5


def test_one_beat_that_is_a_little_late_is_no_gap() -> None:
    made = lines({"api": Part()}, 10)
    del made[5]
    assert not samples_from(made).is_gap.any()


def test_a_phase_is_told_with_its_mean_and_its_peak() -> None:
    parts = {"api": Part(cores=0.8), "worker-1": Part(0.5, begins=4)}
    samples = samples_from(lines(parts, 20))
    (found,) = per_phase([phase("a", 5.1, 9.3)], samples)
    assert (found["phase"], found["seconds"], found["sampled_s"]) == ("a", 4.2, 4.2)
    assert found["cores"] == {"api": 0.8, "worker": 0.5}
    assert found["memory_bytes"] == {"api": 70 * 2**20, "worker": 70 * 2**20}
    assert found["cpu_ms_per_task"] == {"api": 3.36, "worker": 2.1}


def test_a_phase_between_two_samples_gets_its_share_of_the_step() -> None:
    samples = samples_from(lines({"api": Part(cores=0.8)}, 20))
    (found,) = per_phase([phase("a", 5.1, 5.3)], samples)
    assert found["cores"] == {"api": 0.8}
    assert found["memory_bytes"] == {"api": 70 * 2**20}


def test_a_phase_that_was_mostly_missed_has_no_figures() -> None:
    samples = samples_from(lines({"api": Part()}, 20, missing=(5.0, 9.0)))
    phases = [phase("most", 4.5, 9.0), phase("little", 8.0, 13.0), phase("after", 25, 26)]
    most, little, after = per_phase(phases, samples)
    assert most["cores"] is most["memory_bytes"] is most["cpu_ms_per_task"] is None
    assert little["cores"] == {"api": 0.5}
    assert little["cpu_ms_per_task"] is None
    assert (after["cores"], after["sampled_s"]) == (None, 0)


def test_points_are_told_by_load_and_the_warm_up_is_not_in_them() -> None:
    samples = samples_from(lines({"api": Part(cores=1.0)}, 30))
    phases = [
        phase("w", 0, 1, kind="warmup"),
        phase("r1", 1, 2),
        phase("r2", 2, 4),
        phase("d", 4, 8, kind="drain", resumed_at=START + 6),
        phase("p", 8, 9, kind="probe", fraction=None),
        phase("s1", 9, 12, kind="step", fraction=0.5),
        phase("s2", 12, 14, kind="step", fraction=0.9),
    ]
    found = per_point(phases, samples)
    assert [(p["kind"], p["fraction"], p["seconds"]) for p in found] == [
        ("round", None, 3),
        ("drain", None, 2),
        ("step", 0.5, 3),
        ("step", 0.9, 2),
    ]
    assert found[0]["cpu_ms_per_task"] == {"api": 1.5}
    assert found[1]["cpu_ms_per_task"] == {"api": 2.0}


def test_d4_the_burnt_core_of_a_client_is_told() -> None:
    samples = samples_from(lines({"generator": Part(cores=0.97), "api": Part(0.2)}, 10))
    (point,) = per_point([phase("a", 1, 9)], samples)
    assert point["cores"]["generator"] == 0.97


def test_what_a_kernel_does_not_tell_stays_unknown() -> None:
    samples = samples_from(lines({"api": Part(written_per_s=None)}, 5))
    assert np.isnan(gains_by_family(samples, "written_bytes")["api"]).all()
    assert np.isnan(samples.machine["loopback_bytes"]).all()


def test_the_sampling_says_what_it_cost_and_what_others_used() -> None:
    found = sampling(samples_from(lines({"api": Part(0.5)}, 20, steal=0.03)))
    assert found["cost_cores"] == 0.01
    assert found["other_cores"] == 0.4
    assert found["steal_share"] == 0.03
    text = sampling_text(found)
    assert "The sampling itself took 1.0% of a core." in text
    assert "No sample is missing." in text


def test_a_run_without_samples_has_no_figures_and_says_so() -> None:
    assert resource_summary([phase("a", 1, 2)], samples_from([])) is None
    with pytest.raises(Unknown):
        resources_html(None, MACHINE)


def test_one_sample_is_no_evidence() -> None:
    summary = resource_summary([phase("a", 1, 2)], samples_from(lines({"api": Part()}, 0)))
    assert summary is not None
    assert summary["points"][0]["cores"] is None
    assert "too few to tell" in resources_html(summary, MACHINE)


def test_the_section_shows_points_and_folds_phases_away() -> None:
    phases = [phase(f"r<{n}>", n, n + 1) for n in range(1, 9)]
    samples = samples_from(lines({"api": Part(0.5), "worker-1": Part(0.9)}, 20, steal=0.02))
    html = resources_html(resource_summary(phases, samples), MACHINE)
    assert html.count("<table>") == 4
    assert "<details>" in html
    assert "r&lt;1&gt;" in html
    assert "r<1>" not in html
    assert "0.90" in html
    assert "2.0% of the time over the run" in html


def test_facts_that_are_not_known_are_left_out() -> None:
    names = [name for name, _ in machine_facts(MACHINE)]
    assert names == ["processor", "memory", "kernel", "machine fingerprint"]


_parts = st.builds(
    Part,
    cores=st.floats(0, 0.9),
    begins=st.floats(0, 20),
    ends=st.floats(5, 40),
    restarts=st.lists(st.floats(1, 30), max_size=4).map(sorted),
)


@given(st.dictionaries(st.sampled_from(["api", "worker-1", "worker-2", "lab"]), _parts))
def test_shares_of_neighbouring_phases_add_up_to_the_whole(parts: dict[str, Part]) -> None:
    samples = samples_from(lines(parts, 30, missing=(11.0, 14.0)))
    edges = [0.0, 3.3, 3.4, 8.0, 17.2, 30.0]
    pieces = [phase("x", *pair) for pair in pairwise(edges)]
    whole = sum(gained[~samples.is_gap].sum() for gained in cores_by_family(samples).values())
    told = per_phase(pieces, samples)
    used = sum(
        value * piece["sampled_s"] for piece in told for value in (piece["cores"] or {}).values()
    )
    assert used == pytest.approx(whole * 0.5, rel=0.02, abs=0.02)


@pytest.mark.parametrize("seconds", [0, 0.5, 100])
def test_a_figure_is_drawn_of_whatever_there_is(seconds: float) -> None:
    samples = samples_from(lines({"api": Part(), "mine": Part()}, seconds, missing=(20, 30)))
    phases = [phase(f"r{n}", n, n + 0.9, workers=1 + n // 20) for n in range(60)]
    with style.applied():
        figure = resources(phases, samples)
    processor, memory, disk, files = figure.axes
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title.partition(":")[0] for title in titles] == [
        "Processor",
        "Memory",
        "Disk",
        "Open file descriptors",
    ]
    assert processor.get_xlim() == memory.get_xlim() == disk.get_xlim() == files.get_xlim()
    assert [text.get_text().strip() for text in processor.texts if text.get_text().strip()]


def test_a_figure_is_drawn_of_nothing() -> None:
    with style.applied():
        assert len(resources([], samples_from([])).axes) == 4
