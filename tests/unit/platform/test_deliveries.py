"""Acknowledging: every tag once, none before its time; and how much to ask for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from task_platform.domain.deliveries import (
    MAX_PREFETCH,
    SURPLUS_AFTER_S,
    AckLedger,
    Held,
    claim_room,
    others_idle,
    pause_until_next_look,
    surplus,
    wanted_prefetch,
)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, int]]:
    """Deliveries noted in any order, finished after that or never, and looks in between."""
    count = draw(st.integers(min_value=1, max_value=25))
    noted = draw(st.permutations(list(range(1, count + 1))))
    steps: list[tuple[str, int]] = []
    open_tags: list[int] = []
    for tag in noted:
        steps.append(("delivered", tag))
        open_tags.append(tag)
        for _ in range(draw(st.integers(min_value=0, max_value=2))):
            finish = draw(st.booleans())
            if finish and open_tags:
                index = draw(st.integers(min_value=0, max_value=len(open_tags) - 1))
                steps.append(("finished", open_tags.pop(index)))
            else:
                steps.append(("due", 0))
    if draw(st.booleans()):
        steps += [("finished", tag) for tag in open_tags]
    return [*steps, ("due", 0)]


@given(histories())
def test_every_finished_tag_is_acknowledged_once_and_no_other_br19(
    history: list[tuple[str, int]],
) -> None:
    ledger = AckLedger()
    finished: set[int] = set()
    acknowledged: set[int] = set()
    highest = 0
    for step, tag in history:
        if step == "delivered":
            ledger.delivered(tag)
            highest = max(highest, tag)
        elif step == "finished":
            ledger.finished(tag)
            finished.add(tag)
        else:
            acks = ledger.due()
            new: list[int] = []
            if acks.upto is not None:
                assert acks.upto not in acknowledged
                new = [tag for tag in range(1, acks.upto + 1) if tag not in acknowledged]
                assert all(single > acks.upto for single in acks.singles)
            new += acks.singles
            assert len(new) == len(set(new))
            assert not acknowledged & set(new)
            assert finished.issuperset(new)
            acknowledged.update(new)
            assert acknowledged == finished
            assert ledger.unacknowledged == highest - len(acknowledged)
            middle = highest // 2
            opened = {tag for tag in range(1, highest + 1) if tag not in acknowledged}
            assert ledger.has_open(0, middle) == any(tag <= middle for tag in opened)
            assert ledger.has_open(middle, highest) == any(tag > middle for tag in opened)
    assert ledger.due().upto is None


def test_a_slow_task_does_not_hold_back_those_beside_it() -> None:
    ledger = AckLedger()
    for tag in range(1, 6):
        ledger.delivered(tag)
    for tag in (2, 3, 5):
        ledger.finished(tag)
    acks = ledger.due()
    assert (acks.upto, acks.singles) == (None, (2, 3, 5))
    ledger.finished(1)
    acks = ledger.due()
    assert (acks.upto, acks.singles) == (1, ())
    assert ledger.unacknowledged == 1
    ledger.finished(4)
    acks = ledger.due()
    assert (acks.upto, acks.singles) == (4, ())
    assert ledger.unacknowledged == 0


def test_what_is_acknowledged_behind_a_slow_task_takes_no_room() -> None:
    ledger = AckLedger()
    slow = {1, 50_001}
    ledger.delivered(1)
    for tag in range(2, 100_001, 2):
        # They finish in pairs, the later one first.
        for each in (tag + 1, tag):
            ledger.delivered(each)
            if each not in slow:
                ledger.finished(each)
                ledger.due()
    assert (ledger._firsts, ledger._lasts) == ([2, 50_002], [50_000, 100_001])
    assert ledger.has_open(0, 1)
    assert not ledger.has_open(1, 50_000)
    assert ledger.has_open(1, 50_001)
    assert not ledger.has_open(50_001, 100_001)
    assert ledger.unacknowledged == 2
    ledger.finished(1)
    assert ledger.due().upto == 1
    assert ledger.unacknowledged == 1
    assert not ledger.has_open(0, 50_000)


def test_neighbours_are_acknowledged_in_one_frame() -> None:
    ledger = AckLedger()
    for tag in range(1, 101):
        ledger.delivered(tag)
        ledger.finished(tag)
    assert ledger.due().upto == 100


CONCURRENCIES = st.integers(min_value=1, max_value=1_000)
RATES = st.floats(min_value=0, max_value=1e6)


@given(CONCURRENCIES, RATES)
def test_prefetch_keeps_every_slot_busy_and_is_bounded(concurrency: int, rate: float) -> None:
    prefetch = wanted_prefetch(concurrency, rate)
    assert min(2 * concurrency, MAX_PREFETCH) <= prefetch <= MAX_PREFETCH
    assert prefetch == MAX_PREFETCH or prefetch >= 0.25 * rate


@given(CONCURRENCIES, RATES, RATES)
def test_a_faster_worker_never_asks_for_less(concurrency: int, one: float, other: float) -> None:
    slow, fast = sorted((one, other))
    assert wanted_prefetch(concurrency, slow) <= wanted_prefetch(concurrency, fast)


def test_prefetch_changes_seldom() -> None:
    assert len({wanted_prefetch(10, rate) for rate in range(0, 100_000, 10)}) <= 7


@given(CONCURRENCIES, RATES, st.integers(min_value=0, max_value=10_000))
def test_room_shrinks_by_what_is_held(concurrency: int, rate: float, unstarted: int) -> None:
    room = claim_room(concurrency, rate, unstarted)
    assert room == max(0, claim_room(concurrency, rate, 0) - unstarted)
    assert claim_room(concurrency, rate, 0) >= 2 * concurrency


COUNTS = st.integers(min_value=0, max_value=500)


@given(st.builds(Held, COUNTS, COUNTS, COUNTS), st.integers(min_value=0, max_value=50))
def test_a_worker_keeps_one_round_and_gives_plain_deliveries_first(held: Held, slots: int) -> None:
    given_back = surplus(held, slots)
    kept = held.delivered + held.claimed - given_back.delivered - given_back.claimed
    assert kept == min(slots, held.delivered + held.claimed)
    assert 0 <= given_back.delivered <= held.delivered
    assert given_back.claimed == 0 or given_back.delivered == held.delivered
    assert held.set_aside - given_back.set_aside == min(1, held.set_aside)


def test_nothing_is_given_back_to_nobody_or_to_the_busy() -> None:
    assert others_idle(ready=0, consumers=2)
    assert not others_idle(ready=0, consumers=1)
    assert not others_idle(ready=1, consumers=5)


def looks_within(seconds: float, amounts: list[int]) -> int:
    """How many looks there are while this much is given back at each; the last amount goes on."""
    pause_s, elapsed_s, before, looks = SURPLUS_AFTER_S, 0.0, 0, 0
    while (elapsed_s := elapsed_s + pause_s) <= seconds:
        gave_back = amounts[min(looks, len(amounts) - 1)]
        pause_s = pause_until_next_look(pause_s, gave_back=gave_back, before=before)
        before = gave_back
        looks += 1
    return looks


def test_who_gives_back_the_same_again_and_again_does_it_ever_more_rarely() -> None:
    assert looks_within(60, [20]) <= 7
    assert looks_within(60, [1]) <= 7


def test_what_comes_round_again_is_soon_given_back_again_while_it_becomes_less() -> None:
    assert looks_within(7, [64, 32, 16, 8, 4, 2, 1]) == 7
    assert looks_within(60, [0]) == 60
