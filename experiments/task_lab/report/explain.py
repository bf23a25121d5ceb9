"""Why more workers did or did not raise the rates, told from the run's own figures.

Pure. Every sentence with a number takes it from the run; a cause is named only where its condition
was met in this run.
"""

from collections.abc import Sequence
from typing import Any

from task_lab.report import words

# Below this a speed-up is not worth its name.
CLEARLY_FASTER = 1.25
DEFAULT_CONCURRENCY = 10
_ONE_EACH = " Each drain was made once, so this is one observation and not a measured effect."


def explain_scaling(run: dict[str, Any], summary: dict[str, Any]) -> list[str]:
    """A paragraph of Markdown per workload that was drained with more than one worker count."""
    resolved = run["params"]["resolved"]
    workloads = {w["name"]: w for w in resolved["workloads"]}
    paragraphs = []
    for name in dict.fromkeys(p["workload"] for p in summary["points"]):
        points = sorted(
            (p for p in summary["points"] if p["workload"] == name and p["drain_per_s"]),
            key=lambda p: int(p["workers"]),
        )
        if len(points) < 2:
            continue
        single = all(len(p["drains"]) == 1 for p in points)
        seconds = _sleeping_s(workloads[name]["parts"])
        if seconds > 0:
            text = _waiting(name, points, seconds, _concurrency(resolved))
        else:
            text = _computing(name, points, run["machine"]["cores"], summary)
        paragraphs.append(text + (_ONE_EACH if single else ""))
        if seconds == 0 and (text := _end_to_end(name, points, summary)):
            paragraphs.append(text)
    return paragraphs


def _sleeping_s(parts: Sequence[dict[str, Any]]) -> float:
    """How long each task of a workload sleeps; 0 where it does anything else."""
    if len(parts) != 1 or parts[0]["task_type"] != "sleep":
        return 0.0
    return float(parts[0]["payload"].get("seconds", 0) or 0)


def _waiting(name: str, points: Sequence[dict[str, Any]], seconds: float, concurrency: int) -> str:
    """Work that waits: the limit is slots, and workers bring slots."""
    first, last = points[0], points[-1]
    ceilings = [p["workers"] * concurrency / seconds for p in (first, last)]
    shares = [p["drain_per_s"] / c for p, c in zip((first, last), ceilings, strict=True)]
    text = (
        f"**`{name}` is limited by waiting.** A task sleeps {words.seconds(seconds)} and a worker "
        f"runs {concurrency} at a time, so {words.workers(first['workers'])} cannot finish more "
        f"than {words.rate(ceilings[0])} tasks/s; the drain reached "
        f"{words.rate(first['drain_per_s'])} ({shares[0]:.0%} of that). "
    )
    if last["drain_per_s"] / first["drain_per_s"] > CLEARLY_FASTER:
        return text + (
            f"Sleeping costs no processor time, so {words.workers(last['workers'])} sleep side by "
            f"side and the limit rises with them, to {words.rate(ceilings[1])}: the drain reached "
            f"{words.rate(last['drain_per_s'])} ({shares[1]:.0%}), {_ratio(first, last)} the rate."
        )
    return text + (
        f"{words.workers(last['workers']).capitalize()} could have reached "
        f"{words.rate(ceilings[1])} but drained {words.rate(last['drain_per_s'])} "
        f"({shares[1]:.0%}): something other than waiting held them back."
    )


