"""The checker of histories: a good one passes, and each way to break it is found by its check."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from task_lab.check.histories import CHECKS, Judgement, Ledger, Permitted, judge_history
from task_lab.check.histories_ledger import (
    DeadLetter,
    FailedAttempt,
    LoggedEffect,
    OpenClaim,
    RecordedEffect,
    Transition,
    UnsentRow,
)
from task_lab.check.verdict import Verdict
from task_platform.domain.task import State

from .histories import (
    EMPTY,
    Life,
    Told,
    good_history,
    ledger_of,
    with_dead_letter,
    with_key,
    with_life,
    with_more,
    with_operation,
    with_row,
    without,
    without_key,
)

Change = Callable[[Told], Told]
Outcome = Literal["ok", "failed", "unknown"]
REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "checker.md"
TRANSACTION = {"via": "transaction"}


def is_of(task_id: str) -> Callable[[object], bool]:
    return lambda record: getattr(record, "task_id", record) == task_id


def step(task_id: str, before: State, after: State | None, fence: int, attempts: int = 1) -> Change:
    return with_more("transitions", Transition(task_id, before, after, fence, attempts))


def another_replay(**fields: Any) -> Change:
    other = Life("replay-2", replay_of="killer", max_retries=0).lives("claim ok").row()
    return with_more("tasks", replace(other, **fields))


RESOLUTIONS: list[tuple[str, Change]] = [
    ("closed by nobody", with_dead_letter("bad", is_open=False)),
    ("purged by nobody", with_dead_letter("bad", is_open=False, resolution="purged")),
    ("replayed as nothing", with_dead_letter("killer", replayed_as=None)),
    ("replayed as another", with_dead_letter("killer", replayed_as="plain")),
    ("open and replayed", with_dead_letter("killer", is_open=True)),
]
REPLAYS: list[tuple[str, Change]] = [
    ("twice", another_replay()),
    ("not the one its dead letter names", with_dead_letter("killer", replayed_as="plain")),
    ("of a task that succeeded", another_replay(replay_of="plain")),
    ("of a task without dead letter", without("dead_letters", is_of("killer"))),
    ("of nothing", another_replay(replay_of="nobody")),
    ("of another type", with_row("replay", task_type="echo")),
    ("of another payload", with_row("replay", payload='{"numbers":[1,2,true]}')),
    ("with other retries", with_row("replay", max_retries=1)),
    ("replayed by nobody", lambda told: replace(told, permitted=Permitted())),
]
SABOTAGE: list[tuple[str, str, Change]] = [
    ("none_lost", "an ok task has no row", without("tasks", lambda row: row.id == "plain")),
    ("unknown_at_most_once", "two tasks", with_key("key-recovered", "recovered", "again")),
    ("unknown_at_most_once", "a key without its row", with_key("key-absent", "nowhere")),
    ("failed_left_nothing", "a refused one was done", with_key("key-refused", "again")),
    ("none_unexpected", "nobody's task", with_more("tasks", Life("x").lives("claim ok").row())),
    (
        "none_unexpected",
        "a replay of nobody's task",
        with_more("tasks", Life("x", replay_of="y").lives("claim ok").row()),
    ),
    (
        "none_unexpected",
        "the task of a refused one",
        with_operation("key-plain", outcome="failed"),
    ),
    (
        "one_key_one_task",
        "one task for two operations",
        with_operation("key-again", task_id="plain"),
    ),
    ("one_key_one_task", "a key changed hands", with_key("key-plain", "other")),
    ("one_key_one_task", "one task, two keys", with_key("key-late", "plain")),
    ("one_key_one_task", "a key used twice", with_operation("key-again", key="key-plain")),
    ("one_key_one_task", "two rows", with_more("tasks", Life("plain").lives("claim ok").row())),
    ("keys_kept", "gone", without_key("key-plain")),
    ("keys_kept", "leads to nothing", with_key("key-plain")),
    ("keys_kept", "another's task", with_key("key-absent", "plain")),
    ("keys_kept", "a key that nobody sent", with_key("key-late", "plain")),
    ("rows_as_submitted", "another payload", with_row("plain", payload='{"a": 1}')),
    *(
        (
            "rows_as_submitted",
            f"{stored} for {submitted}",
            lambda told, was=submitted, now=stored: with_operation("key-plain", payload=[was])(
                with_row("plain", payload=f"[{now}]")(told)
            ),
        )
        for submitted, stored in [(1, "true"), (1, "1.0"), (0, "-0.0"), (0, "false"), (1.0, "1")]
    ),
    ("rows_as_submitted", "another type", with_row("plain", task_type="echo")),
    ("rows_as_submitted", "other retries", with_row("plain", max_retries=4)),
    ("all_terminal", "still queued", with_life(Life("plain").lives(""))),
    ("all_terminal", "still running", with_life(Life("plain").lives("claim"))),
    (
        "ended_as_expected",
        "failed, should succeed",
        with_life(Life("flaky", max_retries=0).lives("claim dead")),
    ),
    ("ended_as_expected", "succeeded, should fail", with_life(Life("bad").lives("claim ok"))),
    (
        "finished_once",
        "succeeded twice",
        step("plain", State.SUCCEEDED, State.SUCCEEDED, 1),
    ),
    ("finished_once", "revived", step("plain", State.SUCCEEDED, State.QUEUED, 1)),
    ("finished_once", "failed after its success", with_life(Life("plain").lives("claim ok dead"))),
    ("transitions_legal", "no such step", step("plain", State.SUCCEEDED, State.FAILED, 1)),
    ("transitions_legal", "deleted", step("plain", State.SUCCEEDED, None, 1)),
    ("transitions_legal", "finished unclaimed", with_life(Life("plain").lives("ok"))),
    (
        "transitions_legal",
        "claimed while claimed",
        with_life(Life("plain").lives("claim claim ok")),
    ),
    ("attempts_within_limit", "one too many", with_row("bad", attempts=3)),
    ("attempts_within_limit", "none at all", with_row("plain", attempts=0)),
    ("attempts_within_limit", "more than claims", with_row("plain", attempts=2)),
    (
        "attempts_within_limit",
        "given back twice",
        with_life(Life("returned").lives("claim back back claim ok")),
    ),
    ("attempts_charged", "one came from nowhere", with_row("flaky", attempts=2)),
    (
        "attempts_charged",
        "a claim for nothing",
        with_life(Life("flaky").lives("free retry claim ok")),
    ),
    ("attempts_charged", "refunded at the end", with_life(Life("flaky").lives("claim refund ok"))),
    ("failures_consistent", "unrecorded", without("failures", is_of("flaky"))),
    (
        "failures_consistent",
        "a success on record",
        with_more("failures", FailedAttempt("plain", 1, 1, "retried")),
    ),
    (
        "failures_consistent",
        "twice on record",
        with_more("failures", FailedAttempt("flaky", 1, 1, "retried")),
    ),
    (
        "failures_consistent",
        "a claim that was not",
        with_more("failures", FailedAttempt("plain", 7, 1, "retried")),
    ),
    (
        "failures_consistent",
        "nobody's",
        with_more("failures", FailedAttempt("x", 1, 1, "worker_lost")),
    ),
    ("effects_once", "twice", with_more("effect_log", LoggedEffect("once", 2, "guarded"))),
    ("effects_once", "never", with_life(Life("once", "effect").lives("claim started ok"))),
    (
        "effects_once",
        "made by a failure",
        with_life(
            Life("undone", "effect", TRANSACTION, max_retries=0).lives("claim started guarded dead")
        ),
    ),
    (
        "effects_once",
        "twice before a failure",
        with_more("effect_log", LoggedEffect("once_dead", 1, "guarded")),
    ),
    (
        "effects_once",
        "not started",
        with_life(Life("committed", "effect", TRANSACTION).lives("claim guarded ok")),
    ),
    (
        "effects_once",
        "made by a claim that was superseded",
        with_life(
            Life("committed", "effect", TRANSACTION).lives(
                "claim started guarded back claim started ok"
            )
        ),
    ),
    ("results_right", "none", with_row("plain", result=None)),
    ("results_right", "of a failure", with_row("bad", result="null")),
    ("results_right", "wrong", with_row("plain", result='{"sum":7}')),
    ("effects_once", "of nobody", with_more("effect_log", LoggedEffect("x", 1, "guarded"))),
    ("effects_once", "recorded of nobody", with_more("effects", RecordedEffect("x", "guarded", 1))),
    (
        "effects_once",
        "a transaction's on record",
        with_more("effects", RecordedEffect("committed", "guarded", 2)),
    ),
    ("effects_once", "not recorded", without("effects", is_of("once"))),
    (
        "effects_once",
        "recorded, not made",
        with_more("effects", RecordedEffect("once", "other", 1)),
    ),
    ("effects_once", "another result", with_row("once", result='{"fence": 2}')),
    ("started_once", "twice", with_more("effect_log", LoggedEffect("once", 2, "started"))),
    ("started_once", "unclaimed", with_more("effect_log", LoggedEffect("once", 3, "started"))),
    ("started_once", "nobody's", with_more("effect_log", LoggedEffect("x", 1, "started"))),
    ("dead_letters_agree", "unlisted", without("dead_letters", is_of("bad"))),
    ("dead_letters_agree", "no message", without("dlq_ids", is_of("bad"))),
    ("dead_letters_agree", "two messages", with_more("dlq_ids", "bad")),
    ("dead_letters_agree", "a message of the living", with_more("dlq_ids", "plain")),
    ("dead_letters_agree", "a message of the replayed", with_more("dlq_ids", "killer")),
    ("dead_letters_agree", "listed alive", with_more("dead_letters", DeadLetter("plain", True))),
    ("dead_letters_agree", "listed twice", with_more("dead_letters", DeadLetter("bad", True))),
    *(("dead_letters_resolved", what, change) for what, change in RESOLUTIONS),
    *(("replays_right", what, change) for what, change in REPLAYS),
    ("nothing_left", "outbox", with_more("outbox", UnsentRow("tasks", ("plain",)))),
    ("nothing_left", "lease", with_more("claims", OpenClaim("w", ("plain",), is_expired=False))),
    (
        "nothing_left",
        "queue",
        lambda told: replace(told, ledger=replace(told.ledger, tasks_depth=2)),
    ),
]


def judge(told: Told) -> tuple[Verdict, set[str]]:
    judgement = judged(told)
    return judgement.verdict, judgement.failed


def judged(told: Told) -> Judgement:
    return judge_history(told.operations, told.ledger, told.permitted)


def test_a_good_history_passes_every_check() -> None:
    told = good_history()
    judgement = judged(told)
    assert [check for check in judgement.checks if check.verdict is not Verdict.PASS] == []
    assert judgement.verdict is Verdict.PASS
    assert judgement.counts == {
        **{"ok": 11, "failed": 1, "unknown": 2, "recovered": 1, "absent": 1},
        **{"lost": 0, "unexpected": 0, "duplicated": 0, "stuck": 0, "double_finished": 0},
        **{"tasks": 13, "succeeded": 9, "dead": 4, "claims": 21},
    }


def test_what_is_permitted_passes() -> None:
    purged = with_dead_letter("bad", is_open=False, resolution="purged")(
        without("dlq_ids", is_of("bad"))(without_key("key-plain")(good_history()))
    )
    assert judge(purged)[1] == {"dead_letters_resolved", "keys_kept"}
    permitted = Permitted(replays=True, purges=True, key_expiry=True)
    assert judge(replace(purged, permitted=permitted)) == (Verdict.PASS, set())


@pytest.mark.parametrize(
    ("submitted", "stored"),
    [
        ({"a": 1, "b": [True, None]}, '{"b":[true,null],"a":1}'),
        ([1.5e300, 10**20, "ü"], '[1.5e300,100000000000000000000,"ü"]'),
    ],
)
def test_a_payload_may_be_written_otherwise(submitted: object, stored: str) -> None:
    told = with_row("plain", task_type="x", payload=stored)(good_history())
    told = with_operation("key-plain", task_type="x", payload=submitted)(told)
    assert judge(told) == (Verdict.PASS, set())


@pytest.mark.parametrize("end", ["left", "lost_alone"])
def test_an_exhausted_task_comes_back_without_an_attempt(end: str) -> None:
    """Its claim charged nothing: given back or lost with its worker, nothing is returned."""
    worn_out = Life("t", max_retries=0).lives(f"claim lost_alone claim {end} claim dead")
    assert judge(Told([worn_out.operation()], ledger_of([worn_out]))) == (Verdict.PASS, set())
    charged = Life("t", max_retries=1).lives(f"claim retry claim {end} claim dead")
    expected = {"failures_consistent"} if end == "left" else set()
    assert judge(Told([charged.operation()], ledger_of([charged])))[1] == expected


@pytest.mark.parametrize(
    ("check", "change"),
    [
        pytest.param(check, change, id=f"{check}: {what}".replace(" ", "_"))
        for check, what, change in SABOTAGE
    ],
)
def test_each_corruption_is_found_by_its_check(check: str, change: Change) -> None:
    verdict, failed = judge(change(good_history()))
    assert verdict is Verdict.FAIL
    assert check in failed


def test_every_check_is_sabotaged() -> None:
    names = {check.__name__.removeprefix("check_") for check in CHECKS}
    assert {check for check, _, _ in SABOTAGE} == names - {"witness_complete", "something_proven"}
    judgement = judge_history([], EMPTY)
    assert {check.name for check in judgement.checks} == names


def test_the_reference_says_what_each_check_proves() -> None:
    page = REFERENCE.read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert documented == [check.__name__.removeprefix("check_") for check in CHECKS]
    for count in judge_history([], EMPTY).counts:
        assert f"`{count}`" in page


@pytest.mark.parametrize("is_seen", [True, False])
@pytest.mark.parametrize(
    ("gap", "of"),
    [
        pytest.param(lambda one: one.before is None, "plain", id="insert"),
        pytest.param(lambda one: one.after is State.SUCCEEDED, "plain", id="end"),
        pytest.param(
            lambda one: one.before is State.QUEUED and one.fence == 2, "flaky", id="claim"
        ),
        pytest.param(lambda one: True, "plain", id="all"),
    ],
)
def test_what_the_witness_missed_is_unknown(
    gap: Callable[[Transition], bool], of: str, *, is_seen: bool
) -> None:
    told = good_history()
    if not is_seen:
        told = without("transitions", lambda one: one.task_id == of and gap(one))(told)
    judgement = judged(told)
    (check,) = [one for one in judgement.checks if one.name == "witness_complete"]
    assert check.verdict is (Verdict.PASS if is_seen else Verdict.UNKNOWN)


def test_a_check_that_crashes_is_unknown() -> None:
    told = with_row("once", payload="{")(good_history())
    judgement = judged(told)
    unknown = {check.name for check in judgement.checks if check.verdict is Verdict.UNKNOWN}
    assert unknown == {"rows_as_submitted", "effects_once"}
    assert judgement.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("outcomes", [[], ["unknown"] * 3, ["failed"], ["unknown", "failed"]])
def test_a_platform_that_accepts_nothing_proves_nothing(outcomes: list[Outcome]) -> None:
    refused = Life("t").operation(task_id=None, expected="SUCCEEDED")
    operations = [
        replace(refused, key=f"key-{number}", outcome=outcome)
        for number, outcome in enumerate(outcomes)
    ]
    judgement = judge_history(operations, EMPTY)
    assert judgement.verdict is Verdict.UNKNOWN
    assert {one.name for one in judgement.checks if one.verdict is not Verdict.PASS} == {
        "something_proven"
    }


@pytest.mark.parametrize(
    ("task_type", "payload", "right", "wrong"),
    [
        ("sum", {"numbers": [1, 2]}, '{"sum":3}', ['{"sum":3.0}', '{"sum":true}', "3", "null"]),
        ("sum", {"numbers": [1, 0.5]}, '{"sum":1.5}', ['{"sum":1.6}', '{"sum":"1.5"}', "[]"]),
        ("sum", {"numbers": []}, '{"sum":0}', ['{"sum":1}']),
        ("sum", {"numbers": [2.0, 10**16, -(10**16)]}, '{"sum":2.0}', ['{"sum":2}']),
        ("sleep", {"seconds": 1}, '{"slept_s":1.0}', ['{"slept_s":2.0}']),
        ("echo", {"a": [1, -0.0]}, '{"a":[1,-0.0]}', ['{"a":[1,0]}', '{"a":[true,-0.0]}']),
        ("echo", None, "null", ["{}"]),
        ("flaky", {"failures": 0}, '{"attempt":1}', ['{"attempt":2}']),
        # Nothing is known of these.
        ("sum", {"numbers": ["1"]}, '{"sum":1}', []),
        ("sum", ["x"], '"y"', []),
        ("sleep", {"seconds": "1"}, '{"slept_s":1.0}', []),
        ("mine", {}, '"whatever"', []),
    ],
)
def test_a_result_is_what_its_payload_implies(
    task_type: str, payload: object, right: str, wrong: list[str]
) -> None:
    changes = {"task_type": task_type, "payload": json.dumps(payload)}
    sent = with_operation("key-plain", task_type=task_type, payload=payload)
    told = sent(with_row("plain", **changes, result=right)(good_history()))
    assert judge(told) == (Verdict.PASS, set())
    for result in wrong:
        assert judge(with_row("plain", result=result)(told)) == (Verdict.FAIL, {"results_right"})


def test_a_flaky_task_succeeds_after_its_failures() -> None:
    flaky = Life("t", "flaky", {"failures": 3}).lives("claim retry claim retry claim ok")
    ledger = ledger_of([flaky])
    row = replace(ledger.tasks[0], result='{"attempt":3}')
    told = Told([flaky.operation()], replace(ledger, tasks=[row]))
    assert judge(told) == (Verdict.FAIL, {"results_right"})
    row = replace(row, payload='{"failures": 2}')
    told = Told([flaky.operation(payload={"failures": 2})], replace(ledger, tasks=[row]))
    assert judge(told) == (Verdict.PASS, set())


@pytest.mark.parametrize(
    ("life", "left", "reason"),
    [
        ("claim", {"claims": [OpenClaim("w1", ("t",), is_expired=False)]}, "a lease of w1"),
        ("claim", {"claims": [OpenClaim("w1", ("t",), is_expired=True)]}, "which has run out"),
        ("claim", {}, "without any lease"),
        ("", {"outbox": [UnsentRow("tasks", ("t",))]}, "waiting in the outbox"),
        ("", {"outbox": [UnsentRow("tasks.dlq", ("t",))]}, "nobody remembers it"),
        ("", {"tasks_depth": 3}, "among the 3 messages"),
        ("", {}, "nobody remembers it"),
    ],
)
def test_a_stuck_task_is_listed_with_what_can_be_seen(
    life: str, left: dict[str, object], reason: str
) -> None:
    task = Life("t").lives(life)
    ledger = replace(ledger_of([task]), **left)  # type: ignore[arg-type]
    judgement = judge_history([task.operation(expected="SUCCEEDED")], ledger)
    (check,) = [one for one in judgement.checks if one.name == "all_terminal"]
    assert reason in check.detail
    assert judgement.counts["stuck"] == 1


UNCHARGED = st.sampled_from(["claim lost", "claim back"])
CHARGED = st.sampled_from(["claim retry", "claim lost_alone"])


@st.composite
def lives(draw: st.DrawFn) -> list[Life]:
    """Tasks with random lives, each within its attempts."""
    made = []
    for number in range(draw(st.integers(1, 6))):
        max_retries = draw(st.integers(0, 3))
        words = draw(st.lists(UNCHARGED, max_size=3))
        words += draw(st.lists(CHARGED, max_size=max_retries))
        words = draw(st.permutations(words))
        end = draw(st.sampled_from(["claim ok", "claim dead"]))
        made.append(Life(f"t{number}", max_retries=max_retries).lives(" ".join([*words, end])))
    return made


def reordered(ledger: Ledger, rng: random.Random) -> Ledger:
    """The same ledger read in another order; only each task's own steps keep theirs."""
    steps = list(ledger.transitions)
    owners = [one.task_id for one in steps]
    rng.shuffle(owners)
    queues = {owner: iter([one for one in steps if one.task_id == owner]) for owner in owners}

    def mixed(name: str) -> list[object]:
        records = list(getattr(ledger, name))
        return rng.sample(records, len(records))

    names = ("tasks", "failures", "dead_letters", "effect_log", "effects", "dlq_ids")
    return replace(
        ledger,
        **{name: mixed(name) for name in names},  # type: ignore[arg-type]
        transitions=[next(queues[owner]) for owner in owners],
    )


@given(lives(), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_a_valid_history_passes_in_whatever_order_it_is_read(
    lives: list[Life], rng: random.Random
) -> None:
    operations = [life.operation() for life in lives]
    rng.shuffle(operations)
    verdict, failed = judge(Told(operations, reordered(ledger_of(lives), rng)))
    assert (verdict, failed) == (Verdict.PASS, set())


@given(st.sampled_from(SABOTAGE), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_one_corruption_is_found_in_whatever_order_it_is_read(
    sabotage: tuple[str, str, Change], rng: random.Random
) -> None:
    check, _, change = sabotage
    told = change(good_history())
    told = replace(told, ledger=reordered(told.ledger, rng))
    rng.shuffle(told.operations)
    verdict, failed = judge(told)
    assert verdict is Verdict.FAIL
    assert check in failed
