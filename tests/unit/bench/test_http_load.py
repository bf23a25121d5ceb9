"""What wrk is told to send, and what its words come to."""

from __future__ import annotations

import json

import pytest
from task_lab.bench.http_load import NotAllCreated, posts_per_s, script_text
from task_lab.errors import ProgramFailed

PRINTED = """\
Running 2s test @ http://127.0.0.1:9000
  Thread Stats   Avg      Stdev     Max   +/- Stdev
Requests/sec:   4999.00
task-lab: %s
"""
TOLD = {"answers": 10_000, "others": 0, "duration_us": 2_000_000, "broken": 0, "late": 0}


def printed(**changes: int) -> str:
    return PRINTED % json.dumps(TOLD | changes)


def test_the_rate_is_answers_over_the_time_that_wrk_measured() -> None:
    assert posts_per_s(printed()) == 5_000


@pytest.mark.parametrize("trouble", [{"others": 1}, {"broken": 1}, {"late": 1}, {"answers": 0}])
def test_anything_but_created_is_an_error(trouble: dict[str, int]) -> None:
    with pytest.raises(NotAllCreated) as caught:
        posts_per_s(printed(**trouble))
    for name, count in trouble.items():
        assert getattr(caught.value.told, name) == count


def test_words_without_our_line_are_an_error_that_holds_them() -> None:
    with pytest.raises(ProgramFailed, match="unable to resolve"):
        posts_per_s("unable to resolve host")


def test_the_script_is_given_the_body_and_the_run_as_texts_of_lua() -> None:
    first, second, *_ = script_text('{"a": "b\\n"}', "run").splitlines()
    assert first == r'local BODY = "{\"a\": \"b\\n\"}"'
    assert second == 'local RUN = "run-"'
