"""Dead letters are replayed once, however often somebody asks, and none goes away unseen."""

from __future__ import annotations

from uuid import UUID

import pytest
from task_lab.check.histories import Permitted
from task_platform.settings import Settings
from task_platform.storage.dead_letters import Outcome, purge_dead_letters, replay_dead_letters
from task_platform.storage.pool import Pool
from uuid_utils.compat import uuid7

from ..histories import judged, submitted
from ..platform.processes import running_relay, running_worker, until_state
from .rewriting import rewrite_statement
from .verdicts import assert_failed_without_protection

REPLAYS = Permitted(replays=True)


async def test_a_dead_letter_is_replayed_once(
    settings: Settings, pool: Pool, monkeypatch: pytest.MonkeyPatch, is_protected: bool
) -> None:
    """Two people replay the same dead letter. Sabotage: the second one does not see that it is
    resolved.
    """
    if not is_protected:
        rewrite_statement(monkeypatch, "replay_dead_letters", "and resolved_at is null", "")
    operations = await submitted(
        pool, task_type="fail", payload={}, max_retries=0, expected="FAILED"
    )
    dead = UUID(operations[0].task_id)
    async with running_relay(settings, pool), running_worker(settings, pool):
        await until_state(pool, [dead], "FAILED")
        for _ in range(2):
            await replay_dead_letters(pool, {dead: uuid7()})
        await assert_failed_without_protection(
            settings,
            operations,
            check="replays_right",
            is_protected=is_protected,
            permitted=REPLAYS,
        )


@pytest.mark.parametrize("is_permitted", [True, False])
async def test_a_purge_is_no_accident(settings: Settings, pool: Pool, is_permitted: bool) -> None:
    """A dead letter that nobody meant to purge has been lost."""
    operations = await submitted(
        pool, task_type="fail", payload={}, max_retries=0, expected="FAILED"
    )
    dead = UUID(operations[0].task_id)
    async with running_relay(settings, pool), running_worker(settings, pool):
        await until_state(pool, [dead], "FAILED")
        assert await purge_dead_letters(pool, [dead]) == {dead: Outcome.PURGED}
        judgement = await judged(settings, operations, permitted=Permitted(purges=is_permitted))
    assert judgement.failed == (set() if is_permitted else {"dead_letters_resolved"})
