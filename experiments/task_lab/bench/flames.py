"""Where a Python process spends its time: a flame graph, and the functions that cost most.

py-spy looks at the process from outside, 250 times a second, and stops it for the moment of each
look. What is kept names files by their place in their package, never by where this machine has it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from dataclasses import dataclass
from html import escape
from pathlib import Path

from task_lab.errors import LabError
from task_lab.store import PROJECT

RATE_PER_S = 250
# What py-spy may take beyond the sampling itself: to find its way into the process, and to write.
_GRACE_S = 30.0
_WORDS = 2_000

_FRAME = re.compile(r"(?P<function>.*) \((?P<place>[^()]+)\)")
_TITLE = re.compile(r'(<text id="title"[^>]*>)[^<]*(</text>)')
_ABSOLUTE = re.compile(r"\(/(?:[^()<>;/]*/)*([^()<>;/]+:\d+\))")
# A label that its box has no room for ends anywhere.
_CUT = re.compile(r"\(/[^()<>;]*\.\.(</text>)")


class SamplingFailed(LabError):
    """py-spy could not look into a process, or is not there; the message has its own words."""


@dataclass(frozen=True, slots=True)
class Cost:
    """A function that was found running itself, not waiting for one that it calls.

    place: the file, from its package on, and the function's first line. share: of the samples in
    which the process was busy, 0 to 1.
    """

    function: str
    place: str
    share: float


def record(pid: int, svg: Path, *, seconds: float) -> None:
    """Watch a process for so many seconds, in whole ones, and write its flame graph.

    Raises SamplingFailed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        drawn = Path(scratch) / "flames.svg"
        _sample(pid, drawn, seconds, "--format=flamegraph")
        text = drawn.read_text("utf-8")
    svg.write_text(titled(without_machine_paths(text), svg.stem), "utf-8")


def largest_costs(pid: int, *, seconds: float, count: int = 8) -> list[Cost]:
    """Watch a process for so many seconds; the functions that cost most, largest first.

    Empty for a process that did nothing. Raises SamplingFailed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        stacks = Path(scratch) / "stacks.txt"
        _sample(pid, stacks, seconds, "--format=raw", "--function")
        return costs_of(without_machine_paths(stacks.read_text("utf-8")), count)


def costs_of(stacks: str, count: int) -> list[Cost]:
    """The functions most often found at the end of a stack.

    stacks: lines `frame;frame;… samples`, the outermost frame first, each `function (file:line)`.
    """
    samples: Counter[tuple[str, str]] = Counter()
    for line in stacks.splitlines():
        stack, _, times = line.rpartition(" ")
        innermost = stack.rpartition(";")[2]
        match = _FRAME.fullmatch(innermost)
        function, place = match.group("function", "place") if match else (innermost, "")
        samples[function, place] += int(times)
    total = samples.total()
    return [
        Cost(function, place, times / total)
        for (function, place), times in samples.most_common(count)
    ]


def without_machine_paths(text: str) -> str:
    """The text with every file named from its package on, or by its bare name."""
    for prefix in _prefixes():
        text = text.replace(f"({prefix}/", "(")
    return _CUT.sub(r"(..\1", _ABSOLUTE.sub(r"(\1", text))


def titled(svg: str, title: str) -> str:
    """The flame graph under a title of ours: py-spy's own is its command line."""
    return _TITLE.sub(lambda match: match[1] + escape(title) + match[2], svg)


def _prefixes() -> list[str]:
    """Folders that packages are in, the longest first: some of them hold others."""
    paths = sysconfig.get_paths()
    folders = {
        *(paths[name] for name in ("purelib", "platlib", "stdlib", "platstdlib")),
        *(str(PROJECT / part) for part in ("platform", "experiments")),
        str(PROJECT),
        sys.prefix,
        sys.base_prefix,
    }
    return sorted(folders - {"/"}, key=len, reverse=True)


def _sample(pid: int, output: Path, seconds: float, *options: str) -> None:
    beside = Path(sys.executable).with_name("py-spy")
    program = str(beside) if beside.exists() else shutil.which("py-spy")
    if program is None:
        raise SamplingFailed("py-spy is not installed: `make setup` installs it")
    try:
        done = subprocess.run(
            [
                program,
                "record",
                f"--pid={pid}",
                f"--output={output}",
                f"--duration={max(1, round(seconds))}",
                f"--rate={RATE_PER_S}",
                *options,
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds + _GRACE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SamplingFailed(f"py-spy came to no end with process {pid}") from None
    if done.returncode != 0 or not output.exists():
        words = (done.stderr or done.stdout).strip()[-_WORDS:]
        raise SamplingFailed(f"py-spy could not watch process {pid}: {words}")
