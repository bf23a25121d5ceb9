"""Problems: a published set of types, and times as they are written."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from task_platform import errors
from task_platform.api.problems import KINDS, problem_of, timestamp

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "http-api.md"


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_is_documented(kind: str) -> None:
    assert f"`{kind}`" in REFERENCE.read_text(encoding="utf-8")


def test_every_error_of_ours_has_a_published_type() -> None:
    def below(error: type[Exception]) -> set[type[Exception]]:
        return {error}.union(*(below(each) for each in error.__subclasses__()))

    kinds = {error.kind for error in below(errors.ClientError)}  # type: ignore[attr-defined]
    assert kinds - {errors.ClientError.kind} <= set(KINDS)
    for error in (errors.Overloaded(), errors.DatabaseUnavailable(), RuntimeError()):
        assert problem_of(error)["type"].rpartition(":")[2] in KINDS


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00.000000Z"),
        (datetime(1, 1, 1, 1, 1, 1, 1, tzinfo=UTC), "0001-01-01T01:01:01.000001Z"),
        (datetime.max.replace(tzinfo=UTC), "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_times_are_rfc_3339_with_microseconds_in14(moment: datetime, text: str) -> None:
    assert timestamp(moment) == text
