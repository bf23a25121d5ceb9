"""summary.json and summary.md: what a run found, recomputed from its raw files alone.

The same raw files give the same bytes. The names in summary.json are an interface; they change only
with the schema version.
"""

import json
from pathlib import Path
from typing import Any

from task_lab.check.evidence import read_evidence
from task_lab.check.objectives import judge_objectives
from task_lab.report import cores, counts, latency_buckets, paced, points
from task_lab.report.kinds import kind_of
from task_lab.report.records import RunRecords
from task_lab.report.resources import resource_summary, samples_from
from task_lab.report.text import summary_text
from task_lab.schema import SCHEMA
from task_lab.store import RunFolder, write_atomically


def summarise(folder: Path) -> dict[str, Any]:
    """Compute the summary, write summary.json and summary.md, return it.

    Raises UsageError when the folder is not a run's, EvidenceMissing when raw files are.
    """
    records = RunRecords(folder)
    summary = build_summary(records)
    text = json.dumps(summary, indent=2, sort_keys=True, allow_nan=False)
    write_atomically(folder / "summary.json", text + "\n")
    write_atomically(folder / "summary.md", summary_text(records.run, summary))
    return summary


def build_summary(records: RunRecords) -> dict[str, Any]:
    """The summary as a plain record, nothing written. Raises EvidenceMissing."""
    evidence = read_evidence(RunFolder(records.folder))
    measured = [
        *points.measure_points(records.phases, evidence.history, evidence.tasks),
        *paced.measure_paced(records.phases, evidence.history, evidence.tasks),
    ]
    for point in measured:
        types = evidence.spec.workload(point["workload"]).task_types
        if not point.get("offered_per_s"):
            point["efficiency"] = points.efficiency(point, records.floor, types)
    common = {
        "schema": SCHEMA,
        "experiment": records.run["experiment"],
        "kind": evidence.spec.kind,
        "points": measured,
        "worker_shares": counts.worker_shares(records.phases, records.metrics.get("processed_raw")),
        "cores_used": cores.cores_used(records.phases, records.metrics.get("cpu_seconds")),
        "queue_wait_buckets": latency_buckets.bucket_bounds(
            records.phases, records.metrics.get("queue_wait_buckets")
        ),
        "floor": records.floor or None,
        "resources": resource_summary(records.phases, samples_from(records.resource_lines)),
        "memory": _without_raw(records.memory),
        **counts.reconcile(evidence),
        "objectives": judge_objectives(evidence.spec.objectives, measured),
    }
    return {**common, **kind_of(records.run).build(records, evidence, common)}


def _without_raw(memory: dict[str, Any]) -> dict[str, Any] | None:
    """memory.json without the engine's own fields; None where the run has none."""
    if not memory:
        return None
    kept = [{k: v for k, v in one.items() if k != "raw"} for one in memory["containers"]]
    return {**memory, "containers": kept}
