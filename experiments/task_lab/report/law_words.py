"""Laws, speed-ups and answers as text, in Markdown where it is a sentence. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from task_lab.report import words

Record = Mapping[str, Any]


def coefficient(value: float | None) -> str:
    """A coefficient without a unit: `0.021`, `0.0013`, `0`."""
    if value is None:
        return words.NOTHING
    return f"{value:.2g}" if value else "0"


def estimate(found: Record) -> str:
    """`0.021 (0.004 to 0.05)`, or that it is not told apart from 0 and how large it may be."""
    low_high = f"{coefficient(found['low'])} to {coefficient(found['high'])}"
    if found["differs_from_0"]:
        return f"{coefficient(found['value'])} ({low_high})"
    return f"not told apart from 0 (at most {coefficient(found['high'])})"


def rate_estimate(found: Record) -> str:
    """`512 (498 to 520)`."""
    low_high = f"{words.rate(found['low'])} to {words.rate(found['high'])}"
    return f"{words.rate(found['value'])} ({low_high})"


def ratio(record: Record) -> str:
    """`2.87 (2.80 to 2.95)`; without an interval the ratio alone."""
    interval = record["interval"]
    text = words.ratio(record["ratio"])
    if interval is None:
        return text
    return f"{text} ({words.ratio(interval['low'])} to {words.ratio(interval['high'])})"


def peak(found: Record) -> str:
    """Where the law is highest: `at 3.1 workers (2.8 to 3.6), 1,204 tasks/s`, or why not."""
    if found["workers"] is None:
        return str(found["note"])
    low = "fewer than measured" if found["low"] is None else f"{found['low']:.1f}"
    high = "more than measured" if found["high"] is None else f"{found['high']:.1f}"
    return (
        f"at {found['workers']:.1f} workers ({low} to {high}), {words.rate(found['per_s'])} tasks/s"
    )


def largest_miss(law: Record) -> str:
    """`2.1 % at 4 workers`: the count at which measured and fitted differ most."""
    if not law["residuals"]:
        return words.NOTHING
    worst = max(law["residuals"], key=lambda one: abs(one["relative"]))
    return f"{abs(worst['relative']):.1%} at {words.workers(worst['workers'])}"


def law_sentence(law: Record) -> str:
    """One workload's law in a sentence, or why it has none."""
    if law["refused"]:
        return f"**{law['workload']}**: no law: {law['refused']}."
    left_out = words.listed(list(law["left_out"]))
    return (
        f"**{law['workload']}**: one worker does {rate_estimate(law['lambda_per_s'])} tasks/s; "
        f"contention (sigma) {estimate(law['sigma'])}; coherency (kappa) {estimate(law['kappa'])}; "
        f"peak {peak(law['peak'])}; largest miss {largest_miss(law)}."
        + (f" Without {left_out} workers." if left_out else "")
        + "".join(f" {note[0].upper()}{note[1:]}." for note in law["notes"])
    )


def needed(answer: Record) -> str:
    """`3 workers (3 to 4)`, or why there is no answer."""
    if answer["workers"] is None:
        return f"no answer: {answer['reason']}"
    low = "fewer than measured" if answer["low"] is None else str(answer["low"])
    high = "more than measured" if answer["high"] is None else str(answer["high"])
    return f"{words.workers(answer['workers'])} ({low} to {high})"


def wait(answer: Record) -> str:
    """The wait to be expected; below a millisecond the way into the queue is all there is."""
    wait_s = answer["expected_wait_p95_s"]
    return "under 1 ms" if wait_s is not None and wait_s < 0.001 else words.seconds(wait_s)


def question(answer: Record) -> str:
    """`1,000 tasks/s with a p95 queue wait of at most 100 ms`."""
    return (
        f"{words.rate(answer['per_s'])} tasks/s with a p95 queue wait of at most "
        f"{words.seconds(answer['wait_p95_s'])}"
    )


def lines(summary: Mapping[str, Any]) -> list[str]:
    """The body of summary.md."""
    speedups = {(one["workload"], one["workers"][1]): one for one in summary["speedups"]}
    found = [
        "| workload | workers | drain /s | speed-up | efficiency | largest share |",
        "|---|---|---|---|---|---|",
    ]
    for point in by_workers(summary["points"]):
        one = speedups.get((point["workload"], point["workers"]))
        cells = [
            point["workload"],
            str(point["workers"]),
            words.rate_with_interval(dict(point), "drain_per_s"),
            *(speedup_cells(one) if one else ["1", "", ""]),
        ]
        found.append(f"| {' | '.join(cells)} |")
    found += ["", *(f"- {law_sentence(law)}" for law in summary["usl"])]
    if asked := [answer for answer in summary["sizing"] if answer["asked"]]:
        found += ["", "How many workers?", ""]
        found += [f"- {one['workload']}, {question(one)}: {needed(one)}." for one in asked]
    return found


def by_workers(points: Sequence[Record]) -> list[Record]:
    """Points by workload and worker count, whatever the order of their turns."""
    workloads = list(dict.fromkeys(point["workload"] for point in points))
    return sorted(points, key=lambda p: (workloads.index(p["workload"]), int(p["workers"])))


def speedup_cells(record: Record) -> list[str]:
    """Speed-up, efficiency and largest share; the flag where one worker did most."""
    share = record["largest_share"]
    flag = " (flagged)" if record["flagged"] else ""
    return [
        ratio(record),
        f"{record['efficiency']:.0%}",
        words.NOTHING if share is None else f"{share:.0%}{flag}",
    ]


def headline(speedups: Sequence[Record], points: Sequence[Record]) -> list[dict[str, Any]]:
    """What is compared between runs: the rate of the most workers, and their speed-up."""
    last: dict[str, Record] = {}
    for point in points:
        if point["workers"] >= last.get(point["workload"], point)["workers"]:
            last[point["workload"]] = point
    rates = [
        {
            "name": f"{workload}, {words.workers(point['workers'])}",
            "value": point["drain_per_s"],
            "unit": "tasks/s",
            "better": "higher",
        }
        for workload, point in last.items()
    ]
    ratios = [
        {
            "name": f"{one['workload']}, speed-up with {words.workers(one['workers'][1])}",
            "value": one["ratio"],
            "unit": f"times {words.workers(one['workers'][0])}",
            "better": "higher",
        }
        for one in speedups
        if one["workers"][1] == last[one["workload"]]["workers"]
    ]
    return rates + ratios
