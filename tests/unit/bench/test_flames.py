"""What becomes of py-spy's output."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest
from task_lab.bench.flames import (
    Cost,
    SamplingFailed,
    costs_of,
    record,
    titled,
    without_machine_paths,
)
from task_lab.store import PROJECT

STACKS = """\
<module> (cli.py:1);run (a/loop.py:5) 2
<module> (cli.py:1);run (a/loop.py:5);encode (a/wire.py:9) 5
<module> (cli.py:1);other (b/x.py:7);encode (a/wire.py:9) 1
<module> (cli.py:1);run (a/loop.py:5);f.<locals>.<genexpr> (a/b c.py:3) 2
"""


def test_a_function_costs_what_it_was_found_doing_itself_on_any_path() -> None:
    assert costs_of(STACKS, 8) == [
        Cost("encode", "a/wire.py:9", 0.6),
        Cost("run", "a/loop.py:5", 0.2),
        Cost("f.<locals>.<genexpr>", "a/b c.py:3", 0.2),
    ]


def test_only_the_largest_are_told_with_their_share_of_everything() -> None:
    assert costs_of(STACKS, 1) == [Cost("encode", "a/wire.py:9", 0.6)]


def test_a_frame_without_a_place_is_told_by_its_name() -> None:
    assert costs_of("process 12 3\n", 8) == [Cost("process 12", "", 1.0)]


def test_a_process_that_did_nothing_costs_nothing() -> None:
    assert costs_of("", 8) == []


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (f"{sysconfig.get_paths()['purelib']}/asyncpg/pool.py:3", "asyncpg/pool.py:3"),
        (f"{sysconfig.get_paths()['stdlib']}/json/decoder.py:3", "json/decoder.py:3"),
        (f"{PROJECT}/platform/task_platform/wire.py:3", "task_platform/wire.py:3"),
        (f"{PROJECT}/experiments/task_lab/run.py:3", "task_lab/run.py:3"),
        (f"{sys.prefix}/bin/task-lab:3", "bin/task-lab:3"),
        ("/home/somebody/handlers.py:3", "handlers.py:3"),
        ("task_platform/wire.py:3", "task_platform/wire.py:3"),
    ],
)
def test_files_are_named_from_their_package_on(file: str, told: str) -> None:
    assert without_machine_paths(f"a ({file});b ({file}) 7") == f"a ({told});b ({told}) 7"
    assert (
        without_machine_paths(f"<title>a ({file}) (7 samples)") == f"<title>a ({told}) (7 samples)"
    )


def test_a_path_that_a_label_cuts_off_is_not_told() -> None:
    assert without_machine_paths("<text>f (/home/some..</text>") == "<text>f (..</text>"


def test_the_script_of_the_picture_stays_as_it_is() -> None:
    script = r'e.replace(/\([^(]*\)$/,"").match(/a\/b:1/);'
    assert without_machine_paths(script) == script


def test_the_title_is_ours_and_not_a_command_line() -> None:
    svg = '<text id="title" x="50%">/opt/bin/py-spy record -o /home/x.svg</text><text>a</text>'
    expected = '<text id="title" x="50%">a &lt;b&gt; \\1</text><text>a</text>'
    assert titled(svg, r"a <b> \1") == expected


def test_a_process_that_is_not_there_is_an_error_with_py_spys_words(tmp_path: Path) -> None:
    with pytest.raises(SamplingFailed, match=r"could not watch process 999999999: .*\w"):
        record(999_999_999, tmp_path / "x.svg", seconds=1)
    assert not (tmp_path / "x.svg").exists()
