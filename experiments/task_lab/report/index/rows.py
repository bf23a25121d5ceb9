"""One line of the index for each run folder, whatever state its files are in.

A run whose run.json cannot be read has a line that says so rather than none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from task_lab.report.index.found import Figure, Found, found_in
from task_lab.report.tables import SIGNS
from task_lab.report.words import NOTHING

_REASON_LENGTH = 240


@dataclass(frozen=True)
class Row:
    """A run as the index shows it. Texts are plain: nothing in them is HTML."""

    experiment: str
    name: str
    verdict: str = "UNKNOWN"
    started_at: datetime | None = None
    commit: str = ""
    dirty: bool = False
    machine: str = ""
    hardware: str = ""
    runtime: str = ""
    # What was asked for, as text: runs with the same are of one kind.
    asked: str = ""
    found: str = ""
    reason: str = ""
    figures: tuple[Figure, ...] = ()
    # Relative to the index, quoted; None where the run has no report.
    report: str | None = None

    @property
    def id(self) -> str:
        """Unique on the page, and what a link to this line ends with."""
        return f"{self.experiment}/{self.name}"

    @property
    def started(self) -> str:
        """`2026-01-02 03:04:05`, UTC; empty where not known."""
        return f"{self.started_at:%Y-%m-%d %H:%M:%S}" if self.started_at else ""

    @property
    def kind(self) -> tuple[str, str]:
        """Only runs of one kind are on one line of a trend."""
        return self.runtime, self.asked


def read_rows(results: Path) -> list[Row]:
    """Every run below `results`, newest first. A folder that goes away meanwhile is left out."""
    rows = [row for path in results.glob("*/*/run.json") if (row := _read(path.parent))]
    return sorted(rows, key=lambda row: (row.started, row.name, row.experiment), reverse=True)


def _read(folder: Path) -> Row | None:
    experiment, name = folder.parent.name, folder.name
    try:
        run = json.loads((folder / "run.json").read_text("utf-8"))
        verdict = str(run["verdict"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Row(
            experiment,
            name,
            started_at=_time_in(name),
            found=f"unreadable: {_told(error)}",
            report=_report(folder),
        )
    git, machine, params = (_mapping(run, key) for key in ("git", "machine", "params"))
    found = _found(folder)
    return Row(
        experiment,
        name,
        verdict=verdict if verdict in SIGNS else "UNKNOWN",
        started_at=_moment(run.get("started_at")) or _time_in(name),
        commit=str(git.get("sha") or "")[:7],
        dirty=bool(git.get("dirty")),
        machine=str(machine.get("fingerprint") or ""),
        hardware=_hardware(machine),
        runtime=str(run.get("runtime") or ""),
        asked=_asked(params),
        found=found.text,
        reason="" if verdict == "PASS" else _short(str(run.get("reason") or "")),
        figures=found.figures,
        report=_report(folder),
    )


def _found(folder: Path) -> Found:
    """What summary.json has to say; why nothing where it cannot be read."""
    try:
        return found_in(json.loads((folder / "summary.json").read_text("utf-8")))
    except FileNotFoundError:
        return Found(NOTHING)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return Found(f"summary unreadable: {_told(error)}")


def _report(folder: Path) -> str | None:
    if not (folder / "report.html").is_file():
        return None
    return quote(f"{folder.parent.name}/{folder.name}/report.html")


def _hardware(machine: Mapping[str, Any]) -> str:
    """`AMD EPYC, 2 cores`; empty where the run does not say."""
    cpu, cores = machine.get("cpu"), machine.get("cores")
    return ", ".join([str(cpu)] * bool(cpu) + [f"{cores} cores"] * bool(cores))


def _asked(params: Mapping[str, Any]) -> str:
    """`rounds = 2, tasks = 200`; a run that keeps no record of it is known by all it resolved."""
    asked = _mapping(params, "asked" if "asked" in params else "resolved")
    return ", ".join(f"{key} = {_plain(asked[key])}" for key in sorted(asked))


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = document.get(key)
    return found if isinstance(found, Mapping) else {}


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _time_in(name: str) -> datetime | None:
    """When a run was created, by its folder's name."""
    try:
        return datetime.strptime(name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _told(error: Exception) -> str:
    return _short(f"{type(error).__name__}: {error}")


def _short(text: str) -> str:
    return text if len(text) <= _REASON_LENGTH else f"{text[:_REASON_LENGTH]}…"
