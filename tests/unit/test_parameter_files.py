"""Parameter files: what was written is what the notebook gets, or nothing is started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_lab.errors import UsageError
from task_lab.parameter_files import (
    ParameterFileUnreadable,
    parameters_for,
    parameters_of,
    read_parameter_file,
)
from task_lab.parameters import ParametersRefused, declared_in
from task_lab.store import PROJECT

DECLARED = declared_in(
    """
start: str = ""
mode: str = ""
python: str = ""
tasks: int = 1
rate: float = 1.0
dry: bool = False
limit: int | None = 3
note: str | None = None
workers: list[int] = [1]
labels: dict[str, str] = {}
"""
)


def read(folder: Path, name: str, text: str) -> dict[str, object]:
    (folder / name).write_text(text, "utf-8")
    return read_parameter_file(folder / name, DECLARED, "n.ipynb")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.yaml", "start: 2026-01-01\nmode: on\npython: 3.10\n"),
        ("p.yml", "start: '2026-01-01'\nmode: \"on\"\npython: |-\n  3.10\n"),
        ("p.toml", "start = '2026-01-01'\nmode = 'on'\npython = '3.10'\n"),
        ("p.json", '{"start": "2026-01-01", "mode": "on", "python": "3.10"}'),
    ],
)
def test_a4_text_stays_as_it_was_written(tmp_path: Path, name: str, text: str) -> None:
    assert read(tmp_path, name, text) == {"start": "2026-01-01", "mode": "on", "python": "3.10"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.toml", "start = 2026-01-01"),
        ("p.toml", "python = 3.10"),
        ("p.toml", "mode = true"),
        ("p.toml", "tasks = '5'"),
        ("p.toml", "tasks = 5.0"),
        ("p.json", '{"python": 3.10}'),
        ("p.json", '{"dry": "on"}'),
        ("p.json", '{"dry": 1}'),
        ("p.json", '{"rate": 1e999}'),
        ("p.yaml", "tasks: 3.10"),
        ("p.yaml", "tasks: '5'"),
        ("p.yaml", "tasks: 010"),
        ("p.yaml", "tasks: 1_000"),
        ("p.yaml", "tasks: 1:30"),
        ("p.yaml", "tasks: 0x10"),
        ("p.yaml", "tasks: on"),
        ("p.yaml", "tasks:"),
        ("p.yaml", "dry: 1"),
        ("p.yaml", "rate: .inf"),
        ("p.yaml", "workers: 1,3"),
        ("p.yaml", "workers: [1, on]"),
        ("p.yaml", "mode: [on]"),
        ("p.yaml", "labels: {a: [b]}"),
        ("p.yaml", "wrokers: [1]"),
        ("p.yaml", "<<: {tasks: 5}"),
    ],
)
def test_a4_a_value_of_another_type_is_refused_by_name(
    tmp_path: Path, name: str, text: str
) -> None:
    with pytest.raises(ParametersRefused) as refused:
        read(tmp_path, name, text)
    assert len(refused.value.problems) == 1
    assert refused.value.exit_code == 64


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("tasks: 2000", {"tasks": 2000}),
        ("tasks: -5", {"tasks": -5}),
        ("rate: 2", {"rate": 2.0}),
        ("rate: 2.50", {"rate": 2.5}),
        ("rate: 1e3", {"rate": 1000.0}),
        ("dry: on", {"dry": True}),
        ("dry: False", {"dry": False}),
        ("limit: null", {"limit": None}),
        ("limit: 7", {"limit": 7}),
        ("note: ~", {"note": None}),
        ("note: 3.10", {"note": "3.10"}),
        ("mode: null", {"mode": "null"}),
        ("workers: [1, 3]", {"workers": [1, 3]}),
        ("workers:\n- 1\n- 3\n", {"workers": [1, 3]}),
        ("labels: {on: 2026-01-01, 3.10: no}", {"labels": {"on": "2026-01-01", "3.10": "no"}}),
        ("", {}),
        ("# nothing\n", {}),
    ],
)
def test_a4_a_bare_word_of_yaml_means_what_the_declared_type_says(
    tmp_path: Path, text: str, value: dict[str, object]
) -> None:
    assert read(tmp_path, "p.yaml", text) == value


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("p.yaml", "tasks: 1\ntasks: 2", "given twice: tasks"),
        ("p.json", '{"tasks": 1, "tasks": 2}', "given twice: tasks"),
        ("p.json", '{"rate": NaN}', "NaN"),
        ("p.yaml", "tasks: &n 5\nlimit: *n", "aliases and tags"),
        ("p.yaml", "mode: !!python/name:os.system", "aliases and tags"),
        ("p.yaml", "tasks: 1\n---\ntasks: 2", "document"),
        ("p.yaml", "tasks: [", "expected"),
        ("p.yaml", "- tasks", "names and their values"),
        ("p.yaml", "tasks: " + "[" * 5_000, "levels deep"),
        ("p.json", "5", "names and their values"),
        ("p.json", "{", "Expecting"),
        ("p.toml", "tasks", "Expected"),
        ("p.ini", "tasks=5", "'.ini'"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    with pytest.raises(ParameterFileUnreadable) as refused:
        read(tmp_path, name, text)
    assert problem in refused.value.problem
    assert refused.value.exit_code == 64


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterFileUnreadable, match="No such file"):
        read_parameter_file(tmp_path / "p.yaml", DECLARED, "n.ipynb")
    (tmp_path / "p.yaml").write_bytes(b"tasks: \xff")
    with pytest.raises(ParameterFileUnreadable, match="utf-8"):
        read_parameter_file(tmp_path / "p.yaml", DECLARED, "n.ipynb")


@given(
    st.fixed_dictionaries(
        {
            "tasks": st.integers(),
            "rate": st.floats(allow_nan=False, allow_infinity=False),
            "dry": st.booleans(),
            "mode": st.text(st.characters(codec="utf-8")),
            "workers": st.lists(st.integers()),
        }
    )
)
def test_json_gives_back_what_was_put_in(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]
) -> None:
    assert read(tmp_path_factory.getbasetemp(), "p.json", json.dumps(values)) == values


NOTEBOOK = PROJECT / "notebooks" / "01_throughput.ipynb"


def test_a4_a_real_notebook_says_of_which_types_its_parameters_are(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("workers: 1,3\ntasks: 500\nrun_folder: 2026-01-01\n")
    given = {"workers": "1,3", "tasks": 500, "run_folder": "2026-01-01"}
    assert parameters_for(NOTEBOOK, tmp_path / "p.yaml") == given
    assert parameters_of(NOTEBOOK, [f"{name}={value}" for name, value in given.items()]) == given


@pytest.mark.parametrize(
    ("pair", "problem"),
    [
        ("tasks", "NAME=VALUE"),
        ("tasks=", "must be int"),
        ("tasks=3.10", "must be int"),
        ("tasks=on", "must be int"),
        ("wrokers=3", "did you mean 'workers'"),
    ],
)
def test_a4_a_parameter_of_the_command_line_is_refused_alike(pair: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        parameters_of(NOTEBOOK, [pair])
    with pytest.raises(UsageError, match="given twice"):
        parameters_of(NOTEBOOK, ["tasks=1", "tasks=2"])
