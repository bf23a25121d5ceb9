"""The contract of both batchers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from task_platform.batcher import Batcher
from task_platform.domain.batching import BatchLimits
from task_platform.errors import Overloaded


class Recorder:
    """A flush that notes its batches, and waits while its gate is closed."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def flush(self, members: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(members))
        await self.gate.wait()
        if 13 in members:
            raise ValueError("a batch with 13")
        return [OSError("negative") if member < 0 else 2 * member for member in members]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


async def settled() -> None:
    """Let every callback that is ready run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_idle_batcher_flushes_at_once(recorder: Recorder) -> None:
    batcher = Batcher(recorder.flush, BatchLimits())
    async with asyncio.timeout(1):
        assert await batcher.add(4) == 8
    assert recorder.batches == [[4]]


async def test_those_who_come_during_a_flush_share_the_next(recorder: Recorder) -> None:
    batcher = Batcher(recorder.flush, BatchLimits(max_count=3))
    recorder.gate.clear()
    futures = [batcher.add(0)]
    await settled()
    futures += [batcher.add(n) for n in range(1, 6)]
    recorder.gate.set()
    assert await asyncio.gather(*futures) == [0, 2, 4, 6, 8, 10]
    assert recorder.batches == [[0], [1, 2, 3], [4, 5]]


async def test_a_batch_has_its_limit_of_bytes(recorder: Recorder) -> None:
    batcher = Batcher(recorder.flush, BatchLimits(max_bytes=10), size_of=lambda member: member)
    await asyncio.gather(*(batcher.add(n) for n in (6, 4, 1, 50, 2, 3)))
    assert recorder.batches == [[6, 4], [1], [50], [2, 3]]


async def test_concurrent_flushes_are_bounded(recorder: Recorder) -> None:
    batcher = Batcher(recorder.flush, BatchLimits(max_count=2), concurrency=2)
    recorder.gate.clear()
    futures = [batcher.add(n) for n in range(8)]
    await settled()
    assert recorder.batches == [[0, 1], [2, 3]]
    recorder.gate.set()
    await asyncio.gather(*futures)
    assert [member for batch in recorder.batches for member in batch] == list(range(8))


async def test_a_full_backlog_refuses_the_next_and_recovers(recorder: Recorder) -> None:
    batcher = Batcher(recorder.flush, BatchLimits(max_backlog=3))
    recorder.gate.clear()
    futures = [batcher.add(0)]
    await settled()
    futures += [batcher.add(n) for n in range(3)]
    with pytest.raises(Overloaded):
        batcher.add(9)
    recorder.gate.set()
    await asyncio.gather(*futures)
    assert await batcher.add(9) == 18


async def test_a_failed_batch_fails_its_own_members_only(recorder: Recorder) -> None:
    batcher = Batcher(recorder.flush, BatchLimits(max_count=2))
    answers = await asyncio.gather(
        *(batcher.add(n) for n in (1, 13, 2, -1, 3)), return_exceptions=True
    )
    assert recorder.batches == [[1, 13], [2, -1], [3]]
    assert [type(answer) for answer in answers] == [ValueError, ValueError, int, OSError, int]


async def test_drain_returns_after_the_last_flush(recorder: Recorder) -> None:
    batcher = Batcher(recorder.flush, BatchLimits(max_count=2, apart_s=60, apart_per_member_s=60))
    futures = [batcher.add(n) for n in range(5)]
    async with asyncio.timeout(1):
        await batcher.drain()
    assert all(future.done() for future in futures)
    assert len(batcher) == 0
    assert await asyncio.gather(*futures) == [0, 2, 4, 6, 8]


async def test_a_drain_waits_for_the_flush_under_way(recorder: Recorder) -> None:
    batcher = Batcher(recorder.flush, BatchLimits())
    recorder.gate.clear()
    future = batcher.add(1)
    draining = asyncio.create_task(batcher.drain())
    await settled()
    assert not draining.done()
    recorder.gate.set()
    async with asyncio.timeout(1):
        await draining
    assert future.done()


async def test_draining_an_idle_batcher_returns_at_once(recorder: Recorder) -> None:
    async with asyncio.timeout(1):
        await Batcher(recorder.flush, BatchLimits()).drain()


async def test_who_gave_up_waiting_is_not_flushed_and_harms_nobody(recorder: Recorder) -> None:
    batcher = Batcher(recorder.flush, BatchLimits())
    recorder.gate.clear()
    first = batcher.add(1)
    await settled()
    second, third = batcher.add(2), batcher.add(3)
    second.cancel()
    first.cancel()
    recorder.gate.set()
    assert await third == 6
    assert recorder.batches == [[1], [3]]


async def test_a_backlog_of_nothing_but_the_gone_settles(recorder: Recorder) -> None:
    batcher = Batcher(recorder.flush, BatchLimits(apart_s=60, apart_per_member_s=60))
    batcher.add(1).cancel()
    async with asyncio.timeout(1):
        await batcher.drain()
    assert recorder.batches == []


async def test_behind_a_batch_of_several_the_next_one_waits_for_company(recorder: Recorder) -> None:
    batcher = Batcher(recorder.flush, BatchLimits(apart_s=0.05, apart_per_member_s=1))
    await asyncio.gather(batcher.add(1), batcher.add(2))
    futures = [batcher.add(3)]
    await settled()
    futures.append(batcher.add(4))
    assert recorder.batches == [[1, 2]]
    async with asyncio.timeout(1):
        await asyncio.gather(*futures)
    assert recorder.batches == [[1, 2], [3, 4]]


async def test_whoever_comes_alone_waits_for_nobody(recorder: Recorder) -> None:
    batcher = Batcher(recorder.flush, BatchLimits(apart_s=60, apart_per_member_s=60))
    async with asyncio.timeout(1):
        for member in (1, 2, 3):
            await batcher.add(member)
    assert recorder.batches == [[1], [2], [3]]


@pytest.mark.parametrize("members", [[1, 2, 3], [7, 8]], ids=["count", "bytes"])
async def test_a_full_batch_never_waits(recorder: Recorder, members: list[int]) -> None:
    limits = BatchLimits(max_count=3, max_bytes=15, apart_s=60, apart_per_member_s=60)
    batcher = Batcher(recorder.flush, limits, size_of=lambda member: member)
    async with asyncio.timeout(1):
        await asyncio.gather(batcher.add(1), batcher.add(1))
        await asyncio.gather(*(batcher.add(member) for member in members))
    assert recorder.batches == [[1, 1], members]


async def test_company_that_is_enough_waits_for_no_more(recorder: Recorder) -> None:
    limits = BatchLimits(company=3, apart_s=60, apart_per_member_s=60)
    batcher = Batcher(recorder.flush, limits)
    async with asyncio.timeout(1):
        await asyncio.gather(batcher.add(1), batcher.add(2))
        await asyncio.gather(*(batcher.add(member) for member in (3, 4, 5)))
    assert recorder.batches == [[1, 2], [3, 4, 5]]


async def test_a_drain_waits_for_no_company(recorder: Recorder) -> None:
    batcher = Batcher(recorder.flush, BatchLimits(apart_s=60, apart_per_member_s=60))
    await asyncio.gather(batcher.add(1), batcher.add(2))
    future = batcher.add(3)
    async with asyncio.timeout(1):
        await batcher.drain()
    assert future.done()


async def test_members_added_together_are_flushed_in_order_and_nobody_need_ask() -> None:
    flushed: list[int] = []

    async def flush(members: Sequence[int]) -> Sequence[None]:
        flushed.extend(members)
        return [None] * len(members)

    batcher: Batcher[int, None] = Batcher(flush, BatchLimits(max_count=3, max_backlog=1))
    batcher.add_all(range(10))
    await batcher.drain()
    assert flushed == list(range(10))


async def test_nothing_added_is_nothing_to_wait_for() -> None:
    async def flush(members: Sequence[int]) -> Sequence[None]:
        raise AssertionError(members)

    batcher: Batcher[int, None] = Batcher(flush, BatchLimits())
    batcher.add_all([])
    async with asyncio.timeout(1):
        await batcher.drain()
