"""A batch, cut into items, each of which is read by itself.

One body may be 16 MB: it is never parsed as a whole, and the other requests have their turn between
its items.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter

import msgspec

from task_platform import strict_json
from task_platform.api.edge import Edge
from task_platform.api.schemas import MAX_BATCH
from task_platform.domain.task import NewTask
from task_platform.errors import BodyTooLarge, InvalidInput

_TURN_S = 0.005


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    tasks: msgspec.Raw


_decode_batch = msgspec.json.Decoder(_Batch).decode
# An array that is read as a record of so many fields is given up at the first item too many; a list
# would be read to its end, and hold millions of items, before anybody counts them.
_decode_items = msgspec.json.Decoder(
    msgspec.defstruct(
        "_Items",
        [(f"item_{number}", msgspec.Raw, None) for number in range(MAX_BATCH)],
        array_like=True,
        forbid_unknown_fields=True,
    )
).decode


def cut(body: bytes) -> Sequence[bytes]:
    """The items of a batch, each as it was written. Raises MalformedJson, InvalidInput."""
    try:
        items = _decode_batch(body).tasks
    except RecursionError:
        raise strict_json.too_deep() from None
    except msgspec.ValidationError:
        raise InvalidInput("send an object with the one member `tasks`") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise strict_json.undecodable(body) from None
    try:
        found = msgspec.structs.astuple(_decode_items(items))
    except msgspec.ValidationError:
        found = ()
    texts = [bytes(item) for item in found if item is not None]
    if not texts:
        raise InvalidInput(f"1 to {MAX_BATCH:,} tasks", pointer="/tasks")
    return texts


async def read_items(
    edge: Edge, items: Sequence[bytes], *, tenant: str, most_bytes: int
) -> list[NewTask | InvalidInput | BodyTooLarge]:
    """The submission in each item, or why it is none. Raises MalformedJson.

    most_bytes: as many as one submission may have that comes alone.
    """
    read: list[NewTask | InvalidInput | BodyTooLarge] = []
    turn_ends_at = perf_counter() + _TURN_S
    for index, item in enumerate(items):
        place = f"/tasks/{index}"
        try:
            if len(item) > most_bytes:
                raise BodyTooLarge(f"a submission may have {most_bytes} bytes", pointer=place)
            read.append(edge.new_batch_task(item, tenant=tenant, place=place))
        except (InvalidInput, BodyTooLarge) as error:
            read.append(error)
        if perf_counter() > turn_ends_at:
            await asyncio.sleep(0)
            turn_ends_at = perf_counter() + _TURN_S
    return read
