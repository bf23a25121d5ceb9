"""Single submissions as fast as one client can send them, and an empty route to compare with.

wrk sends them, in C: the lab's own generator costs several times what an API does to answer. It
writes no history; whoever wants to know what became of the tasks asks the ledger.
"""

from __future__ import annotations

import json
import math
import secrets
import select
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from task_lab.bench.plan import SUM
from task_lab.errors import LabError, NotReadyInTime, ProgramFailed, RuntimeUnavailable
from task_lab.runtime.process import log_tail

CONNECTIONS = 64
_START_S = 30.0
_STOP_S = 5.0
_GRACE_S = 30.0
_WORDS = 2_000
# What the script says at the end, among wrk's own words.
_MARK = "task-lab: "

# Runs in every thread of wrk, so a key has the thread's number in it. The request is put together
# from two texts that are made once. The hook on answers looks at nothing but the status.
_SCRIPT = """\
local threads = {}

function setup(thread)
    thread:set("number", #threads)
    table.insert(threads, thread)
end

function init(args)
    wrk.headers["Content-Type"] = "application/json"
    wrk.headers["Idempotency-Key"] = "KEY"
    local whole = wrk.format("POST", nil, nil, BODY)
    local first, last = whole:find("KEY", 1, true)
    head, tail = whole:sub(1, first - 1) .. RUN .. number .. "-", whole:sub(last + 1)
    sent, others = 0, 0
end

function request()
    sent = sent + 1
    return head .. sent .. tail
end

function response(status)
    if status ~= 201 then
        others = others + 1
    end
end

function done(summary, latency, requests)
    local others = 0
    for _, thread in ipairs(threads) do
        others = others + thread:get("others")
    end
    local errors = summary.errors
    io.write(string.format(
        MARK .. '{"answers":%d,"others":%d,"duration_us":%d,"broken":%d,"late":%d}\\n',
        summary.requests, others, summary.duration,
        errors.connect + errors.read + errors.write, errors.timeout))
end
"""


class MissingWrk(RuntimeUnavailable):
    """wrk, which sends the single submissions, is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "not installed: wrk. `make bench-setup` installs it on Debian and Ubuntu as root; by "
            "hand: apt-get install --no-install-recommends wrk. On another system, install it with "
            "its own package manager and put it on PATH."
        )


class NotAllCreated(LabError):
    """Some submissions were answered by something else than 201, or not at all."""

    def __init__(self, told: Told) -> None:
        self.told = told
        super().__init__(
            f"of {told.answers:,} answers to single submissions {told.others:,} were not 201; "
            f"connections that failed: {told.broken:,}, answers that were late: {told.late:,}"
        )


class Told(msgspec.Struct, frozen=True):
    """What wrk counted.

    others: answers that were not 201. broken: errors of connections. late: answers that took too
    long. The duration is in microseconds.
    """

    answers: int
    others: int
    duration_us: int
    broken: int
    late: int


def single_posts_per_s(
    api_url: str, *, seconds: float, connections: int = CONNECTIONS, scratch: Path
) -> float:
    """Submissions answered with 201 per second: one thread, one POST at a time a connection.

    Each has an Idempotency-Key that no other has had, in this call or another. `seconds` counts in
    whole ones; what is in flight at their end is not counted, though it may have been accepted.
    Raises MissingWrk, NotAllCreated or ProgramFailed.
    """
    program = shutil.which("wrk")
    if program is None:
        raise MissingWrk
    run = secrets.token_hex(8)
    script = scratch / f"wrk-{run}.lua"
    script.write_text(script_text(SUM.body, run), "utf-8")
    whole_s = math.ceil(seconds)
    timeout_s = whole_s + _GRACE_S
    try:
        done = subprocess.run(
            [
                program,
                "--threads=1",
                f"--connections={connections}",
                f"--duration={whole_s}s",
                f"--timeout={math.ceil(timeout_s)}s",
                f"--script={script}",
                f"{api_url}/tasks",
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotReadyInTime("end of wrk", timeout_s) from None
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip()[-_WORDS:]
        raise ProgramFailed("wrk", done.returncode, words, None)
    return posts_per_s(done.stdout)


def script_text(body: str, run: str) -> str:
    """wrk's script for POSTs with keys that begin with `run`."""
    # A text in JSON is one in Lua as well, as long as it is ASCII without control characters.
    values = {"BODY": body, "RUN": f"{run}-", "MARK": _MARK}
    lines = [f"local {name} = {json.dumps(value)}" for name, value in values.items()]
    return "\n".join(lines) + "\n\n" + _SCRIPT


def posts_per_s(printed: str) -> float:
    """Answers per second from what wrk printed. Raises NotAllCreated unless all were 201."""
    _, mark, rest = printed.rpartition(_MARK)
    if not mark:
        raise ProgramFailed("wrk", 0, printed.strip()[-_WORDS:], None)
    told = msgspec.json.decode(rest.splitlines()[0], type=Told)
    if told.others or told.broken or told.late or not told.answers:
        raise NotAllCreated(told)
    return told.answers / (told.duration_us / 1e6)


class EmptyRoute:
    """A route that does nothing, in a process of its own, between `with` and its end.

    `POST /tasks` with the platform's own body model, by the platform's own server settings; see
    `task_lab.bench.empty_route`. url: where it answers. Raises ProgramFailed or NotReadyInTime.
    """

    def __init__(self, scratch: Path) -> None:
        self._log = scratch / "empty-route.log"

    def __enter__(self) -> Self:
        with self._log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "task_lab.bench.empty_route"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], _START_S)
        self.url = self._process.stdout.readline().decode().strip() if readable else ""
        if not self.url:
            self._stop()
            if not readable:
                raise NotReadyInTime("the empty route", _START_S, log_tail(self._log))
            raise ProgramFailed(
                "empty route", self._process.returncode, log_tail(self._log), self._log
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        """End the process, by force if closing its input is not enough."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
