"""Which checks a run has to stand, by its kind of experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from task_lab.check.disturbed import (
    check_claims_witnessed,
    check_counts_explained,
    check_faults_bit,
    check_run_twice,
)
from task_lab.check.evidence import Evidence
from task_lab.check.invariants import CHECKS, CheckOf
from task_lab.check.kept_history import check_history
from task_lab.check.retries import RETRIES_CHECKS
from task_lab.check.two_records import check_records_agree
from task_lab.check.verdict import Check, answer_of

# Beside those of every run.
MORE: Mapping[str, Sequence[CheckOf]] = MappingProxyType(
    {
        "faults": (check_history, check_records_agree, check_run_twice, check_faults_bit),
        "retries_and_dlq": (check_history, check_records_agree, *RETRIES_CHECKS),
    }
)
# Instead of one of those, by its name: what disturbs a run on purpose has rules of its own.
INSTEAD: Mapping[str, Mapping[str, CheckOf]] = MappingProxyType(
    {
        "faults": {
            "claimed_once": check_claims_witnessed,
            "counts_agree": check_counts_explained,
        }
    }
)


def checks_of(kind: str) -> list[CheckOf]:
    """The checks of a kind of experiment, in the order in which they are told."""
    instead = INSTEAD.get(kind, {})
    common = [instead.get(check.__name__.removeprefix("check_"), check) for check in CHECKS]
    return [*common, *MORE.get(kind, ())]


def run_checks(evidence: Evidence) -> list[Check]:
    """Every check's answer."""
    return [answer_of(check, evidence) for check in checks_of(evidence.spec.kind)]
