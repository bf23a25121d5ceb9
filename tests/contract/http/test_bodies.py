"""Any bytes as a body: refused with a problem, or accepted and given back exactly."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from task_lab.runtime.servers import NativeServers
from task_platform.api.problems import KINDS, MEDIA_TYPE, PREFIX
from task_platform.settings import Settings

from .examples import examples
from .wire import api_processes

# Lone surrogates and NUL included.
ANY_TEXT = st.text(st.characters(), max_size=20)
NUMBERS = st.one_of(
    st.integers(-(10**500), 10**500).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
    st.sampled_from(["-0", "-0.0", "0e0", "1E+2", "1e-999", "1e308", "1e309", "-1e999"]),
    st.sampled_from(["01", "1.", ".5", "+1", "0x10", "NaN", "-Infinity", "1_000", "\uff11\uff12"]),
    st.sampled_from(["9" * 4_300, "9" * 4_301]),
)
VALUES = st.recursive(
    st.one_of(
        st.sampled_from(["null", "true", "false", "True", "nul", ""]),
        NUMBERS,
        ANY_TEXT.map(json.dumps),
        ANY_TEXT.map(lambda text: json.dumps(text, ensure_ascii=False)),
        st.sampled_from(
            [r'"\ud83d"', r'"\ud83d\ude00"', r'"\u0000"', r'"\x"', '"\t"', '"\\', "'a'"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]"),
        st.lists(st.tuples(ANY_TEXT.map(json.dumps), inner), max_size=4).map(
            lambda pairs: "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"
        ),
        st.integers(1, 80).flatmap(
            lambda levels: inner.map(lambda value: "[" * levels + value + "]" * levels)
        ),
    ),
    max_leaves=8,
)


@st.composite
def mutated_bodies(draw: st.DrawFn) -> bytes:
    """A valid body with a few bytes changed, gone, or doubled."""
    body = bytearray(b'{"task_type":"echo","payload":{"a":[1,"x\\n",null]},"max_retries":3}')
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(body) - 1))
        width = draw(st.integers(0, 3))
        body[place : place + width] = draw(st.binary(max_size=3)) or body[place : place + width] * 2
    return bytes(body)


BODIES = st.one_of(
    st.binary(max_size=200),
    mutated_bodies(),
    VALUES.map(lambda text: text.encode("utf-8", "surrogatepass")),
    VALUES.map(
        lambda text: b'{"task_type":"echo","payload":%s}' % text.encode("utf-8", "surrogatepass")
    ),
    VALUES.map(
        lambda text: (
            b'{"task_type":"echo","max_retries":%s}' % text.encode("utf-8", "surrogatepass")
        )
    ),
    st.tuples(st.sampled_from(["[", '{"a":', '[{"a":']), st.integers(60, 30_000)).map(
        lambda nest: b'{"task_type":"echo","payload":' + nest[0].encode() * nest[1]
    ),
)


@pytest.fixture(scope="module")
def client(
    servers: NativeServers,
    shared_services: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[httpx.Client]:
    """A client of an API process."""
    settings = Settings.model_validate(shared_services)
    with (
        api_processes(servers, settings, 1, tmp_path_factory.mktemp("api")) as (process,),
        httpx.Client(base_url=process.url, headers={"Content-Type": "application/json"}) as client,
    ):
        yield client


def is_problem(answer: httpx.Response) -> bool:
    """Whether the answer is a problem of the client's, as the reference has it."""
    members = json.loads(answer.content.decode("utf-8"))
    return (
        400 <= answer.status_code < 500
        and answer.headers["content-type"] == MEDIA_TYPE
        and members["type"].removeprefix(PREFIX) in KINDS
        and members["status"] == answer.status_code
    )


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal to the type and the sign."""
    match one, other:
        case dict(), dict():
            return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
        case list(), list():
            return len(one) == len(other) and all(map(same, one, other))
        case float(), float():
            return one == other and math.copysign(1, one) == math.copysign(1, other)
        case _:
            return type(one) is type(other) and bool(one == other)


def check(client: httpx.Client, body: bytes) -> None:
    """Submit the body, and look at what comes of it."""
    answer = client.post("/tasks", content=body)
    if answer.status_code != 201:
        assert is_problem(answer), answer.text
        return
    sent = json.loads(body)
    task = client.get(answer.headers["location"]).json()
    assert same(task["payload"], sent.get("payload", {}))
    assert task["task_type"] == sent["task_type"]
    assert task["max_retries"] == sent.get("max_retries", 3)


@example(b"")
@example(b'{"task_type":"echo","payload":-0.0}')
@example(b'{"task_type":"echo","payload":{"a":1,"a":2}}')
@example(b'{"task_type":"nope","task_type":"echo"}')
@example(b'{"task_type":"echo","payload":5e-324}')
@example(b'{"task_type":"echo","payload":0.1000000000000000055511151231257827}')
@example(b'{"task_type":"echo","payload":"\xf0\x9f\x98\x80\\ud83d\\ude00"}')
@example(b'{"task_type":"echo","payload":"\xed\xa0\xbd"}')
@example(b'\xef\xbb\xbf{"task_type":"echo"}')
@given(BODIES)
@examples(400, repeatable=True)
def test_any_body_is_refused_or_kept_exactly_in01_in03_in05_in06_in07_in10_in15(
    client: httpx.Client, body: bytes
) -> None:
    check(client, body)


@pytest.mark.slow
@pytest.mark.timeout(900)
@given(BODIES)
@examples(10_000, repeatable=False)
def test_ten_thousand_bodies_are_refused_or_kept_exactly(client: httpx.Client, body: bytes) -> None:
    check(client, body)


@given(st.lists(BODIES, min_size=1, max_size=4))
@examples(100, repeatable=True)
def test_any_batch_is_refused_or_answered_item_by_item(
    client: httpx.Client, items: list[bytes]
) -> None:
    answer = client.post("/tasks/batch", content=b'{"tasks":[%s]}' % b",".join(items))
    if answer.status_code != 200:
        assert is_problem(answer), answer.text
        return
    for item in answer.json()["items"]:
        assert item["status"] in (201, 422)


def echo(payload: str, max_retries: str = "3") -> str:
    """A body with this JSON in it."""
    return '{"task_type":"echo","payload":' + payload + ',"max_retries":' + max_retries + "}"


def nested(levels: int, kind: str) -> str:
    """A payload of so many arrays or objects in each other."""
    if kind == "array":
        return "[" * levels + "]" * levels
    return '{"a":' * (levels - 1) + "{}" + "}" * (levels - 1)


@pytest.mark.parametrize("kind", ["array", "object"])
@pytest.mark.parametrize("levels", [50, 63, 64, 65, 100, 1_000, 20_000, 100_000])
def test_depth_has_a_limit_of_our_own_in06(client: httpx.Client, levels: int, kind: str) -> None:
    payload = nested(levels, kind)
    answer = client.post("/tasks", content=echo(payload))
    if levels <= 64:
        assert answer.status_code == 201
        assert client.get(answer.headers["location"]).text.count(payload) == 1
    else:
        assert is_problem(answer)
        assert answer.status_code == 422
        assert "64 levels" in answer.json()["detail"]


@pytest.mark.parametrize("kind", ["array", "object"])
@pytest.mark.parametrize("levels", [64, 65, 500])
def test_depth_has_the_same_limit_in_a_batch_in06(
    client: httpx.Client, levels: int, kind: str
) -> None:
    payload = nested(levels, kind)
    batch = '{"tasks":[' + echo("1") + "," + echo(payload) + "]}"
    good, deep = client.post("/tasks/batch", content=batch).json()["items"]
    assert good["status"] == 201
    assert deep["status"] == (201 if levels <= 64 else 422)
    if levels > 64:
        assert "64 levels" in deep["error"]["detail"]
        assert deep["error"]["pointer"] == "/tasks/1"


@pytest.mark.parametrize(
    "body",
    [
        '{"task_type":"echo","payload":NaN}',
        '{"task_type":"echo","payload":{"a":[Infinity]}}',
        '{"task_type":"echo","payload":-Infinity}',
        '{"task_type":"echo","payload":1e999}',
        '{"task_type":"echo","payload":-1e400}',
        '{"task_type":"echo","payload":NaN,"max_retries":"many"}',
        '{"task_type":"echo","payload":1,"max_retries":NaN}',
        '{"task_type":"sleep","payload":{"seconds":"NaN"}}',
        '{"task_type":"sleep","payload":{"seconds":NaN}}',
        '{"task_type":"sum","payload":{"numbers":["Infinity"]}}',
    ],
)
def test_what_is_no_number_is_refused_and_not_echoed_in05(client: httpx.Client, body: str) -> None:
    answer = client.post("/tasks", content=body)
    assert is_problem(answer)
    assert answer.status_code in (400, 422)
    assert "NaN" not in answer.text
    assert "Infinity" not in answer.text


@pytest.mark.parametrize(
    ("number", "kept"),
    [
        ("9007199254740993", "9007199254740993"),
        (str(2**63), str(2**63)),
        (str(-(2**64)), str(-(2**64))),
        ("1" + "0" * 400, "1" + "0" * 400),
        ("9" * 4_300, "9" * 4_300),
        ("9" * 4_301, None),
        # The sign is counted.
        ("-" + "9" * 4_299, "-" + "9" * 4_299),
        ("-" + "9" * 4_300, None),
        ("9" * 5_000, None),
        ("-0", "0"),
        ("-0.0", "-0.0"),
        ("1e400", None),
        ("1.10", "1.1"),
        ("1e2", "100.0"),
    ],
)
def test_numbers_are_kept_or_refused_by_rule_in07_in10(
    client: httpx.Client, number: str, kept: str | None
) -> None:
    answer = client.post("/tasks", content=echo(f"[{number}]"))
    if kept is None:
        assert is_problem(answer)
        assert answer.status_code == 422
    else:
        found = client.get(answer.headers["location"])
        assert found.status_code == 200
        assert f'"payload":[{kept}]' in found.text
    typed = client.post("/tasks", content=echo("1", number))
    if number != "-0":
        assert is_problem(typed)
        assert typed.status_code == 422


def key_by_hand(text: str) -> str | None:
    """The key in a header's value, read character by character as RFC 8941 says; None for none."""
    key = text
    if text.startswith('"'):
        key, rest = "", text[1:]
        while rest and rest[0] != '"':
            if rest[0] == "\\":
                rest = rest[1:]
                if rest[:1] not in ('"', "\\"):
                    return None
            key, rest = key + rest[0], rest[1:]
        if rest != '"':
            return None
    visible = all("!" <= character <= "~" for character in key)
    return key if visible and 1 <= len(key) <= 255 else None


