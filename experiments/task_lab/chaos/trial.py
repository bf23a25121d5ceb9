"""One schedule: load and faults side by side, heal, settle, one task more, read back, judge.

The folder then holds `schedule.json`, `history.jsonl`, `events.jsonl` and `judgement.json`; after
anything but a pass also `ledger.json` and `logs/`.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from task_platform.domain.task import State
from uuid_utils.compat import uuid7

from task_lab.chaos.checks import check_deaths, check_settled, check_works_again
from task_lab.chaos.client import LoadClient
from task_lab.chaos.history import History, check_answers, count_repeats, operations_of, read_sent
from task_lab.chaos.load import Call, again_key, one_more
from task_lab.chaos.platform import ChaosPlatform
from task_lab.chaos.settle import settle
from task_lab.check.histories import judge_history
from task_lab.check.histories_ledger import Ledger
from task_lab.check.verdict import Verdict, combine
from task_lab.collect.witness import read_ledger
from task_lab.faults.actions import Stage, strike
from task_lab.faults.plan import Fault, Schedule
from task_lab.runtime.restarter import Death
from task_lab.store import RunFolder

# The promise is 15 s after the last fault; threefold, on a machine that does other things.
SETTLE_WITHIN_S = 45.0
# Nothing strikes any more, and nothing else is to be done.
AGAIN_WITHIN_S = 15.0


@dataclass(frozen=True)
class TrialResult:
    """One trial's verdict; counts are the judge's and the trial's own.

    settled_s: from the end of load and faults until the platform had nothing left to do.
    """

    seed: int
    verdict: Verdict
    failed: list[str]
    counts: Mapping[str, int]
    faults: Mapping[str, int]
    faults_bit: int
    settled_s: float
    took_s: float


@dataclass(frozen=True)
class Found:
    """What a trial left behind. left: see `settle`; deaths: processes that ended by themselves."""

    ledger: Ledger
    left: Mapping[str, int]
    settled_s: float
    deaths: Sequence[Death]
    reannounced: int


async def run_trial(
    platform: ChaosPlatform, plan: Schedule, calls: Sequence[Call], folder: RunFolder
) -> TrialResult:
    """Run the schedule against a platform at rest; leaves it healed, and at rest if it passed."""
    began = time.monotonic()
    folder.write_json("schedule.json", plan.document())
    first_id = str(uuid7())
    reannounced = await platform.reannounced()
    client = LoadClient(platform.api_urls, History(folder / "history.jsonl"))
    folder.append_event("load_started", calls=len(calls))
    await _disturb(platform, plan, client.offer(calls), folder)
    folder.append_event("settle_started")
    settling = time.monotonic()
    left = await _settle(platform, first_id, SETTLE_WITHIN_S)
    settled_s = round(time.monotonic() - settling, 1)
    folder.append_event("settled", left=left)
    await client.offer([one_more(plan.seed)])
    left_again = await _settle(platform, first_id, AGAIN_WITHIN_S)
    folder.append_event("settled_again", left=left_again)
    deaths = platform.take_deaths()
    for death in deaths:
        folder.append_event("process_ended", **asdict(death))
    ledger = await read_ledger(
        platform.endpoints.database_url, platform.endpoints.amqp_url, first_id=first_id
    )
    again = await platform.reannounced()
    found = Found(
        ledger=ledger,
        left=left,
        settled_s=settled_s,
        deaths=deaths,
        reannounced=round(sum(n - reannounced.get(pid, 0) for pid, n in again.items())),
    )
    result = _judge(plan, folder, found, took_s=round(time.monotonic() - began, 1))
    if result.verdict is not Verdict.PASS:
        keep_evidence(platform, folder)
        folder.write_json("ledger.json", asdict(ledger))
    return result


def keep_evidence(platform: ChaosPlatform, folder: RunFolder) -> None:
    """Copy the logs of all processes into the trial's folder."""
    shutil.copytree(platform.runtime.logs_dir(), folder / "logs", dirs_exist_ok=True)


async def _settle(platform: ChaosPlatform, first_id: str, within_s: float) -> Mapping[str, int]:
    return await settle(
        platform.endpoints, platform.runtime.processes(), first_id=first_id, within_s=within_s
    )


async def _disturb(
    platform: ChaosPlatform, plan: Schedule, load: Coroutine[Any, Any, None], folder: RunFolder
) -> None:
    """Offer the load while the faults strike; returns when all are healed and all is answered."""
    stage = platform.stage()
    work = [
        asyncio.ensure_future(load),
        *(asyncio.ensure_future(_strike(stage, fault, folder)) for fault in plan.faults),
    ]
    try:
        await asyncio.gather(*work)
    finally:
        # Whoever still waits heals at once; a thread cannot be cancelled, only waited for.
        stage.over.set()
        await asyncio.gather(*work, return_exceptions=True)


async def _strike(stage: Stage, fault: Fault, folder: RunFolder) -> None:
    await asyncio.sleep(fault.start_s)
    if not stage.over.is_set():
        await asyncio.to_thread(strike, stage, fault, folder.append_event)


def _judge(plan: Schedule, folder: RunFolder, found: Found, *, took_s: float) -> TrialResult:
    sent = read_sent(folder / "history.jsonl")
    operations = operations_of(sent)
    judgement = judge_history(operations, found.ledger)
    checks = [
        *judgement.checks,
        *check_answers(sent),
        check_settled(found.left, within_s=SETTLE_WITHIN_S),
        check_works_again(again_key(plan.seed), operations, found.ledger),
        check_deaths(found.deaths, found.ledger),
    ]
    own = {"reannounced": found.reannounced, "claims_lost": _claims_lost(found.ledger)}
    injected = [event for event in folder.events() if event["event"] == "fault_injected"]
    result = TrialResult(
        seed=plan.seed,
        verdict=combine([judgement.verdict, *(check.verdict for check in checks)]),
        failed=[check.name for check in checks if check.verdict is not Verdict.PASS],
        counts={**judgement.counts, **count_repeats(sent), **own},
        faults=dict(Counter(fault.kind.value for fault in plan.faults)),
        faults_bit=sum(event["bit"] for event in injected),
        settled_s=found.settled_s,
        took_s=took_s,
    )
    document = {**asdict(result), "checks": [asdict(check) for check in checks]}
    folder.write_json("judgement.json", json.loads(json.dumps(document, default=str)))
    return result


def _claims_lost(ledger: Ledger) -> int:
    """Claims that ended without an outcome: lost with a worker, or given back by one."""
    ended = sum(
        (step.before, step.after) == (State.PROCESSING, State.QUEUED) for step in ledger.transitions
    )
    return ended - sum(failure.outcome == "retried" for failure in ledger.failures)


def trial_document(result: TrialResult) -> dict[str, Any]:
    """The result as one line of a campaign."""
    return {**asdict(result), "verdict": result.verdict.value}
