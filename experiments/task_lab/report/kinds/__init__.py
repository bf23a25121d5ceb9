"""The kinds of experiment, and what is particular to the report of each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from task_lab.report.kinds.faults import FAULTS
from task_lab.report.kinds.retries import RETRIES
from task_lab.report.kinds.saturation import SATURATION
from task_lab.report.kinds.scaling import SCALING
from task_lab.report.kinds.throughput import THROUGHPUT
from task_lab.report.parts import ReportKind

KINDS: Mapping[str, ReportKind] = MappingProxyType(
    {
        "throughput": THROUGHPUT,
        "retries_and_dlq": RETRIES,
        "faults": FAULTS,
        "saturation": SATURATION,
        "scaling": SCALING,
    }
)


def kind_of(run: Mapping[str, Any]) -> ReportKind:
    """The kind of a run, by its run.json."""
    return KINDS[run["params"]["resolved"]["kind"]]
