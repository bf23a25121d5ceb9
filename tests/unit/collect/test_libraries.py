"""Which libraries take part, by what the installed project requires."""

from __future__ import annotations

from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from task_lab.collect.libraries import library_versions

VERSIONS = library_versions()


def test_versions_name_python_and_the_platform_first() -> None:
    assert list(VERSIONS)[:2] == ["python", "task_platform"]


def test_everything_that_platform_and_lab_require_is_named() -> None:
    required = [Requirement(line) for line in metadata.requires("task-platform") or ()]
    wanted = {
        canonicalize_name(one.name)
        for one in required
        if one.marker is None or one.marker.evaluate({"extra": "lab"})
    }
    assert len(wanted) > 20
    assert wanted <= set(VERSIONS)


def test_what_those_need_is_named_too_and_what_only_tests_need_is_not() -> None:
    assert {"starlette", "numpy", "h11"} <= set(VERSIONS)
    assert {"hypothesis", "mypy", "ruff"}.isdisjoint(VERSIONS)


def test_each_version_is_the_installed_one() -> None:
    for name in ("asyncpg", "aiormq", "pandas"):
        assert VERSIONS[name] == metadata.version(name)
