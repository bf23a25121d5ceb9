"""summary.json as a run has it on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from task_lab.errors import Unknown
from task_lab.schema import upgraded_summary
from task_lab.store import read_json


def read_summary(folder: Path) -> dict[str, Any]:
    """The written summary, as this version writes it. Raises Unknown when there is none."""
    try:
        return upgraded_summary(read_json(folder / "summary.json"))
    except FileNotFoundError:
        raise Unknown(f"{folder.name} has no summary.json: its raw data is incomplete") from None
