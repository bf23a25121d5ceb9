"""The witness and the judge on a platform that works: what is read back is what happened."""

from __future__ import annotations

from task_lab.check.histories import Operation
from task_lab.check.verdict import Verdict
from task_lab.collect.witness import install_witness
from task_platform.settings import Settings
from task_platform.storage.pool import Pool

from .histories import judged, submitted
from .platform.processes import running_relay, running_worker


async def test_a_history_of_every_ending_passes(settings: Settings, pool: Pool) -> None:
    database_url = settings.database_url.get_secret_value()
    await install_witness(database_url)
    await install_witness(database_url)
    operations = [
        *await submitted(pool, 3),
        *await submitted(pool, task_type="flaky", payload={"failures": 2}),
        *await submitted(pool, task_type="fail", payload={}, max_retries=1, expected="FAILED"),
        Operation("refused", "sum", {}, 3, "failed", None, "SUCCEEDED"),
        Operation("absent", "sum", {}, 3, "unknown", None, "SUCCEEDED"),
    ]
    (returned,) = await submitted(pool, outcome="unknown")
    async with running_relay(settings, pool), running_worker(settings, pool):
        judgement = await judged(settings, [*operations, returned])
    assert judgement.verdict is Verdict.PASS, judgement.checks
    assert judgement.counts == {
        **{"ok": 5, "failed": 1, "unknown": 2, "recovered": 1, "absent": 1},
        **{"lost": 0, "unexpected": 0, "duplicated": 0, "stuck": 0, "double_finished": 0},
        **{"tasks": 6, "succeeded": 5, "dead": 1, "claims": 4 + 3 + 2},
    }
