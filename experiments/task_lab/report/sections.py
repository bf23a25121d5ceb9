"""The parts a report is made of, by name: what a notebook shows and what the page repeats.

Each part is an HTML fragment made from the run folder when it is asked for, so a part never shows
older data than the folder holds. A part whose data is missing says so in its place.
"""

import difflib
from base64 import b64encode
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from nbconvert.filters.markdown_mistune import markdown2html_mistune

from task_lab.errors import Unknown, UsageError
from task_lab.report import explain, plots, tables, words
from task_lab.report.captions import CAPTIONS, caption
from task_lab.report.records import RunRecords
from task_lab.report.summary import read_summary


class Parts:
    """A run as its parts read it. `summary` raises Unknown when the run has none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records = RunRecords(folder)

    @property
    def run(self) -> dict[str, Any]:
        return self.records.run

    @property
    def summary(self) -> dict[str, Any]:
        return read_summary(self.folder)


def section_html(folder: Path, name: str) -> str:
    """The named part of the run's report. Raises UsageError for a name that is none."""
    if name not in SECTIONS:
        close = difflib.get_close_matches(name, SECTIONS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(SECTIONS)}"
        raise UsageError(f"a report has no part {name!r}; {hint}")
    try:
        return SECTIONS[name](Parts(folder))
    except Unknown as missing:
        return f'<p class="missing">Not available: {escape(str(missing))}</p>'


def _verdict(parts: Parts) -> str:
    run = parts.run
    reason = f'<p class="reason">{escape(run["reason"])}</p>' if run.get("reason") else ""
    return (
        f'<p class="verdict">{tables.badge(run["verdict"])} '
        f"{escape(words.verdict_sentence(run))}</p>{reason}"
    )


def _headline(parts: Parts) -> str:
    """What a reader in a hurry needs: the rates, the latencies, the counts."""
    return tables.headline(parts.summary)


def _rates(parts: Parts) -> str:
    summary = parts.summary
    return _figures(parts, "rates") + tables.rates(summary)


def _rounds(parts: Parts) -> str:
    return _figures(parts, "rounds")


def _speedups(parts: Parts) -> str:
    summary = parts.summary
    return tables.speedups(summary) + tables.shares(summary)


def _scaling(parts: Parts) -> str:
    paragraphs = explain.explain_scaling(parts.run, parts.summary)
    if not paragraphs:
        return '<p class="missing">Nothing to compare: one worker count only.</p>'
    return "".join(_markdown(p) for p in paragraphs)


def _latency(parts: Parts) -> str:
    summary = parts.summary
    negative = sum(
        evidence["negative"]
        for p in summary["points"]
        for evidence in p["latency_evidence"].values()
    )
    warning = (
        f'<p class="missing">{negative:,} latencies are negative: the clocks of sender and '
        "database do not agree.</p>"
        if negative
        else ""
    )
    return _figures(parts, "latency") + warning + tables.latencies(summary)


def _counts(parts: Parts) -> str:
    summary = parts.summary
    details = summary["reconciliation"]
    lines = [
        ("submissions accepted", words.count(details["accepted"])),
        ("submissions refused", words.count(details["rejected"])),
        ("submissions without an answer, found in the ledger", words.count(details["recovered"])),
        ("submissions without an answer, absent from it", words.count(details["absent"])),
        ("accepted, but not in the ledger", words.count(details["lost"])),
        ("in the ledger, but submitted by nobody", words.count(details["unexpected"])),
        ("ledger rows not terminal", words.count(details["not_terminal"])),
        *(("note", note) for note in details["notes"]),
    ]
    why = _markdown(caption("counts")) if details["prometheus_minus_ledger"] else ""
    return tables.counts(summary) + why + tables.facts(lines)


def _checks(parts: Parts) -> str:
    document = parts.records.checks
    if not document:
        raise Unknown("the run was not checked")
    return f"<p>{tables.badge(document['verdict'])}</p>" + tables.checks(document)


