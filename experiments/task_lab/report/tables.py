"""The tables of a report as HTML fragments. All text that comes from a run is escaped."""

from collections.abc import Sequence
from html import escape
from typing import Any

from task_lab.report import words
from task_lab.report.counts import LARGEST_FAIR_SHARE

Rows = Sequence[Sequence[str]]
SIGNS = {"PASS": "✓", "FAIL": "✗", "UNKNOWN": "?", "INVALID": "!", "INTERRUPTED": "‖"}


def table(head: Sequence[str], rows: Rows, *, text_columns: int = 1) -> str:
    """A table whose first `text_columns` columns are text and whose others are numbers.

    The cells are HTML already. An empty cell of the head is no heading of its column.
    """
    kinds = [""] * text_columns + [' class="num"'] * (len(head) - text_columns)

    def cells(row: Sequence[str]) -> str:
        return "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=True))

    titles = "".join(
        f'<th scope="col"{kind}>{title}</th>' if title else f"<td{kind}></td>"
        for kind, title in zip(kinds, head, strict=True)
    )
    body = "\n".join(f"<tr>{cells(row)}</tr>" for row in rows)
    return (
        f'<div class="table"><table>\n<thead><tr>{titles}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def badge(verdict: str) -> str:
    """The verdict with its sign, so that colour is not all that tells it."""
    known = verdict if verdict in SIGNS else "UNKNOWN"
    return f'<span class="badge {known.lower()}">{SIGNS[known]} {escape(verdict)}</span>'


def headline(summary: dict[str, Any]) -> str:
    """One line per point: rates and median latency; then the three counts in a sentence."""
    head = [
        "workload",
        "workers",
        *(f"{n}, tasks/s" for n in words.RATE_NAMES.values()),
        "queue wait p50",
        "end to end p50",
    ]
    rows = [
        [
            escape(point["workload"]),
            str(point["workers"]),
            *(f"<b>{words.rate(point[name])}</b>" for name in words.RATE_NAMES),
            words.seconds(point["queue_wait_s"]["p50"]),
            words.seconds(point["end_to_end_s"]["p50"]),
        ]
        for point in summary["points"]
    ]
    counted = summary["counts"]
    return table(head, rows) + (
        f"<p>Terminal tasks: client {words.count(counted['client'])}, "
        f"ledger {words.count(counted['ledger'])}, "
        f"Prometheus {words.count(counted['prometheus'])}.</p>"
    )


def rates(summary: dict[str, Any]) -> str:
    """The three rates of every point, medians with intervals, and how many measurements each."""
    head = ["workload", "workers", *(f"{n}<br>tasks/s" for n in words.RATE_NAMES.values())]
    rows = []
    for point in summary["points"]:
        cells = []
        for name in words.RATE_NAMES:
            interval = point["intervals"][name]
            under = (
                f"{words.rate(interval['low'])} to {words.rate(interval['high'])}"
                if interval
                else "no interval"
            )
            measured = (
                len(point["drains"])
                if name == "drain_per_s"
                else sum(r["kind"] == "round" for r in point["rounds"])
            )
            cells.append(
                f"<b>{words.rate(point[name])}</b><br><small>{under}, n = {measured}</small>"
            )
        rows.append([escape(point["workload"]), str(point["workers"]), *cells])
    return table(head, rows)


def speedups(summary: dict[str, Any]) -> str:
    """Each rate's ratio to that of the fewest workers, with its interval or why there is none."""
    rows = []
    for found in summary["speedups"]:
        few, many = found["workers"]
        interval = found["interval"]
        low_high = (
            f"{words.ratio(interval['low'])} to {words.ratio(interval['high'])}"
            if interval
            else escape(found["reason"] or "")
        )
        rows.append(
            [
                escape(found["workload"]),
                words.RATE_NAMES[found["rate"]],
                f"{few} → {many}",
                words.ratio(found["ratio"]),
                low_high,
            ]
        )
    return table(["workload", "rate", "workers", "ratio", "95 % interval"], rows, text_columns=3)


def shares(summary: dict[str, Any]) -> str:
    """How the workers of a drain split the work; empty when no drain had several."""
    rows = [
        [
            f"{escape(found['workload'])}, {words.workers(found['workers'])}",
            ", ".join(f"{share:.0%}" for share in found["shares"]),
            f"none over {LARGEST_FAIR_SHARE:.0%}"
            if found["fair"]
            else "<b>one worker did most: ratio not usable</b>",
        ]
        for found in summary["worker_shares"]
    ]
    return table(["drain", "share of each worker", ""], rows, text_columns=3) if rows else ""


_LATENCIES = (
    ("answer_s", "answer to the POST"),
    ("queue_wait_s", "queue wait"),
    ("end_to_end_s", "end to end"),
)


def latencies(summary: dict[str, Any]) -> str:
    """Percentiles from raw records; marked where the run was too short; the histogram beside."""
    buckets = {(b["workload"], b["workers"]): b["bounds"] for b in summary["queue_wait_buckets"]}
    head = ["workload", "workers", "latency", "tasks", "p50", "p95", "p99"]
    rows = []
    for point in summary["points"]:
        # Runs of earlier versions, and paced loads, have no figures of the answers.
        for name, label in (kind for kind in _LATENCIES if kind[0] in point):
            evidence = point["latency_evidence"][name]
            cells = [_percentile(value, q, evidence) for q, value in point[name].items()]
            where = [escape(point["workload"]), str(point["workers"])]
            rows.append([*where, label, words.count(evidence["tasks"]), *cells])
        bounds = buckets.get((point["workload"], point["workers"]))
        if bounds:
            rows.append([*where, "queue wait, histogram", "", *map(_bucket, bounds.values())])
    return table(head, rows, text_columns=3) + _too_short_note(summary)


def counts(summary: dict[str, Any]) -> str:
    """The three counts of terminal tasks, and each one's difference to the ledger's."""
    found, details = summary["counts"], summary["reconciliation"]
    prometheus_difference = details["prometheus_minus_ledger"]
    return table(
        ["counted by", "terminal tasks", "difference to the ledger"],
        [
            ["client: acknowledged or recovered", words.count(found["client"]),
             _signed(details["client_minus_ledger"])],
            ["ledger: rows in a terminal state", words.count(found["ledger"]), _signed(0)],
            ["Prometheus: raw counters, last less first", words.count(found["prometheus"]),
             _signed(prometheus_difference)],
        ],
    )  # fmt: skip


def checks(document: dict[str, Any]) -> str:
    """Each check with its verdict, what it expected and what it saw."""
    rows = [
        [
            escape(check["name"].replace("_", " ")),
            badge(check["verdict"]),
            escape(check.get("detail") or ""),
            escape(_short(check.get("expected"))),
            escape(_short(check.get("observed"))),
        ]
        for check in document["checks"]
    ]
    return table(["check", "verdict", "detail", "expected", "observed"], rows, text_columns=5)


def efficiency(summary: dict[str, Any]) -> str:
    """The floor's rates, and how many times as fast each comparable point was."""
    floor = summary["floor"] or {}
    names = list(words.RATE_NAMES)
    rows = [["floor", "", *(f"{words.rate(floor.get(n))} /s" for n in names)]]
    for point in summary["points"]:
        if point["efficiency"]:
            cells = [point["efficiency"][n.removesuffix("_per_s")] for n in names]
            shown = [words.NOTHING if c is None else f"{words.ratio(c)} times" for c in cells]
            rows.append([escape(point["workload"]), str(point["workers"]), *shown])
    return table(["", "workers", *words.RATE_NAMES.values()], rows)


def memory(found: dict[str, Any]) -> str:
    """The memory of each container, and what that is."""
    rows = [[escape(o["name"]), words.mebibytes(o["held_bytes"])] for o in found["containers"]]
    note = f"<p><small>{escape(words.memory_note(found).replace('`', ''))}</small></p>"
    return (table(["container", "memory"], rows) if rows else "") + note


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Two columns: what, and its value. Both are plain text."""
    return table(["what", "value"], [[escape(k), escape(v)] for k, v in pairs], text_columns=2)


def _percentile(value: float | None, q: str, evidence: dict[str, Any]) -> str:
    interval = (evidence["intervals"] or {}).get(q)
    low_high = (
        f"<br><small>{words.seconds(interval['low'])} to {words.seconds(interval['high'])}</small>"
        if interval
        else ""
    )
    if q in evidence["too_short"]:
        return f'<span class="weak">{words.seconds(value)} †</span>'
    return f"<b>{words.seconds(value)}</b>{low_high}"


def _too_short_note(summary: dict[str, Any]) -> str:
    reasons = words.too_short_reasons(summary)
    if not reasons:
        return ""
    listed = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    return f'<div class="weak">† {words.TOO_SHORT}<ul>{listed}</ul></div>'


def _bucket(bounds: Sequence[float | None] | None) -> str:
    if bounds is None:
        return words.NOTHING
    low, high = bounds
    return (
        f"over {words.seconds(low)}"
        if high is None
        else f"{words.seconds(low)} to {words.seconds(high)}"
    )


def _signed(difference: int | None) -> str:
    return words.NOTHING if difference is None else f"{difference:+,}" if difference else "0"


def _short(value: object, limit: int = 160) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= limit else f"{text[:limit]}…"
