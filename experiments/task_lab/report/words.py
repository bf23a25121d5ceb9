"""Numbers and verdicts as text: one way to print a rate, a time, an interval, everywhere.

Pure. Markdown, because the same text goes into summary.md, the notebook and the HTML page.
"""

from collections.abc import Sequence
from typing import Any

VERDICTS = {
    "PASS": "Every accepted task is accounted for and every check passed.",
    "FAIL": "At least one check failed: the figures below describe a run that did something wrong.",
    "UNKNOWN": "There is not enough evidence for a verdict; do not quote the figures below.",
    "INVALID": "The run itself is not usable, so its figures say nothing about the platform.",
    "INTERRUPTED": "The run was stopped before it was complete.",
}
RATE_NAMES = {
    "submit_per_s": "submit",
    "drain_per_s": "drain",
    "end_to_end_per_s": "end to end",
}
NOTHING = "n/a"
TOO_SHORT = "Seen, but too short to be relied on:"


def rate(value: float | None) -> str:
    """Tasks per second: `2,934`, `41.7`; `n/a` for none."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def seconds(value: float | None) -> str:
    """A time in the unit that fits it: `310 µs`, `12.3 ms`, `1.84 s`; `n/a` for none."""
    if value is None:
        return NOTHING
    if abs(value) < 0.001:
        return f"{value * 1e6:.0f} µs"
    # What rounds to a thousand is one of the next unit.
    if abs(value) < 0.9995:
        return f"{value * 1e3:.3g} ms"
    return f"{value:,.3g} s" if abs(value) < 999.5 else f"{value:,.0f} s"


def count(value: int | None) -> str:
    """A whole number with its thousands apart; `n/a` for none."""
    return NOTHING if value is None else f"{value:,}"


def mebibytes(value: int | None) -> str:
    """Memory: `228 MiB`; `n/a` for none."""
    return NOTHING if value is None else f"{value / 2**20:,.0f} MiB"


def ratio(value: float | None) -> str:
    """How many times as much: `2.87`."""
    return NOTHING if value is None else f"{value:.2f}"


def rate_with_interval(point: dict[str, Any], name: str) -> str:
    """`2,934 (2,801 to 3,010)`; the interval is left out where the rounds cannot carry one."""
    interval = point["intervals"][name]
    text = rate(point[name])
    if interval is None:
        return text
    return f"{text} ({rate(interval['low'])} to {rate(interval['high'])})"


def workers(number: int) -> str:
    """`1 worker`, `3 workers`."""
    return f"{number} worker" if number == 1 else f"{number} workers"


def fault(record: dict[str, Any]) -> str:
    """`kill worker-1`, `broker restart`: what was done, and to whom unless that says it."""
    kind, target = record["kind"].replace("_", " "), record["target"]
    return kind if kind.startswith(target) else f"{kind} {target}"


def listed(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def verdict_sentence(run: dict[str, Any]) -> str:
    """What the verdict means, and how the run ended when that was not by completing."""
    sentence = VERDICTS.get(run["verdict"], VERDICTS["UNKNOWN"])
    ended = run.get("ended")
    if ended == "completed" or run["verdict"] == "INTERRUPTED":
        return sentence
    return f"{sentence} The run {f'ended: {ended}' if ended else 'has not ended'}."


def memory_note(memory: dict[str, Any]) -> str:
    """What the figures of memory are, and of when; or why there are none."""
    if "reason" in memory:
        return f"No figures of memory: {memory['reason']}"
    return f"Once the run had settled; {memory['definition']}."


def percentiles(point: dict[str, Any], name: str) -> str:
    """`12.3 ms / 20.1 ms / 31 ms†`; the dagger marks those the run was too short for."""
    too_short = point["latency_evidence"][name]["too_short"]
    return " / ".join(
        f"{seconds(value)}{'†' if q in too_short else ''}" for q, value in point[name].items()
    )


def too_short_reasons(summary: dict[str, Any]) -> list[str]:
    """One line per point and reason; the two latencies of a point share theirs."""
    found = {}
    for point in summary["points"]:
        for evidence in point["latency_evidence"].values():
            for reason in evidence["too_short"].values():
                where = f"{point['workload']}, {workers(point['workers'])}"
                found[f"{where}: {reason}"] = True
    return list(found)


def figure(value: float | None) -> str:
    """Any figure in four digits; `n/a` for none."""
    return NOTHING if value is None else f"{value:.4g}"
