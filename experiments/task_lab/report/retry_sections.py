"""What a report of retries says in tables, in text and under its figures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from task_lab.errors import Unknown
from task_lab.report import tables, words
from task_lab.report.captions import Caption
from task_lab.report.parts import Parts, Summary, figures_html

_RATES = {
    "goodput_per_s": "goodput",
    "throughput_per_s": "throughput",
    "attempts_per_s": "attempts",
}


def headline(parts: Parts) -> str:
    """Totals, foretold and counted; goodput against throughput; the lateness of retries."""
    return expectations(parts) + _rates_table(parts.summary)


def expectations(parts: Parts) -> str:
    """Each total as foretold and as it was counted, with the differences."""
    rows = [
        [
            escape(one["name"]),
            words.count(one["foretold"]),
            f"<b>{words.count(one['ledger'])}</b>",
            _difference(one["ledger"], one["foretold"]),
            words.count(one["prometheus"]),
            _difference(one["prometheus"], one["foretold"]),
        ]
        for one in parts.summary["expectations"]
    ]
    head = ["", "foretold", "ledger, queue", "difference", "Prometheus", "difference"]
    return tables.table(head, rows)


def _difference(count: int | None, foretold: int) -> str:
    if count is None:
        return words.NOTHING
    return f"<b>{count - foretold:+,}</b>" if count != foretold else "0"


def _rates_table(summary: Summary) -> str:
    rows = [
        [
            escape(one["workload"]),
            str(one["workers"]),
            *(f"<b>{words.rate(one[name])}</b>" for name in _RATES),
        ]
        for one in summary["goodput"]
    ]
    head = ["workload", "workers", *(f"{name}, per second" for name in _RATES.values())]
    return tables.table(head, rows)


def time_to_end(parts: Parts) -> str:
    """Every part of the mix: how its tasks ended, and when."""
    rows = [
        [
            escape(one["part"]),
            escape(one["ends"]),
            words.count(one["tasks"]),
            words.count(one["as_foretold"]),
            str(one["attempts"]),
            _range(one["backoff_s"]),
            *(words.seconds((one["to_end_s"] or {}).get(q)) for q in ("p50", "p95", "max")),
        ]
        for one in parts.summary["parts"]
    ]
    head = [
        *("part", "ends", "tasks", "as foretold", "attempts", "its waits in all"),
        *("to its end p50", "p95", "longest"),
    ]
    return figures_html(parts, "time-to-end") + tables.table(head, rows, text_columns=2)


def _range(bounds: Sequence[float]) -> str:
    low, high = bounds
    return f"{words.seconds(low)} to {words.seconds(high)}" if high else "none"


def backoff(parts: Parts) -> str:
    """The waits after each failed attempt against their bounds; how late the retries began."""
    records = parts.summary["backoff"]
    if not records:
        raise Unknown("no retry was witnessed")
    rows = [
        [
            str(one["attempt"]),
            words.count(one["retries"]),
            _range([one["low_s"], one["high_s"]]),
            _range([one["wait_s"]["min"], one["wait_s"]["max"]]),
            words.count(one["outside"]),
            *(words.seconds((one["late_s"] or {}).get(q)) for q in ("p50", "p95", "max")),
        ]
        for one in records
    ]
    head = [
        *("failed attempt", "retries", "bounds", "seen", "outside"),
        *("late p50", "p95", "longest"),
    ]
    return figures_html(parts, "backoff") + tables.table(head, rows)


def goodput(parts: Parts) -> str:
    """Goodput, throughput and attempts, over time and as rates."""
    return figures_html(parts, "goodput") + _rates_table(parts.summary)


def lines(summary: Summary) -> list[str]:
    """Tables of the expectations, the rates, the waits."""
    found = ["| | foretold | ledger, queue | Prometheus |", "|---|---:|---:|---:|"]
    for one in summary["expectations"]:
        cells = [words.count(one[name]) for name in ("foretold", "ledger", "prometheus")]
        found.append(f"| {one['name']} | {' | '.join(cells)} |")
    found += ["", "| workload | workers | goodput /s | throughput /s | attempts /s |"]
    found += ["|---|---:|---:|---:|---:|"]
    for one in summary["goodput"]:
        cells = [one["workload"], str(one["workers"]), *(words.rate(one[name]) for name in _RATES)]
        found.append(f"| {' | '.join(cells)} |")
    found += [
        "",
        "| failed attempt | retries | waits | bounds | late p95 |",
        "|---:|---:|---|---|---:|",
    ]
    for one in summary["backoff"]:
        seen, late = one["wait_s"], one["late_s"] or {}
        found.append(
            f"| {one['attempt']} | {words.count(one['retries'])} "
            f"| {_range([seen['min'], seen['max']])} | {_range([one['low_s'], one['high_s']])} "
            f"| {words.seconds(late.get('p95'))} |"
        )
    return found


_HATCHED = " Hatched: the discarded warm-up, which is foretold and counted like the load."
CAPTIONS = {
    "retries": Caption(
        "Above: failed attempts that will be retried, by the ledger's own times and by the "
        "workers' counters, both over the last second. PromQL's rate looks from scrape to "
        "scrape, so it can be late by one, and its values between whole numbers are no counts. "
        "Below: tasks whose retry is set and not yet due, from the witness of the ledger."
        + _HATCHED,
        metric="retries",
    ),
    "dead-letters": Caption(
        "Three views of the same number, and what it must come to: rows of the ledger, the "
        "workers' raw counters, and the messages that the broker says `tasks.dlq` holds, which "
        "it renews itself. A hopeless task whose error forbids another attempt dies at once; "
        "one that may be retried only after all its waits, so the curve goes on after the "
        "load's end." + _HATCHED,
        metric="dlq_ready",
    ),
    "attempts": Caption(
        "Hatched: what the seed of the mix foretells. Filled: the ledger, warm-up included. "
        "Bars of the same height are not enough for a PASS: every task is compared by itself."
    ),
    "backoff": Caption(
        "Left: each dot is the wait that the database set for one retry, from the moment the "
        "failure was recorded; the boxes are where it must lie. It is drawn by chance, so that "
        "tasks which failed together do not come back together. Right: how long after that a "
        "worker claimed it: the relay's look at what is due, the broker, and the worker's "
        "queue."
    ),
    "time-to-end": Caption(
        "Each dot is one task of the load. Boxes: the sum of the shortest and of the longest "
        "waits that its failed attempts can bring. What lies right of a box is waiting for "
        "anything else: dispatch after each wait, and the runs themselves."
    ),
    "goodput": Caption(
        "Each line counts the second before. Goodput: tasks that succeeded and are in every "
        "respect as foretold. Throughput: whatever became terminal, dead letters too. Attempts: "
        "everything that workers ran. Grey: the stretch that the rates are taken from, when "
        "retries of every kind are under way and the load still goes on. The warm-up's peak is "
        "cut off." + _HATCHED
    ),
    "latency": Caption(
        "Percentiles of all tasks of the load's steady stretch, counted from their scheduled "
        "send. The end-to-end latency of a task that is retried contains its waits, so the "
        "upper percentiles are back-off and not backlog; the queue wait is that of its last "
        "attempt."
    ),
}
