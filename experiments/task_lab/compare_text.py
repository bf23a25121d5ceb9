"""A comparison in words and tables. Pure: the document that `compare` gives, in; text, out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from task_lab.output import Table
from task_lab.report import words

_HEADLINES = {
    "regression": "Regression",
    "no regression shown": "No regression shown",
    "unknown": "Nothing can be said",
}


def comparison_blocks(found: Mapping[str, Any]) -> list[str | Table]:
    """The comparison: which runs, the conclusion, the rates, the latencies, how it was found."""
    return [
        f"# {found['experiment']}: what changed from A to B",
        _runs_table(found),
        conclusion(found),
        *_notes(found),
        "## Rates, tasks a second",
        _rates_table(found),
        _method(found),
        "## Latencies",
        _latencies_table(found),
        "Percentiles with the interval of each side (95 %): differences to look at, not findings. "
        "† The run was too short for it.",
    ]


def conclusion(found: Mapping[str, Any]) -> str:
    """What can be said, first; then which rates, and what stays open."""
    rates: Sequence[Mapping[str, Any]] = found["rates"]
    lines = [f"**{_HEADLINES[found['verdict']]}.** {_sentence(found)}"]
    for finding in ("lower", "higher"):
        lines += [_told(one) for one in rates if one["finding"] == finding]
    open_ones = [one for one in rates if one["finding"] == "unknown"]
    if found["verdict"] != "unknown" and open_ones:
        lines.append(f"- not decided: {len(open_ones)} of {len(rates)} rates, too few measurements")
    if not found["other_machine"]:
        lines += _unproven([one for one in open_ones if _is_lower(one, found["least"])])
    return "\n".join([lines[0], "", *lines[1:]]).rstrip()


def _sentence(found: Mapping[str, Any]) -> str:
    rates, tested = found["rates"], found["tested"]
    if found["other_machine"]:
        return "The runs are of different machines: what differs may be them."
    if not rates:
        return "The runs have no point in common."
    if found["verdict"] == "unknown":
        return f"{_first_letter_up(next(one['reason'] for one in rates if one['reason']))}."
    seen = [one["seen_from"] for one in rates if one["seen_from"] is not None]
    could = (
        f" In each, a loss of {_percent(max(seen))} would have been seen in 4 of 5 cases."
        if seen
        else ""
    )
    number = sum(one["finding"] == "lower" for one in rates)
    lower = f"{number} of {tested}" if number else f"none of {tested}"
    is_or_are = "is" if number <= 1 else "are"
    return f"Of the rates that were tested, {lower} {is_or_are} lower.{could}"


def _told(one: Mapping[str, Any]) -> str:
    interval = one["interval"]
    between = (
        f", between {_change(interval['low'])} and {_change(interval['high'])}" if interval else ""
    )
    return (
        f"- {one['finding']}: {_name(one)}, {words.rate(one['a'])} → {words.rate(one['b'])} "
        f"({_change(one['ratio'])}{between}; p = {_p(one['p_corrected'])})"
    )


def _unproven(rates: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each reason: what was seen lower, and cannot be proven."""
    return [
        f"- seen lower, but not provable ({reason}): "
        + "; ".join(
            f"{_name(one)} {_change(one['ratio'])}" for one in rates if one["reason"] == reason
        )
        for reason in dict.fromkeys(one["reason"] for one in rates)
    ]


def _notes(found: Mapping[str, Any]) -> list[str]:
    notes = [
        f"- {side.upper()} has {one['verdict']}: its figures are not to be relied on"
        for side in ("a", "b")
        for one in found[side]
        if one["verdict"] != "PASS"
    ]
    started = {
        side: [one["started_at"] for one in found[side] if one["started_at"]] for side in ("a", "b")
    }
    if all(started.values()) and min(started["a"]) > max(started["b"]):
        notes.append("- A is the later run: read from B to A, what is called lower went up")
    notes += [
        f"- parameter {one['name']}: {one['before']} → {one['after']}"
        for one in found["parameters"]
    ]
    notes += [
        f"- version of {one['name']}: {one['before']} → {one['after']}" for one in found["versions"]
    ]
    for side in ("a", "b"):
        if only := found[f"only_in_{side}"]:
            points = ", ".join(" ".join(map(str, point.values())) for point in only)
            notes.append(f"- only in {side.upper()}: {points}")
    if found["compared_by"] == "rounds":
        notes.append(
            "- compared by the rounds of one run a side: what differs from one sitting to the next "
            "is not in the intervals; several runs a side, taken in turns, would show it"
        )
    notes += _unstable(found)
    floor = found["floor"]
    if floor and (moved := [r for r in floor if abs(floor[r]["ratio"] - 1) > 0.1]):
        told = ", ".join(
            f"{words.RATE_NAMES[rate]} {_change(floor[rate]['ratio'])}" for rate in moved
        )
        notes.append(f"- bare loops on the same servers changed too: {told}")
    return ["\n".join(notes)] if notes else []


def _unstable(found: Mapping[str, Any]) -> list[str]:
    """Why a machine's figures may not repeat, and of which side's runs that was said."""
    sides: dict[str, list[str]] = {}
    for side in ("a", "b"):
        for reason in dict.fromkeys(r for one in found[side] for r in one.get("unstable", ())):
            sides.setdefault(reason, []).append(side.upper())
    return [f"- {' and '.join(told)}: {reason}" for reason, told in sides.items()]