KEYS = st.one_of(
    st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")),
    st.text('ab"\\ ', max_size=8),
    st.text('ab"\\', max_size=8).map(lambda text: f'"{text}"'),
    st.integers(253, 258).map(lambda length: "k" * length),
    st.integers(253, 258).map(lambda length: '"' + "k" * length + '"'),
    st.integers(253, 258).map(lambda length: '"' + r"\"" * length + '"'),
    # The client sends no spaces around a value.
).map(lambda text: text.strip(" "))


@given(KEYS)
@hypothesis_settings(max_examples=300, derandomize=True, deadline=None, database=None)
def test_a_key_is_taken_by_the_rule_and_its_quoted_form_is_the_same_idm07(
    client: httpx.Client, text: str
) -> None:
    def post(key: str) -> httpx.Response:
        headers = [(b"idempotency-key", key.encode("latin-1"))]
        return client.post("/tasks", content=b'{"task_type":"echo"}', headers=headers)

    answer, key = post(text), key_by_hand(text)
    if key is None:
        assert answer.status_code == 422
        assert is_problem(answer)
        return
    assert answer.status_code in (200, 201)
    quoted = '"' + key.replace("\\", r"\\").replace('"', r"\"") + '"'
    assert post(quoted).json()["id"] == answer.json()["id"]
    item = {"task_type": "echo", "idempotency_key": text}
    (batched,) = client.post("/tasks/batch", json={"tasks": [item]}).json()["items"]
    assert batched["task"]["id"] == answer.json()["id"]
