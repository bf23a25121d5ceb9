"""What a scenario has to come to: with its protection it passes, without it the checker objects."""

from __future__ import annotations

from collections.abc import Sequence

from task_lab.check.histories import Judgement, Operation, Permitted
from task_lab.check.histories_ledger import NOTHING_ELSE
from task_lab.check.verdict import Verdict
from task_platform.settings import Settings

from ..histories import judged


def assert_passed(judgement: Judgement) -> None:
    """No check has anything to say."""
    assert judgement.verdict is Verdict.PASS, judgement.checks


async def assert_lost_without_protection(
    settings: Settings, operations: Sequence[Operation], *, lost: int, is_protected: bool
) -> None:
    """Protected, nothing is wrong. Sabotaged, so many tasks never end, and no more is wrong."""
    judgement = await judged(settings, operations, lost=0 if is_protected else lost)
    if is_protected:
        assert_passed(judgement)
    else:
        assert judgement.failed == {"all_terminal"}, judgement.checks
        assert judgement.counts["stuck"] == lost, judgement.counts


async def assert_failed_without_protection(
    settings: Settings,
    operations: Sequence[Operation],
    *,
    check: str,
    is_protected: bool,
    permitted: Permitted = NOTHING_ELSE,
) -> None:
    """Protected, nothing is wrong. Sabotaged, this check says so, whatever others say."""
    judgement = await judged(settings, operations, permitted=permitted)
    if is_protected:
        assert_passed(judgement)
    else:
        assert check in judgement.failed, judgement.checks
