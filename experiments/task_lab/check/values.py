"""JSON values, compared as the API tells them apart."""

from __future__ import annotations

import json
from typing import Any


def as_json(text: str | None) -> Any:
    """The value of a JSON text; None for none."""
    return None if text is None else json.loads(text)


def canonical(value: Any) -> str:
    """One text for equal JSON values, whatever the order of their keys.

    As for the API, `1`, `1.0` and `true` are three values, and so are `0` and `-0.0`.
    """
    return json.dumps(value, sort_keys=True)