def _runs_table(found: Mapping[str, Any]) -> Table:
    head = ["", "run", "verdict", "started", "commit", "machine"]
    rows = [
        [
            side.upper(),
            one["id"],
            one["verdict"],
            words_of_time(one["started_at"]),
            commit(one["sha"], one["dirty"]),
            one["machine"] or words.NOTHING,
        ]
        for side in ("a", "b")
        for one in found[side]
    ]
    return Table(head, rows, text_columns=6)


def _rates_table(found: Mapping[str, Any]) -> Table:
    head = ["workload", "rate", "workers", "A", "B", "change", "interval (95 %)", "n", "p"]
    rows = [
        [
            _workload(one),
            words.RATE_NAMES[one["rate"]],
            str(one.get("workers", "")),
            words.rate(one["a"]),
            words.rate(one["b"]),
            _change(one["ratio"]),
            _changes(one["interval"]),
            f"{one['n'][0]} / {one['n'][1]}",
            _p(one["p_corrected"]),
            "" if one["seen_from"] is None else f"-{_percent(one['seen_from'])}",
            one["finding"],
        ]
        for one in found["rates"]
    ]
    return Table([*head, "seen from", "finding"], rows, text_columns=2)


def _latencies_table(found: Mapping[str, Any]) -> Table:
    head = ["workload", "latency", "workers", "A", "A's interval", "B", "B's interval", "change"]
    rows = [
        [
            _workload(one),
            f"{_LATENCY_NAMES[one['latency']]} {one['q']}{'†' if one['too_short'] else ''}",
            str(one.get("workers", "")),
            words.seconds(one["a"]),
            _span(one["a_interval"]),
            words.seconds(one["b"]),
            _span(one["b_interval"]),
            _delta(one),
        ]
        for one in found["latencies"]
    ]
    return Table(head, rows, text_columns=2, last_is_text=False)


def _delta(one: Mapping[str, Any]) -> str:
    """`+1.2 ms (+3 %)`."""
    if one["delta_s"] is None:
        return words.NOTHING
    sign = "+" if one["delta_s"] >= 0 else ""
    share = f" ({_change(one['b'] / one['a'])})" if one["a"] else ""
    return f"{sign}{words.seconds(one['delta_s'])}{share}"


_LATENCY_NAMES = {"queue_wait_s": "queue wait", "end_to_end_s": "end to end"}


def _method(found: Mapping[str, Any]) -> str:
    least = found["least"]
    return (
        f"Medians of {found['compared_by']} ({_drains(found)}n: A / B). p: Mann-Whitney, "
        f"two-sided, corrected by Holm for the {found['tested']} rates tested at once; interval: "
        "of the medians' ratio, bootstrap, from 6 a side, not corrected. "
        f"A finding has p ≤ {found['alpha']:g} and differs by more than "
        f"{_percent(least['share'])} and {least['units']:g}/s. Seen from: the smallest loss that "
        "so many values of that scatter show in 4 of 5 cases."
    )


def _drains(found: Mapping[str, Any]) -> str:
    return "drain: of drains; " if found["compared_by"] == "rounds" else ""


def words_of_time(at: str | None) -> str:
    """`2026-11-25 03:16`, UTC; `n/a` for none."""
    return str(at)[:16].replace("T", " ") if at else words.NOTHING


def commit(sha: str | None, is_dirty: bool) -> str:
    """`9f67757`, with a star where files had been changed; `n/a` outside a checkout."""
    return f"{sha[:7]}{' *' if is_dirty else ''}" if sha else words.NOTHING


def _name(one: Mapping[str, Any]) -> str:
    workers = [words.workers(one["workers"])] if "workers" in one else []
    return ", ".join([_workload(one), *workers, words.RATE_NAMES[one["rate"]]])


def _workload(one: Mapping[str, Any]) -> str:
    """`sum`; of a step of a ladder `sum at 0.5`."""
    fraction = one.get("fraction")
    return str(one.get("workload", "")) + ("" if fraction is None else f" at {fraction:g}")


def _is_lower(one: Mapping[str, Any], least: Mapping[str, float]) -> bool:
    return one["ratio"] is not None and one["ratio"] * (1 + least["share"]) < 1


def _change(ratio: float | None) -> str:
    """`+8.7 %`, `-40 %`; `n/a` for none."""
    return words.NOTHING if ratio is None else f"{_two_digits(100 * (ratio - 1)):+g} %"


def _percent(share: float) -> str:
    """`4.8 %`, `12 %`."""
    return f"{_two_digits(100 * share):g} %"


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}") if abs(value) < 100 else round(value)


def _changes(interval: Mapping[str, float] | None) -> str:
    return f"{_change(interval['low'])} to {_change(interval['high'])}" if interval else ""


def _span(interval: Sequence[float] | None) -> str:
    return f"{words.seconds(interval[0])} to {words.seconds(interval[1])}" if interval else ""


def _p(p: float | None) -> str:
    if p is None:
        return words.NOTHING
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}"


def _first_letter_up(text: str) -> str:
    return text[:1].upper() + text[1:]
