"""Switching a protection off in SQL, in a way that cannot go stale."""

from __future__ import annotations

import pytest
from task_platform.storage.queries import statements


def rewrite_statement(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, replacement: str
) -> None:
    """Run a named statement with one part of it replaced; that part must be there, once."""
    statement = statements()[name]
    assert statement.count(text) == 1, f"{name} holds {text!r} {statement.count(text)} times"
    monkeypatch.setitem(statements(), name, statement.replace(text, replacement))
