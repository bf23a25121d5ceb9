"""summary.json and summary.md: what a run found, recomputed from its raw files alone.

The same raw files give the same bytes. The names in summary.json are an interface; they change only
with the schema version.
"""

import json
from pathlib import Path
from typing import Any

from task_lab.check.evidence import read_evidence
from task_lab.errors import Unknown
from task_lab.report import cores, counts, latency_buckets, points, words
from task_lab.report.records import RunRecords
from task_lab.store import SCHEMA, RunFolder, write_atomically


def summarise(folder: Path) -> dict[str, Any]:
    """Compute the summary, write summary.json and summary.md, return it.

    Raises UsageError when the folder is not a run's, EvidenceMissing when raw files are.
    """
    records = RunRecords(folder)
    summary = build_summary(records)
    text = json.dumps(summary, indent=2, sort_keys=True, allow_nan=False)
    write_atomically(folder / "summary.json", text + "\n")
    write_atomically(folder / "summary.md", words.summary_text(records.run, summary))
    return summary


def read_summary(folder: Path) -> dict[str, Any]:
    """The written summary. Raises Unknown when the run was never summarised."""
    try:
        found: dict[str, Any] = json.loads((folder / "summary.json").read_text("utf-8"))
    except FileNotFoundError:
        raise Unknown(f"{folder.name} has no summary.json: its raw data is incomplete") from None
    return found


def build_summary(records: RunRecords) -> dict[str, Any]:
    """The summary as a plain record, nothing written. Raises EvidenceMissing."""
    evidence = read_evidence(RunFolder(records.folder))
    measured = points.measure_points(records.phases, evidence.history, evidence.tasks)
    types = task_types(records.run)
    for point in measured:
        task_type = types.get(point["workload"])
        point["efficiency"] = points.efficiency(point, records.floor, task_type)
    return {
        "schema": SCHEMA,
        "experiment": records.run["experiment"],
        "points": measured,
        "speedups": points.speedups(measured),
        "worker_shares": counts.worker_shares(records.phases, records.metrics.get("processed_raw")),
        "cores_used": cores.cores_used(records.phases, records.metrics.get("cpu_seconds")),
        "queue_wait_buckets": latency_buckets.bucket_bounds(
            records.phases, records.metrics.get("queue_wait_buckets")
        ),
        "floor": records.floor or None,
        "memory": _without_raw(records.memory),
        **counts.reconcile(evidence),
    }


def _without_raw(memory: dict[str, Any]) -> dict[str, Any] | None:
    """memory.json without the engine's own fields; None where the run has none."""
    if not memory:
        return None
    kept = [{k: v for k, v in one.items() if k != "raw"} for one in memory["containers"]]
    return {**memory, "containers": kept}


def task_types(run: dict[str, Any]) -> dict[str, str]:
    """The task type behind each workload of a run, by workload name."""
    workloads = run.get("params", {}).get("resolved", {}).get("workloads", [])
    return {w["name"]: w["task_type"] for w in workloads}