def _generator(parts: Parts) -> str:
    load = parts.records.load
    if not load:
        raise Unknown("the load generator left no account of itself")
    busiest = _highest(load["phases"], "cpu_share")
    slowest = _highest(load["phases"], "loop_lag_p99_ms")
    calibration = load.get("calibration") or {}
    lines = [
        (
            "calibration: rate against a stub that answers at once",
            f"{words.rate(calibration.get('stub_per_s'))} /s "
            f"with {calibration.get('in_flight', words.NOTHING)} in flight",
        )
    ]
    if busiest:
        lines.append(("largest CPU share in a phase", f"{busiest[1]:.0%} of a core, {busiest[0]}"))
    if slowest:
        lines.append(("largest loop lag p99 in a phase", f"{slowest[1]:.3g} ms, {slowest[0]}"))
    lines += [("problem", reason) for reason in load.get("reasons", [])]
    return f"<p>{tables.badge(load['verdict'])}</p>" + tables.facts(lines)


def _highest(phases: dict[str, dict[str, Any]], field: str) -> tuple[str, float] | None:
    """The phase with the highest value of a field, and that value; None where none has one."""
    known = [(name, phase[field]) for name, phase in phases.items() if phase[field] is not None]
    return max(known, key=lambda item: item[1], default=None)


def _efficiency(parts: Parts) -> str:
    floor = parts.records.floor
    if not floor.get("submit_per_s"):
        raise Unknown(f"no floor was measured: {floor.get('reason', 'no reason was recorded')}")
    text = f"Floor code {floor.get('code_hash', 'without a hash')}."
    return tables.efficiency(parts.summary) + f"<p><small>{escape(text)}</small></p>"


def _environment(parts: Parts) -> str:
    run = parts.run
    machine, git = run["machine"], run["git"]
    asked = run["params"]["asked"]
    lines = [
        ("run", parts.folder.name),
        ("commit", f"{git['sha']}{' with uncommitted changes' if git['dirty'] else ''}"),
        ("started, ended", f"{run['started_at']}, {run.get('ended_at') or words.NOTHING}"),
        ("runtime", str(run.get("runtime", words.NOTHING))),
        ("processor", f"{machine['cpu']}, {machine['cores']} cores"),
        ("memory", f"{machine['memory_bytes'] / 2**30:.1f} GiB"),
        ("kernel", machine["kernel"]),
        ("machine fingerprint", machine["fingerprint"]),
        ("parameters given", ", ".join(f"{k} = {v}" for k, v in asked.items()) or "none"),
        *((f"version of {name}", str(v)) for name, v in sorted(run["versions"].items())),
    ]
    memory = parts.records.memory
    return tables.facts(lines) + (tables.memory(memory) if memory else "")


def _timelines(kind: str) -> Callable[[Parts], str]:
    return lambda parts: _figures(parts, kind)


def _figures(parts: Parts, kind: str) -> str:
    """Every figure of a kind, embedded, with its caption under it."""
    names = [n for n in plots.expected_figures(parts.summary) if n.startswith(kind)]
    found = []
    for name in names:
        path = parts.folder / plots.FOLDER / name
        if not path.is_file():
            raise Unknown(f"{name} was not drawn")
        workload = name.removesuffix(".png").removeprefix(kind).lstrip("-")
        title = f"<figcaption>Workload <b>{escape(workload)}</b></figcaption>" if workload else ""
        what = escape(" ".join(filter(None, [kind.replace("-", " "), workload])))
        data = b64encode(path.read_bytes()).decode("ascii")
        found.append(
            f'<figure>{title}<img alt="{what}" src="data:image/png;base64,{data}"></figure>'
        )
    if kind in CAPTIONS:
        metric = parts.records.metrics.get(CAPTIONS[kind].metric or "")
        found.append(_markdown(caption(kind, metric)))
    return "".join(found)


def _markdown(text: str) -> str:
    html: str = markdown2html_mistune(text)
    return html


SECTIONS: dict[str, Callable[[Parts], str]] = {
    "verdict": _verdict,
    "headline": _headline,
    "rates": _rates,
    "rounds": _rounds,
    "speedups": _speedups,
    "scaling": _scaling,
    "throughput": _timelines("throughput"),
    "queue-depth": _timelines("queue-depth"),
    "in-flight": _timelines("in-flight"),
    "latency": _latency,
    "counts": _counts,
    "checks": _checks,
    "generator": _generator,
    "efficiency": _efficiency,
    "environment": _environment,
}
