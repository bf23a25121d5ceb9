"""Experiments as data: what resolves to what, and what is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_lab.errors import UsageError
from task_lab.spec import SweepSpec, in_proportion, load_definition, resolve

THROUGHPUT = load_definition("throughput")


def test_the_definition_alone_gives_the_documented_experiment() -> None:
    spec = resolve(THROUGHPUT, {})
    assert isinstance(spec, SweepSpec)
    total, waiting = spec.workloads
    assert (spec.tasks, spec.rounds, spec.workers, spec.in_flight) == (2000, 10, [1, 3], 64)
    assert (total.name, total.rounds, total.drain_tasks) == ("sum", 10, 20_000)
    assert (waiting.name, waiting.rounds, waiting.drain_tasks) == ("sleep", 6, 4_000)
    (add,), (wait,) = total.parts, waiting.parts
    assert add.expect == {"sum": sum(add.payload["numbers"])}
    assert wait.expect == {"slept_s": wait.payload["seconds"]}
    assert spec.settings == {"TASK_PLATFORM_WORKER_CONCURRENCY": "10"}


def test_phases_stand_in_running_order_with_their_agreed_names() -> None:
    spec = resolve(THROUGHPUT, {"rounds": 2, "workloads": ["sum"]})
    assert [(phase.name, phase.kind, phase.round) for phase in spec.phases()] == [
        ("sum-w1-warmup", "warmup", None),
        ("sum-w1-r01", "round", 1),
        ("sum-w1-r02", "round", 2),
        ("sum-w1-drain", "drain", None),
        ("sum-w3-warmup", "warmup", None),
        ("sum-w3-r01", "round", 1),
        ("sum-w3-r02", "round", 2),
        ("sum-w3-drain", "drain", None),
    ]


@pytest.mark.parametrize(("tasks", "warmup"), [(2000, 200), (50, 50)])
def test_the_warm_up_is_never_larger_than_a_round(tasks: int, warmup: int) -> None:
    assert resolve(THROUGHPUT, {"tasks": tasks}).phases()[0].tasks == warmup


def test_rounds_asked_for_hold_for_every_workload() -> None:
    assert {one.rounds for one in resolve(THROUGHPUT, {"rounds": 7}).workloads} == {7}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("workers", "1,3", [1, 3]),
        ("workers", " 2 , 4 ", [2, 4]),
        ("workers", 3, [3]),
        ("workers", (1, 2), [1, 2]),
        ("workers", [5], [5]),
    ],
)
def test_lists_may_come_as_text_or_alone(name: str, value: object, expected: object) -> None:
    assert getattr(resolve(THROUGHPUT, {name: value}), name) == expected


def test_workloads_may_come_as_text() -> None:
    spec = resolve(THROUGHPUT, {"workloads": "sleep,sum"})
    assert [workload.name for workload in spec.workloads] == ["sleep", "sum"]


@pytest.mark.parametrize("nothing", [None, ""])
def test_an_empty_parameter_means_the_definitions_own(nothing: object) -> None:
    asked = dict.fromkeys(["tasks", "rounds", "workers", "workloads", "runtime", "seed"], nothing)
    assert resolve(THROUGHPUT, asked) == resolve(THROUGHPUT, {})


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ({"wrokers": 3}, "did you mean 'workers'"),
        ({"task": 3}, "did you mean 'tasks'"),
        ({"xyz": 1}, "known:"),
        ({"workloads": "som"}, "did you mean 'sum'"),
    ],
)
def test_a2_an_unknown_name_is_refused_with_the_nearest_known_one(
    asked: dict[str, object], hint: str
) -> None:
    with pytest.raises(UsageError, match=hint):
        resolve(THROUGHPUT, asked)


@pytest.mark.parametrize(
    "asked",
    [
        {"tasks": 0},
        {"tasks": True},
        {"tasks": 2.5},
        {"tasks": "many"},
        {"rounds": -1},
        {"workers": "1,x"},
        {"workers": [1, 1]},
        {"workers": []},
        {"workers": [65]},
        {"in_flight": 0},
        {"runtime": "kubernetes"},
        {"workloads": "sum,sum"},
    ],
)
def test_a_bad_value_is_a_usage_error(asked: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        resolve(THROUGHPUT, asked)


def test_an_unknown_experiment_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(UsageError, match="did you mean 'throughput'"):
        load_definition("troughput")


def test_a_definition_with_a_key_nobody_knows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "odd.toml").write_text('kind = "throughput"\nname = "odd"\nworkerz = [1]\n')
    with pytest.raises(UsageError, match="workerz"):
        load_definition("odd", tmp_path)


@given(
    drain=st.integers(1, 100_000), asked=st.integers(1, 100_000), defined=st.integers(1, 100_000)
)
def test_a_smaller_run_gets_a_smaller_drain_and_a_larger_one_no_larger(
    drain: int, asked: int, defined: int
) -> None:
    scaled = in_proportion(drain, asked=asked, defined=defined)
    assert 1 <= scaled <= drain
    if asked >= defined:
        assert scaled == drain
    else:
        assert abs(scaled - drain * asked / defined) <= 1


@pytest.mark.parametrize(
    ("asked", "floor"),
    [({}, 20_000), ({"rounds": 100}, 20_000), ({"rounds": 3}, 6_000), ({"tasks": 10}, 2_000)],
)
def test_a_smaller_run_has_a_smaller_floor_down_to_what_still_says_something(
    asked: dict[str, object], floor: int
) -> None:
    assert resolve(THROUGHPUT, asked).floor_tasks == floor


def test_a_drain_asked_for_is_not_scaled() -> None:
    spec = resolve(THROUGHPUT, {"tasks": 10, "rounds": 1, "drain_tasks": 777})
    assert {workload.drain_tasks for workload in spec.workloads} == {777}


@pytest.mark.parametrize(("asked", "runtime"), [(None, "native"), ("auto", "native")])
def test_handlers_of_ones_own_run_natively(asked: str | None, runtime: str) -> None:
    spec = resolve(THROUGHPUT, {"handlers": "shop,bank", "runtime": asked})
    assert spec.runtime == runtime
    assert spec.variables()["TASK_PLATFORM_HANDLERS"] == "shop,bank"


def test_an_image_takes_no_handlers_of_ones_own() -> None:
    with pytest.raises(UsageError, match="native runtime"):
        resolve(THROUGHPUT, {"handlers": "shop", "runtime": "compose"})
