"""JSON at the edge: what passes can be stored and read back, what cannot is refused with a reason.

The ids (IN-…) are those of the known failures of other systems that each row stands for.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_platform import strict_json
from task_platform.errors import ClientError, InvalidInput, InvalidResult, MalformedJson

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**400), max_value=10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def nested(levels: int, kind: str) -> bytes:
    """A body of so many arrays or objects in each other."""
    if kind == "array":
        return b"[" * levels + b"]" * levels
    return b'{"a":' * (levels - 1) + b"{}" + b"}" * (levels - 1)


@given(VALUES)
def test_what_passes_comes_back_the_same(value: Any) -> None:
    parsed = strict_json.loads(json.dumps(value).encode())
    assert json.loads(strict_json.dumps(parsed)) == value


@given(st.binary())
def test_any_bytes_are_parsed_or_refused_as_the_callers_fault(body: bytes) -> None:
    with suppress(ClientError):
        strict_json.loads(body)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (rb'{"a":"x\u0000y"}', "/a"),
        (rb'{"a":{"b":["\u0000"]}}', "/a/b/0"),
        (rb'{"a/b":{"~":"\u0000"}}', "/a~1b/~0"),
        (rb'{"a":{"k\u0000":1}}', "/a"),
        (rb'"\u0000"', ""),
    ],
)
def test_nul_is_refused_by_place_in01(body: bytes, pointer: str) -> None:
    with pytest.raises(InvalidInput, match="NUL") as refused:
        strict_json.loads(body)
    assert refused.value.pointer == pointer


@pytest.mark.parametrize(
    "body",
    [
        rb'{"a":"\ud83d"}',
        rb'{"\ud83d":1}',
        rb'["\ude00"]',
        rb'[[[[{"a":["\uD83Dx"]}]]]]',
        rb'"\ud83d\u0041"',
    ],
)
def test_a_lone_surrogate_is_refused_in03(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="surrogate"):
        strict_json.loads(body)


def test_a_pair_of_surrogates_is_one_character_in03() -> None:
    assert strict_json.loads(rb'"\ud83d\ude00"') == "\N{GRINNING FACE}"
    assert strict_json.loads(rb'"\\ud83d"') == r"\ud83d"


def test_a_broken_body_with_a_lone_surrogate_is_not_json() -> None:
    with pytest.raises(MalformedJson):
        strict_json.loads(rb'["\ud83d"')
    with pytest.raises(MalformedJson):
        strict_json.loads(b'["\\ud83d","\xff"]')
    with pytest.raises(MalformedJson):
        strict_json.loads(rb'["\\\ud83d\x"]')


@pytest.mark.parametrize(
    "body",
    [b"[NaN]", b"[Infinity]", b"[-Infinity]", b"[1e999]", b"[-1e999]", b'{"a":NaN,"b":"\xff"}'],
)
def test_numbers_that_json_does_not_have_are_refused_in05(body: bytes) -> None:
    with pytest.raises(ClientError) as refused:
        strict_json.loads(body)
    assert refused.value.status in (400, 422)
    assert "NaN" not in refused.value.detail


def test_nan_as_text_is_text_in05() -> None:
    assert strict_json.loads(b'["NaN"]') == ["NaN"]


@pytest.mark.parametrize("kind", ["array", "object"])
@pytest.mark.parametrize("levels", [65, 100, 1_000, 20_000, 100_000])
def test_deep_nesting_is_refused_by_our_own_limit_in06(levels: int, kind: str) -> None:
    with pytest.raises(InvalidInput, match="64 levels"):
        strict_json.loads(nested(levels, kind))


@pytest.mark.parametrize("kind", ["array", "object"])
@pytest.mark.parametrize("levels", [50, 64])
def test_nesting_within_the_limit_passes_in06(levels: int, kind: str) -> None:
    body = nested(levels, kind)
    assert strict_json.dumps(strict_json.loads(body)).encode() == body


@pytest.mark.parametrize("kind", ["array", "object"])
@pytest.mark.parametrize("levels", [65, 66])
def test_what_stands_around_is_not_counted_in06(levels: int, kind: str) -> None:
    body = b'{"payload":%s,"a":[]}' % nested(levels - 1, kind)
    if levels == 65:
        assert strict_json.loads(body, around=1)
    else:
        with pytest.raises(InvalidInput, match="64 levels"):
            strict_json.loads(body, around=1)


def test_brackets_in_text_are_no_levels_in06() -> None:
    assert strict_json.loads(b'["%s"]' % (b"[{" * 100)) == ["[{" * 100]


def test_a_nul_that_an_equal_key_replaced_is_gone_in01() -> None:
    assert strict_json.loads(rb'{"a":"\u0000","a":[]}') == {"a": []}
    assert strict_json.loads(rb'["\\u0000"]') == [r"\u0000"]


BODIES_OF_A_MEGABYTE = {
    "lists": b"[" + b"[]," * 333_000 + b"1]",
    "objects": b"[" + b"{}," * 333_000 + b"1]",
    "text about a NUL": b"[" + b"[]," * 333_000 + rb'"\\u0000"]',
    "a NUL at the end": b"[" + b"[]," * 333_000 + rb'"\u0000"]',
    "a lone surrogate": b"[" + b"[]," * 333_000 + rb'"\ud800"]',
    "a broken end": b"[" + b"[]," * 333_000,
    "strings": b"[" + b'"",' * 333_000 + b"1]",
}


def cost_s(read: Callable[[bytes], object], body: bytes) -> float:
    """Seconds of the processor's own time that reading the body takes; refusing it counts too."""
    started = process_time()
    with suppress(ClientError, ValueError):
        read(body)
    return process_time() - started


