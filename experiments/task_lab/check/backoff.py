"""The wait before each retry as the database set it, and when the retry really began. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from task_platform.domain.retry import RetryPolicy, backoff_s
from task_platform.domain.task import State

from task_lab.check.evidence import Evidence
from task_lab.check.foretold import RETRIED

_BASE, _CAP = "TASK_PLATFORM_RETRY_BASE_S", "TASK_PLATFORM_RETRY_CAP_S"
COLUMNS = ("task_id", "attempt", "retried_at", "wait_s", "due_at", "late_s")


def policy_of(settings: Mapping[str, str]) -> RetryPolicy:
    """The platform's back-off under these settings; a type with one of its own is not covered."""
    usual = RetryPolicy()
    return RetryPolicy(
        base_s=float(settings.get(_BASE, usual.base_s)),
        cap_s=float(settings.get(_CAP, usual.cap_s)),
    )


def band_s(policy: RetryPolicy, attempt: int) -> tuple[float, float]:
    """The shortest and the longest wait after a failed attempt of this number (from 1)."""
    return backoff_s(policy, attempt, 0.0), backoff_s(policy, attempt, 1.0)


def witnessed_retries(evidence: Evidence) -> pd.DataFrame | None:
    """One row a retry, in the order of the witness; None where nobody noted when tasks were due.

    attempt: the number of the one that failed. retried_at: when that was recorded, unix seconds.
    wait_s: from then until the retry is due, exactly as the database has it. late_s: from there to
    the claim; NaN where none came. A task's returns for any other reason are left out.
    """
    witness, failures = evidence.witness, evidence.failures
    if witness is None or failures is None:
        return None
    if any(step.due_in_s is None for step in witness.transitions):
        return None
    retried = failures[failures["outcome"] == RETRIED]
    numbers = dict(
        zip(zip(retried["task_id"], retried["fence"], strict=True), retried["attempt"], strict=True)
    )
    late = {
        (step.task_id, step.fence): -(step.due_in_s or 0.0)
        for step in witness.transitions
        if (step.before, step.after) == (State.QUEUED, State.PROCESSING)
    }
    rows = [
        (
            step.task_id,
            numbers[step.task_id, step.fence],
            step.seen_at,
            step.due_in_s,
            step.seen_at + (step.due_in_s or 0.0),
            late.get((step.task_id, step.fence + 1), np.nan),
        )
        for step in witness.transitions
        if (step.before, step.after) == (State.PROCESSING, State.QUEUED)
        and (step.task_id, step.fence) in numbers
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"attempt": "int64"})
