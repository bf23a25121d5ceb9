"""What handlers return, as it is stored."""

from __future__ import annotations

from typing import Any

from task_platform import strict_json
from task_platform.errors import InvalidResult


def result_text(value: Any, max_bytes: int) -> str:
    """JSON text of a result. Raises InvalidResult when it is not JSON, or too large."""
    text = strict_json.dump_result(value)
    # A character has at most 4 bytes: most results need no second look.
    if 4 * len(text) > max_bytes and (size := len(text.encode())) > max_bytes:
        raise InvalidResult(f"the result has {size} bytes, more than {max_bytes}")
    return text
