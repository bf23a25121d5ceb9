"""`task-platform dlq` as people and programs use it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import re
import struct
import sys
import termios
from typing import Any
from uuid import UUID, uuid4

import pytest
from task_platform.settings import Settings
from task_platform.storage import dead_letters
from task_platform.storage.pool import Pool

from .commands import Finished, finished
from .relay.dead import dead

NASTY = "\x1b[2J[red]pay\u202eload\x9b31m"


class Dlq:
    """The command on this test's database."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __call__(self, *arguments: str) -> Finished:
        ended = await finished(self._url, "dlq", *arguments)
        assert "Traceback" not in ended.err, ended.err
        return ended

    async def json(self, *arguments: str, code: int = 0) -> Any:
        """The one line that it says to programs."""
        ended = await self(*arguments, "--json")
        assert ended.code == code, ended.err
        (line,) = ended.out.splitlines()
        assert line.isascii()
        return json.loads(line)

    async def on_terminal(
        self, *arguments: str, answer: str = "", columns: int = 80, code: int = 0
    ) -> str:
        """What somebody sees at a terminal of so many columns, who types the answer."""
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.write(ours, answer.encode())
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "task_platform.cli", "dlq", *arguments),
            env={
                **{name: value for name, value in os.environ.items() if name != "COLUMNS"},
                "TASK_PLATFORM_DATABASE_URL": self._url,
            },
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        try:
            async with asyncio.timeout(60):
                assert await process.wait() == code
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            seen = b""
            # An error, not an end, once nobody holds the other side.
            with contextlib.suppress(OSError):
                while part := os.read(ours, 65_536):
                    seen += part
            os.close(ours)
        return seen.decode()


@pytest.fixture
async def dlq(database_url: str) -> Dlq:
    return Dlq(database_url)


async def nasty(pool: Pool) -> UUID:
    """A dead task whose client chose everything it could."""
    (task_id,) = await dead(pool, 1)
    await pool.execute(
        "update tasks set task_type = $2, payload = $3, error = $4 where id = $1",
        task_id,
        NASTY,
        json.dumps({"say": NASTY}, ensure_ascii=False),
        json.dumps({"type": "RuntimeError", "message": NASTY}),
    )
    await pool.execute(
        "insert into attempt_failures values ($1, 1, 1, 'w1', now(), now(), 'dead', 'E', $2)",
        task_id,
        NASTY,
    )
    return task_id


async def test_the_list_in_pages_and_by_type(dlq: Dlq, pool: Pool) -> None:
    ids = await dead(pool, 5)
    await pool.execute("update tasks set task_type = 'rare' where id = $1", ids[0])
    first, rare, nothing = await asyncio.gather(
        dlq.json("list", "--limit", "3"),
        dlq.json("list", "--task-type", "rare"),
        dlq("list", "--task-type", "none"),
    )
    rest = await dlq.json("list", "--before", first["next_before"])
    listed = [letter["task_id"] for page in (first, rest) for letter in page["dead_letters"]]
    assert sorted(listed) == sorted(map(str, ids))
    assert rest["next_before"] is None
    (only,) = rare["dead_letters"]
    assert (only["task_id"], only["status"], only["attempts"]) == (str(ids[0]), "open", 1)
    assert (nothing.code, nothing.out) == (0, "no dead letters\n")


async def test_what_clients_chose_cannot_command_a_terminal(dlq: Dlq, pool: Pool) -> None:
    task_id = await nasty(pool)
    listed, shown, whole = await asyncio.gather(
        dlq("list"), dlq("show", str(task_id)), dlq.json("show", str(task_id))
    )
    for ended in (listed, shown):
        assert ended.code == 0
        assert str(task_id) in ended.out
        assert all(line.isprintable() for line in ended.out.splitlines())
        assert "[red]" in ended.out
        assert r"\x1b[2J" in ended.out
    assert whole["task_type"] == NASTY
    assert whole["payload"] == {"say": NASTY}
    assert [failure["message"] for failure in whole["failures"]] == [NASTY]