@pytest.fixture
def frozen() -> None:
    """What is there already is none of the collector's business, as in a process of the API."""
    gc.collect()
    gc.freeze()


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize(
    "body", BODIES_OF_A_MEGABYTE.values(), ids=list(BODIES_OF_A_MEGABYTE.keys())
)
def test_no_body_of_a_megabyte_takes_long(body: bytes) -> None:
    """However a body is made, it is read in a few times what the standard library's reader takes.

    Two rounds of both, in turns, as the machine is shared.
    """
    took_s = [(cost_s(json.loads, body), cost_s(strict_json.loads, body)) for _ in range(2)]
    standard_s, strict_s = (min(times) for times in zip(*took_s, strict=True))
    assert strict_s < 10 * standard_s


@pytest.mark.parametrize("number", [2**53 + 1, 2**63, 2**64, 10**400, -(10**400)])
def test_integers_keep_every_digit_in07(number: int) -> None:
    text = strict_json.dumps(strict_json.loads(f"[{number}]".encode()))
    assert text == f"[{number}]"


@pytest.mark.parametrize("body", [b"[" + b"9" * 5_000 + b"]", b"[1e400]"])
def test_numbers_beyond_all_bounds_are_refused_in07(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="out of range"):
        strict_json.loads(body)


def test_minus_zero_is_zero_in07() -> None:
    assert strict_json.dumps(strict_json.loads(b"[-0]")) == "[0]"


def test_of_equal_keys_the_last_wins_in10() -> None:
    assert strict_json.loads(b'{"a":1,"a":2}') == {"a": 2}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b'{"a":1,"b":[2]}', b'{ "b": [2], "a": 1 }', True),
        (b"1.10", b"1.1", True),
        (b"1e2", b"100.0", True),
        (rb'"\u00e9"', '"é"'.encode(), True),
        (b"1", b"1.0", False),
        (b"[1,2]", b"[2,1]", False),
        ('"é"'.encode(), '"e\u0301"'.encode(), False),
    ],
)
def test_the_fingerprint_is_of_the_parsed_form_in10(one: bytes, other: bytes, same: bool) -> None:
    prints = [strict_json.fingerprint(strict_json.loads(body)) for body in (one, other)]
    assert (prints[0] == prints[1]) is same


@pytest.mark.parametrize(
    "body",
    [b"", b" ", b"{", b"{} x", b"\xef\xbb\xbf{}", b'["\xff"]', b'["\x01"]', "[]".encode("utf-16")],
)
def test_what_is_not_json_is_malformed_and_not_quoted(body: bytes) -> None:
    with pytest.raises(MalformedJson) as refused:
        strict_json.loads(body)
    assert refused.value.detail == "the body is not valid JSON in UTF-8"


@given(VALUES)
def test_a_json_result_is_stored_as_it_is(value: Any) -> None:
    assert json.loads(strict_json.dump_result(value)) == value


@pytest.mark.parametrize(
    "result",
    [
        {1, 2},
        b"bytes",
        datetime.now(UTC),
        object(),
        float("nan"),
        {"a": [float("inf")]},
        "\ud83d",
        "a\x00b",
        {"k\x00": 1},
        {(1, 2): 3},
        10**5_000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_result_that_is_not_json_says_so_in11(result: Any) -> None:
    with pytest.raises(InvalidResult, match="result"):
        strict_json.dump_result(result)


def test_a_result_that_contains_itself_says_so_in11() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(InvalidResult):
        strict_json.dump_result(loop)


@pytest.mark.parametrize("text", [r"\u0000", r"a\\u0000", "\\"])
def test_text_about_a_nul_is_not_a_nul(text: str) -> None:
    assert json.loads(strict_json.dump_result(text)) == text
    with pytest.raises(InvalidResult):
        strict_json.dump_result(text + "\x00")
