"""What the kernel says of processes, read from /proc as cheaply as it can be.

Plain reads rather than psutil's: with the fifty processes of a stack, twice a second, those cost
several per cent of a core, and these between one and two. A process that is gone answers None
everywhere, and so does each on a system without /proc.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Longer than any of these files.
_READ_BYTES = 4096


class Stat(NamedTuple):
    """Of one process. cpu_s: user and system, with that of the children it has waited for."""

    parent: int
    is_zombie: bool
    cpu_s: float
    threads: int


class Memory(NamedTuple):
    """Resident memory of one process. shared_bytes: the part that files or shared memory back."""

    rss_bytes: int
    shared_bytes: int


class Transfer(NamedTuple):
    """Bytes that one process, and children it has waited for, had read from and sent to disks."""

    read_bytes: int
    written_bytes: int


class Switches(NamedTuple):
    """How often the main thread of one process gave up its core, and how often it lost it."""

    voluntary: int
    involuntary: int


def read_stat(pid: int) -> Stat | None:
    content = _read(pid, "stat")
    return parse_stat(content) if content else None


def parse_stat(content: bytes) -> Stat:
    """A line of /proc/PID/stat; the name in it may hold anything, brackets too."""
    fields = content[content.rindex(b")") + 2 :].split()
    ticks = int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])
    return Stat(
        parent=int(fields[1]),
        is_zombie=fields[0] in b"ZX",
        cpu_s=ticks / _TICKS_PER_S,
        threads=int(fields[17]),
    )


def read_memory(pid: int) -> Memory | None:
    content = _read(pid, "statm")
    if not content:
        return None
    _, resident, shared = content.split()[:3]
    return Memory(int(resident) * _PAGE_BYTES, int(shared) * _PAGE_BYTES)


def read_transfer(pid: int) -> Transfer | None:
    """None also where it belongs to another user."""
    found = _fields(_read(pid, "io"))
    if b"write_bytes" not in found:
        return None
    return Transfer(int(found[b"read_bytes"]), int(found[b"write_bytes"]))


def read_switches(pid: int) -> Switches | None:
    found = _fields(_read(pid, "status"))
    if b"nonvoluntary_ctxt_switches" not in found:
        return None
    return Switches(
        int(found[b"voluntary_ctxt_switches"]), int(found[b"nonvoluntary_ctxt_switches"])
    )


def count_descriptors(pid: int) -> int | None:
    """Open file descriptors; None also where it belongs to another user."""
    folder = f"/proc/{pid}/fd"
    try:
        # Since Linux 6.2 the folder's size is the answer; before it is 0, and they are counted.
        return os.stat(folder).st_size or len(os.listdir(folder))  # noqa: PTH116, PTH208 - twice as fast
    except OSError:
        return None


def all_parents() -> dict[int, int]:
    """The parent of every process there is; none where there is no /proc."""
    found: dict[int, int] = {}
    try:
        names = os.listdir("/proc")  # noqa: PTH208 - no object for each name
    except OSError:
        return found
    for name in names:
        if name.isdigit() and (stat := read_stat(int(name))):
            found[int(name)] = stat.parent
    return found


def members_of(
    roots: Mapping[str, Sequence[int]], parents: Mapping[int, int]
) -> dict[str, list[int]]:
    """The processes of each group: its roots and what descends from them, roots of others apart.

    So a process belongs to the nearest root above it, and to no second group: the lab has started
    all the others, and is not them.
    """
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    taken = {pid for pids in roots.values() for pid in pids}
    found: dict[str, list[int]] = {}
    for group, pids in roots.items():
        members = list(dict.fromkeys(pids))
        for pid in members:
            fresh = [child for child in children.get(pid, ()) if child not in taken]
            taken.update(fresh)
            members.extend(fresh)
        found[group] = members
    return found


def _fields(content: bytes) -> dict[bytes, bytes]:
    pairs = (line.partition(b":") for line in content.splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _read(pid: int, name: str) -> bytes:
    """One file of a process; empty where it is gone or nobody's business of ours."""
    try:
        descriptor = os.open(f"/proc/{pid}/{name}", os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(descriptor, _READ_BYTES)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
