from typing import Any

import pytest
from task_lab.report.explain import explain_scaling


def run(cores: int = 2) -> dict[str, Any]:
    workloads = [
        {"name": "sum", "parts": [{"task_type": "sum", "payload": {"numbers": [1]}}]},
        {"name": "sleep", "parts": [{"task_type": "sleep", "payload": {"seconds": 0.02}}]},
    ]
    resolved = {"workloads": workloads, "settings": {"TASK_PLATFORM_WORKER_CONCURRENCY": "10"}}
    return {"params": {"resolved": resolved}, "machine": {"cores": cores}}


def summary(
    workload: str,
    one: float,
    three: float,
    *,
    end_to_end: tuple[float | None, float | None] = (None, None),
    a_commit: tuple[float | None, float | None] = (None, None),
    **more: Any,
) -> dict[str, Any]:
    points = [
        {
            **{"workload": workload, "workers": w, "drain_per_s": rate, "drains": [{}]},
            **{"end_to_end_per_s": whole, "tasks_a_commit": together},
        }
        for w, rate, whole, together in zip((1, 3), (one, three), end_to_end, a_commit, strict=True)
    ]
    return {"points": points, "cores_used": [], **more}


def explain(found: dict[str, Any], cores: int = 2) -> str:
    (paragraph,) = explain_scaling(run(cores), found)
    return paragraph


def test_work_that_waits_is_explained_by_its_slots() -> None:
    text = explain(summary("sleep", 480.0, 1420.0))
    assert "cannot finish more than 500 tasks/s" in text
    assert "480 (96% of that)" in text
    assert "1,420 (95%), 2.96 times the rate" in text


def test_work_that_waits_but_did_not_scale_is_not_explained_away() -> None:
    text = explain(summary("sleep", 480.0, 500.0))
    assert "something other than waiting" in text


def test_work_that_computes_is_explained_by_the_shared_cores() -> None:
    text = explain(summary("sum", 15_000.0, 14_000.0))
    assert "same 2 cores" in text
    assert "at most 133 µs of processor time per task" in text
    assert "no cores: 3 workers drained 14,000, 0.93 times the rate" in text


def test_processor_time_is_told_where_it_was_measured() -> None:
    cores = [
        {"workload": "sum", "workers": w, "kind": "drain", "cores": {"worker": used}}
        for w, used in ((1, 0.6), (3, 1.4))
    ]
    text = explain(summary("sum", 10_000.0, 10_000.0, cores_used=cores))
    assert "(cores in use meanwhile, by the processes' own counters: worker 0.60)" in text
    assert "60 µs of processor time with 1 and 140 µs with 3" in text


@pytest.mark.parametrize(
    ("used", "a_commit", "end"),
    [
        (
            (0.2, 0.3),
            (23.0, 9.6),
            "and 333 µs with 3: what arrives one by one is divided among them, so that a commit "
            "finished 9.6 tasks instead of 23, and each commit has to be paid for. That time is "
            "missing elsewhere on the same cores.",
        ),
        ((0.2, 0.3), (9.6, 9.6), "of processor time with 1 and 333 µs with 3."),
        ((0.2, 0.3), (None, None), "of processor time with 1 and 333 µs with 3."),
        ((0.2, 0.2), (23.0, 9.6), "of processor time with 1 and 222 µs with 3."),
        ((0.0, 0.0), (23.0, 9.6), "the rate of 1 worker (1,000 and 900)."),
    ],
)
def test_what_single_submissions_cost_more_workers_is_told(
    used: tuple[float, float], a_commit: tuple[float | None, float | None], end: str
) -> None:
    cores = [
        {"workload": "sum", "workers": w, "kind": "round", "cores": {"worker": mean}}
        for w, mean in zip((1, 3), used, strict=True)
    ]
    found = summary(
        *("sum", 10_000.0, 10_000.0),
        end_to_end=(1000.0, 900.0),
        a_commit=a_commit,
        cores_used=cores,
    )
    _, text = explain_scaling(run(), found)
    assert "end to end, 3 workers reached 0.90 times the rate" in text
    assert text.endswith(end)


@pytest.mark.parametrize(
    ("one", "three", "cores", "said", "unsaid"),
    [
        (1000.0, 2600.0, 2, "did not fill the cores", "but no cores"),
        (1000.0, 1000.0, 8, "does not show what held them back", "but no cores"),
    ],
)
def test_a_cause_is_named_only_where_its_condition_was_met(
    one: float, three: float, cores: int, said: str, unsaid: str
) -> None:
    text = explain(summary("sum", one, three), cores)
    assert said in text
    assert unsaid not in text


def test_single_drains_are_called_one_observation() -> None:
    assert "one observation" in explain(summary("sum", 10.0, 10.0))


def test_one_worker_count_explains_nothing() -> None:
    found = summary("sum", 10.0, 10.0)
    del found["points"][1]
    assert explain_scaling(run(), found) == []
