"""The figures of each paced load: what was offered, what was achieved, and at what latency.

Pure. Latencies count from the *scheduled* send, so that a platform (or a sender) that stands still
shows in every task that was due meanwhile; `from_send_s` counts from the send itself, which is what
a bench that waits for answers would have seen (coordinated omission; G. Tene, "How NOT to Measure
Latency"). Figures are of the steady window: the first tenth of a load, a second at least, is left
out, and shown as `full`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from task_lab.report.points import clean, joined, latency, per_s
from task_lab.report.records import Phase

_LATENCIES = ("queue_wait_s", "end_to_end_s")
# Of a load, so much is measured; what comes before is its own warm-up.
STEADY_SHARE = 0.9
_WARM_S = 1.0
_LEAST_GRACE_S = 0.1
# Tasks of one second queue behind each other: only seconds are drawn as if independent.
_BLOCK_S = 1.0


def measure_paced(
    phases: Sequence[Phase], history: pd.DataFrame, tasks: pd.DataFrame
) -> list[dict[str, Any]]:
    """One record per paced phase that is of the experiment (`load`, `step`), in running order."""
    sent = dict(list(history.groupby("phase", sort=False)))
    ledger = dict(list(tasks.groupby("phase", sort=False)))
    return [
        paced_point(phase, sent[phase.name], ledger.get(phase.name, tasks.iloc[:0]))
        for phase in phases
        if phase.kind in ("load", "step") and phase.is_paced and phase.name in sent
    ]


def paced_point(phase: Phase, sent: pd.DataFrame, ledger: pd.DataFrame) -> dict[str, Any]:
    """A paced phase's figures. sent, ledger: the phase's own rows."""
    finished = joined(sent, ledger)
    sent_at = sent.dropna(subset=["task_id"]).drop_duplicates("task_id").set_index("task_id")
    finished["from_send_s"] = finished["finished_at"] - finished["id"].map(
        sent_at["sent_at"]
    ).astype(np.float64)
    first, last = float(sent["scheduled_at"].min()), float(sent["scheduled_at"].max())
    begin = first + min(max(_WARM_S, (1 - STEADY_SHARE) * (last - first)), (last - first) / 2)
    steady = finished[finished["scheduled_at"] >= begin]
    answered_s = float(sent["answered_at"].max() - sent["sent_at"].min())
    accepted = int((sent["outcome"] == "accepted").sum())
    span_s = float(finished["finished_at"].max() - first) if len(finished) else float("nan")
    percentiles = {name: _percentiles(steady, name, begin, last) for name in _LATENCIES}
    from_send, _ = _percentiles(steady, "from_send_s", begin, last)
    return {
        "workload": phase.workload,
        "workers": phase.workers,
        "phase": phase.name,
        "kind": phase.kind,
        "fraction": phase.fraction,
        "tasks": accepted,
        "submit_per_s": per_s(accepted, answered_s),
        "drain_per_s": None,
        "end_to_end_per_s": per_s(len(finished), span_s),
        **{name: found for name, (found, _) in percentiles.items()},
        "from_send_s": from_send,
        "full": {name: _percentiles(finished, name, first, last)[0] for name in _LATENCIES},
        "efficiency": None,
        "intervals": {"submit_per_s": None, "drain_per_s": None, "end_to_end_per_s": None},
        "latency_evidence": {name: evidence for name, (_, evidence) in percentiles.items()},
        "rounds": [],
        "drains": [],
        "steady_from": clean(begin - first),
        **_kept_up(phase, sent, finished, begin, last),
    }


def _kept_up(
    phase: Phase, sent: pd.DataFrame, finished: pd.DataFrame, begin: float, last: float
) -> dict[str, Any]:
    """Whether the platform kept up with what was due in the steady window.

    achieved_per_s: tasks finished in the window. achieved_over_offered: of those due in it, the
    share that was finished by its end and `grace_s` more: twice the time that a task is being
    worked on, for what is due last cannot be finished at once. Waiting earns no grace.
    """
    window_s = last - begin
    due = int(sent["scheduled_at"].between(begin, last).sum())
    of_window = finished[finished["scheduled_at"].between(begin, last)]
    service_s = (of_window["finished_at"] - of_window["started_at"]).median()
    grace_s = max(_LEAST_GRACE_S, 2 * float(service_s) if len(of_window) else 0.0)
    in_time = int((of_window["finished_at"] <= last + grace_s).sum())
    done = int(finished["finished_at"].between(begin, last).sum())
    lag_s = sent["sent_at"] - sent["scheduled_at"]
    return {
        "offered_per_s": clean(phase.offered_per_s or np.nan),
        "due_per_s": per_s(due, window_s),
        "achieved_per_s": per_s(done, window_s),
        "achieved_over_offered": clean(in_time / due) if due else None,
        "grace_s": clean(grace_s),
        "send_lag_p99_s": clean(float(lag_s.quantile(0.99))),
        "rejected": int((sent["outcome"] == "rejected").sum()),
        "unknown": int((sent["outcome"] == "unknown").sum()),
    }


def _percentiles(
    tasks: pd.DataFrame, name: str, begin: float, end: float
) -> tuple[dict[str, float | None], dict[str, Any]]:
    blocks = ((tasks["scheduled_at"] - begin) // _BLOCK_S).astype("Int64")
    return latency([of_block for _, of_block in tasks[name].groupby(blocks)], end - begin)