def _computing(
    name: str, points: Sequence[dict[str, Any]], cores: int, summary: dict[str, Any]
) -> str:
    """Work that costs processor time: the limit is cores, and workers bring none."""
    first, last = points[0], points[-1]
    text = (
        f"**`{name}` costs processor time only.** Running the task itself is almost nothing; a "
        "task's cost is what surrounds it: its message, its claim, its finish and the commits of "
        f"both. All of it is paid on the same {cores} cores, which the API, the broker, the "
        "database, Prometheus, the load generator and every worker share. "
        f"{words.workers(first['workers']).capitalize()} drained "
        f"{words.rate(first['drain_per_s'])} tasks/s, which leaves at most "
        f"{words.seconds(cores / first['drain_per_s'])} of processor time per task for all of them "
        f"together{_busy(first, summary)}. "
    )
    if last["drain_per_s"] / first["drain_per_s"] > CLEARLY_FASTER:
        return text + (
            f"That did not fill the cores: {words.workers(last['workers'])} drained "
            f"{words.rate(last['drain_per_s'])}, {_ratio(first, last)} the rate."
        )
    if cores > last["workers"]:
        return text + (
            f"{words.workers(last['workers']).capitalize()} drained "
            f"{words.rate(last['drain_per_s'])}, {_ratio(first, last)} the rate, although there "
            "are more cores than workers: this run does not show what held them back."
        )
    return text + (
        f"More workers add processes that want these cores, but no cores: "
        f"{words.workers(last['workers'])} drained {words.rate(last['drain_per_s'])}, "
        f"{_ratio(first, last)} the rate{_busy(last, summary)}.{_own_cost(points, summary)}"
    )


def _end_to_end(name: str, points: Sequence[dict[str, Any]], summary: dict[str, Any]) -> str:
    """What more workers cost each task that is submitted alone; empty where that was not measured.

    Of a full queue a worker takes hundreds at once; of single submissions, what there is just now.
    """
    first, last = points[0], points[-1]
    rates = [p["end_to_end_per_s"] for p in (first, last)]
    if not all(rates):
        return ""
    own = [_cores(p, "round", summary).get("worker", 0.0) / p["end_to_end_per_s"]
           for p in (first, last)]  # fmt: skip
    text = (
        f"**Single submissions of `{name}`**: end to end, {words.workers(last['workers'])} reached "
        f"{words.ratio(rates[1] / rates[0])} times the rate of "
        f"{words.workers(first['workers'])} ({words.rate(rates[0])} and {words.rate(rates[1])}). "
    )
    if not all(own):
        return text.rstrip()
    text += (
        f"A task cost the workers {words.seconds(own[0])} of processor time with "
        f"{first['workers']} and {words.seconds(own[1])} with {last['workers']}"
    )
    few, many = (p.get("tasks_a_commit") or 0.0 for p in (first, last))
    if own[1] < CLEARLY_FASTER * own[0] or not 0 < many < few:
        return f"{text}."
    return text + (
        ": what arrives one by one is divided among them, so that a commit finished "
        f"{words.rate(many)} tasks instead of {words.rate(few)}, and each commit has to be "
        "paid for. That time is missing elsewhere on the same cores."
    )


def _busy(point: dict[str, Any], summary: dict[str, Any]) -> str:
    """` (cores in use meanwhile: worker 0.93, …)` for the point's drain, or nothing if unknown."""
    cores = _cores(point, "drain", summary)
    parts = [f"{job} {used:.2f}" for job, used in cores.items() if used >= 0.005]
    return (
        f" (cores in use meanwhile, by the processes' own counters: {', '.join(parts)})"
        if parts
        else ""
    )


def _own_cost(points: Sequence[dict[str, Any]], summary: dict[str, Any]) -> str:
    """What a task cost the workers themselves, fewest and most of them, where that was measured."""
    first, last = points[0], points[-1]
    own = [_cores(p, "drain", summary).get("worker", 0.0) / p["drain_per_s"] for p in (first, last)]
    if not all(own):
        return ""
    return (
        f" A task cost the workers themselves {words.seconds(own[0])} of processor time with "
        f"{first['workers']} and {words.seconds(own[1])} with {last['workers']}."
    )


def _cores(point: dict[str, Any], kind: str, summary: dict[str, Any]) -> dict[str, float]:
    """Mean cores by job in the point's phases of a kind; empty where that was not measured."""
    for record in summary["cores_used"]:
        where = (record["workload"], record["workers"], record["kind"])
        if where == (point["workload"], point["workers"], kind):
            found: dict[str, float] = record["cores"]
            return found
    return {}


def _ratio(first: dict[str, Any], last: dict[str, Any]) -> str:
    return f"{words.ratio(last['drain_per_s'] / first['drain_per_s'])} times"


def _concurrency(resolved: dict[str, Any]) -> int:
    settings = resolved.get("settings", {})
    return int(settings.get("TASK_PLATFORM_WORKER_CONCURRENCY", DEFAULT_CONCURRENCY))
