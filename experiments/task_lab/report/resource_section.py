"""The report's part about resources, and the facts about the machine, as HTML and as rows.

All text that comes from a run is escaped.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from task_lab.collect.unstable import unstable
from task_lab.errors import Unknown
from task_lab.report import tables, words

_MEMORY = (
    "Memory is resident memory: private pages of every process of a part, and the largest shared "
    "part of one of them. Pages that a child got from its parent and has not changed count for "
    "both, about 2 MiB for each session of Postgres. Files that were merely read are not in it, "
    "whatever the version of control groups."
)
_PARTS = {"worker": "workers"}

Show = Callable[[float | None], str]


def resources_html(summary: Mapping[str, Any] | None, machine: Mapping[str, Any]) -> str:
    """What was sampled and what it says. summary: of `resource_summary`; machine: of run.json.

    Raises Unknown for a run that was not sampled.
    """
    if not summary:
        raise Unknown("the use of resources was not sampled")
    found = summary["sampling"]
    parts = _parts(summary["points"])
    return "".join(
        (
            f"<p>{escape(sampling_text(found))}</p>",
            _reasons(unstable(machine, found["steal_share"])),
            _table("Mean cores", summary["points"], parts, "cores", _number),
            _table("CPU per task, ms", summary["points"], parts, "cpu_ms_per_task", _small_number),
            _table("Peak memory, MiB", summary["points"], parts, "memory_bytes", _mebibytes),
            f"<p><small>{escape(_MEMORY)}</small></p>",
            _phases(summary["phases"], parts),
        )
    )


def sampling_text(found: Mapping[str, Any]) -> str:
    """How often was looked, at what cost, and what was missed, in sentences."""
    if found["cost_cores"] is None:
        return f"There are {found['samples']} samples, too few to tell what anything used."
    gaps = found["gaps"]
    missed = sum(gap["to"] - gap["from"] for gap in gaps)
    sentences = (
        f"{words.count(found['samples'])} samples, one every {found['every_s']:g} s, over "
        f"{found['sampled_s']:g} s: processor time, memory, disk and open files of each part with "
        "all its processes, and of the machine.",
        f"The sampling itself took {found['cost_cores']:.1%} of a core.",
        f"What no part accounts for, the system and others, kept {found['other_cores']:.2g} cores "
        "busy.",
        f"{found['steal_share']:.1%} of the time of the cores went to other machines on the same "
        f"hardware, {found['iowait_share']:.1%} to waiting for disks.",
        f"In {len(gaps)} {'place' if len(gaps) == 1 else 'places'} samples are missing, "
        f"{missed:.1f} s in all: the lab or the machine stood still. Nothing is assumed of them."
        if gaps
        else "No sample is missing.",
    )
    return " ".join(sentences)


def machine_facts(machine: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What run.json says of the machine, as pairs of plain text; what is not known is left out."""
    processor, limits = machine.get("processor") or {}, machine.get("limits") or {}
    system, disk = machine.get("system") or {}, machine.get("disk") or {}
    load, python = machine.get("load") or {}, machine.get("python") or {}
    mhz = processor.get("frequency_mhz") or {}
    known: list[tuple[str, str | None]] = [
        ("processor", f"{machine['cpu']}, {machine['cores']} cores"),
        ("physical cores", _text(processor.get("physical_cores"))),
        ("frequency, MHz", ", ".join(f"{k} {v:,.0f}" for k, v in mhz.items() if v is not None)),
        ("frequency governor", processor.get("governor")),
        ("turbo", _on_off(processor.get("turbo"))),
        ("memory", f"{machine['memory_bytes'] / 2**30:.1f} GiB"),
        ("limit of processor time, cores", _text(limits.get("cpu_quota_cores"))),
        ("limit of memory", _limit(limits.get("memory_limit_bytes"))),
        ("operating system", system.get("os")),
        ("kernel", machine["kernel"]),
        ("virtual machine", system.get("hypervisor")),
        ("container", system.get("container")),
        ("clock source", system.get("clock_source")),
        ("address space layout randomised", _text(system.get("aslr"))),
        ("file system of the data", disk.get("file_system")),
        ("fsync of 4 KiB, median", _milliseconds(disk.get("fsync_ms"))),
        ("load average before the start", _list(load.get("load_average"))),
        (
            "Python",
            " ".join(filter(None, map(python.get, ("implementation", "compiler", "build")))),
        ),
        ("machine fingerprint", machine["fingerprint"]),
    ]
    return [(name, value) for name, value in known if value]


def _reasons(reasons: Sequence[str]) -> str:
    if not reasons:
        return ""
    listed = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    return f'<div class="weak">What makes figures of this machine shaky:<ul>{listed}</ul></div>'


def _table(
    title: str, points: Sequence[Mapping[str, Any]], parts: Sequence[str], field: str, show: Show
) -> str:
    rows = [[_point(point), *_cells(point[field], parts, show)] for point in points]
    head = ["load", *(escape(_PARTS.get(part, part)) for part in parts)]
    return f"<h3>{title}</h3>{tables.table(head, rows)}" if rows else ""


def _point(point: Mapping[str, Any]) -> str:
    """Workload, workers and what kind of load it was: `round`, or `step 0.9` of a ladder."""
    kind, fraction = escape(point["kind"]), point["fraction"]
    load = kind if fraction is None else f"{kind} {fraction:g}"
    where = f"{escape(point['workload'])}, {words.workers(point['workers'])}"
    return f"{where}<br><small>{load}</small>"


def _phases(phases: Sequence[Mapping[str, Any]], parts: Sequence[str]) -> str:
    """Every phase with its mean cores and, under them, its peak memory; folded away."""
    if not phases:
        return ""
    rows = [
        [
            escape(phase["phase"]),
            f"{phase['seconds']:.3g} s",
            *(
                f"{cores}<br><small>{memory}</small>"
                for cores, memory in zip(
                    _cells(phase["cores"], parts, _number),
                    _cells(phase["memory_bytes"], parts, _mebibytes),
                    strict=True,
                )
            ),
        ]
        for phase in phases
    ]
    head = ["phase", "length", *(escape(_PARTS.get(part, part)) for part in parts)]
    return (
        "<details><summary>Mean cores, and peak memory in MiB, of each phase</summary>"
        f"{tables.table(head, rows)}</details>"
    )


def _parts(points: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(part for p in points for part in p["cores"] or ()))


def _cells(values: Mapping[str, float | None] | None, parts: Sequence[str], show: Any) -> list[str]:
    return [show((values or {}).get(part)) for part in parts]


def _number(value: float | None) -> str:
    return words.NOTHING if value is None else f"{value:.2f}"


def _small_number(value: float | None) -> str:
    return words.NOTHING if value is None else f"{value:.3f}"


def _mebibytes(value: float | None) -> str:
    return words.NOTHING if value is None else f"{value / 2**20:,.0f}"


def _text(value: object) -> str | None:
    return None if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _on_off(value: bool | None) -> str | None:
    return None if value is None else "on" if value else "off"


def _limit(value: int | None) -> str | None:
    return None if value is None else words.mebibytes(value)


def _milliseconds(value: float | None) -> str | None:
    return None if value is None else f"{value:g} ms"


def _list(values: Sequence[float] | None) -> str | None:
    return None if not values else ", ".join(f"{value:.2f}" for value in values)