async def test_the_list_has_one_line_for_each_and_is_whole_when_piped(dlq: Dlq, pool: Pool) -> None:
    (task_id,) = await dead(pool, 1)
    message = "a reason \n" + "that goes on and on " * 20
    await pool.execute(
        "update tasks set task_type = $2, error = $3 where id = $1",
        task_id,
        "a type with a name as long as they may be",
        json.dumps({"type": "RuntimeError", "message": message}),
    )
    piped, seen = await asyncio.gather(dlq("list"), dlq.on_terminal("list", columns=80))
    head, line = piped.out.splitlines()
    assert head.split() == ["task", "failed", "at", "(UTC)", "type", "reason"]
    assert line.startswith(f"{task_id}  20")
    assert "a type with a name as long as they may be  RuntimeError: a reason" in line
    assert line.endswith("on ")
    head, line = seen.splitlines()
    assert line.startswith(f"{task_id}  20")
    assert len(line) <= 80
    assert line.endswith("…")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (None, "sent; "),
        (
            "insert into outbox (queue, task_ids, due_at, available_at)"
            " values ('tasks.dlq', array[$1::uuid], now(), now())",
            "not yet: ",
        ),
        ("purge", "no more: "),
        ("replay", "no more: "),
    ],
)
async def test_what_is_said_of_the_queue_is_true(
    dlq: Dlq, pool: Pool, change: str | None, said: str
) -> None:
    (task_id,) = await dead(pool, 1)
    await pool.execute("delete from outbox")
    if change and " " in change:
        await pool.execute(change, task_id)
    elif change:
        assert (await dlq(change, str(task_id))).code == 0
    shown = (await dlq("show", str(task_id))).out
    (line,) = [line for line in shown.splitlines() if line.startswith("in tasks.dlq")]
    assert line.split(None, 2)[2].startswith(said)


async def test_programs_get_times_as_the_api_writes_them(dlq: Dlq, pool: Pool) -> None:
    task_id = await nasty(pool)
    (listed,) = (await dlq.json("list"))["dead_letters"]
    shown = await dlq.json("show", str(task_id))
    times = [listed["failed_at"], shown["created_at"], shown["failures"][0]["ended_at"]]
    for time in times:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", time)


async def test_replay_and_purge_by_id(dlq: Dlq, pool: Pool) -> None:
    one, other, third = await dead(pool, 3)
    replayed, purged = await asyncio.gather(
        dlq.json("replay", str(one), str(one), str(other)), dlq("purge", str(third))
    )
    assert set(replayed["new_ids"]) == {str(one), str(other)}
    assert replayed["replayed"] == 2
    assert (purged.code, purged.out) == (0, "0 replayed, 1 purged, 0 left\n")
    again, unknown = await asyncio.gather(
        dlq.json("replay", str(one), code=1), dlq("purge", str(uuid4()))
    )
    assert again["not_done"] == {str(one): "resolved_before"}
    assert unknown.code == 1
    assert "is no dead letter" in unknown.err
    assert (await dead_letters.count_open(pool))[0] == 0


async def test_all_at_once_asks_first_when_it_cannot_be_undone(dlq: Dlq, pool: Pool) -> None:
    await dead(pool, 4)
    refused = await dlq("purge", "--all")
    assert refused.code == 64
    assert "--yes" in refused.err
    declined = await dlq.on_terminal("purge", "--all", "--task-type", "sum", answer="n\n", code=1)
    assert "Purge all open dead letters of type sum for good? [y/N]" in declined
    assert "nothing was purged" in declined
    assert (await dead_letters.count_open(pool))[0] == 4
    replayed = await dlq.json("replay", "--all", "--task-type", "sum", "--rate", "1000")
    assert replayed["replayed"] == 4
    assert await pool.fetchval("select count(*) from tasks where replay_of is not null") == 4
    await dead(pool, 2)
    assert (await dlq.json("purge", "--all", "--yes"))["purged"] == 2
    await dead(pool, 2)
    assert "2 purged" in await dlq.on_terminal("purge", "--all", answer="y\n")


@pytest.mark.parametrize(
    ("arguments", "code", "about"),
    [
        (["show", "1234"], 64, "UUID"),
        (["replay"], 64, "--all"),
        (["replay", "--all", str(uuid4())], 64, "--all"),
        (["replay", str(uuid4()), "--task-type", "sum"], 64, "--task-type"),
        (["replay", "--all", "--rate", "0"], 64, "--rate"),
        (["list", "--limit", "0"], 64, "--limit"),
        (["bury"], 64, "bury"),
        (["show", str(uuid4())], 1, "no dead letter"),
        (["list", "--before", str(uuid4())], 1, "no dead letter"),
    ],
)
async def test_what_cannot_be_done_says_why(
    dlq: Dlq, arguments: list[str], code: int, about: str
) -> None:
    ended = await dlq(*arguments)
    assert ended.code == code
    assert about in ended.err
    assert ended.out == ""


async def test_without_a_database_or_its_schema_it_says_so(settings: Settings) -> None:
    away = await finished("postgresql://nobody@127.0.0.1:1/none", "dlq", "list")
    bare = settings.database_url.get_secret_value().rpartition("/")[0] + "/postgres"
    unmigrated = await finished(bare, "dlq", "list")
    for ended, about in ((away, "Connect"), (unmigrated, "task-platform migrate")):
        assert ended.code == 1
        assert about in ended.err
        assert "the database that TASK_PLATFORM_DATABASE_URL names" in ended.err
        assert "postgresql://" not in ended.err
        assert "Traceback" not in ended.err
