"""What every error answer has to be."""

from __future__ import annotations

from typing import Any

import httpx

MARKER = "xyzzy-raw-input"


def problem_of(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The problem in the answer, after checking that it is one, of this kind, quoting nothing."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["type"] == f"urn:task-platform:problem:{kind}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert set(problem) <= {"type", "title", "status", "detail", "pointer", "parameter"}
    assert ("parameter" in problem) is (kind == "invalid-parameter")
    assert not {"pointer", "parameter"} <= set(problem)
    assert MARKER not in response.text
    assert len(response.text) < 1_000
    assert ("retry-after" in response.headers) is (status == 503)
    return problem
