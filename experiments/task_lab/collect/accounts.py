"""What processes have used, and what a part of the stack inherits from others when theirs end.

The kernel adds what a process has used to the account of the parent that waits for it. Inside a
part that is welcome: its sum goes on where a child ends. But the lab has started all other parts,
and a broker that is killed would pass for work of the lab's, done in the half second of one sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from task_lab.collect import proc


class Account(NamedTuple):
    """One process. transfer: None where the kernel does not tell."""

    stat: proc.Stat
    transfer: proc.Transfer | None


Accounts = Mapping[int, Account]


def accounts_of(pids: Sequence[int]) -> dict[int, Account]:
    """The accounts of those of the processes that are there, waited for or not."""
    stats = {pid: stat for pid in pids if (stat := proc.read_stat(pid))}
    return {pid: Account(stat, proc.read_transfer(pid)) for pid, stat in stats.items()}


@dataclass
class Legacy:
    """What a group's accounts hold of other groups' processes."""

    cpu_s: float = 0.0
    read_bytes: int = 0
    written_bytes: int = 0

    def add(self, account: Account) -> None:
        self.cpu_s += account.stat.cpu_s
        if account.transfer:
            self.read_bytes += account.transfer.read_bytes
            self.written_bytes += account.transfer.written_bytes


class Legacies:
    """The legacy of each group, by the last known accounts of what has ended."""

    def __init__(self) -> None:
        self._group_of: dict[int, str] = {}
        self._known: dict[int, Account] = {}
        self._found: dict[str, Legacy] = {}

    def note(self, groups: Mapping[str, Accounts]) -> None:
        """Take in a sample, right after it was read and with the heirs read last."""
        self._group_of |= {pid: group for group, accounts in groups.items() for pid in accounts}
        seen = {pid: account for accounts in groups.values() for pid, account in accounts.items()}
        self._known |= seen
        gone = {
            pid
            for pid in self._known
            if (pid not in seen or self._is_of_others(pid)) and not proc.read_stat(pid)
        }
        for pid in gone:
            heir = self._group_of.get(self._first_living_ancestor(pid, gone))
            if heir and heir != self._group_of[pid]:
                self._found.setdefault(heir, Legacy()).add(self._known[pid])
        for pid in gone:
            del self._known[pid], self._group_of[pid]

    def of(self, group: str) -> Legacy:
        """Nothing for a group that has inherited nothing."""
        return self._found.get(group, Legacy())

    def _is_of_others(self, pid: int) -> bool:
        """Whether its parent belongs to another group."""
        parent_group = self._group_of.get(self._known[pid].stat.parent)
        return parent_group is not None and parent_group != self._group_of[pid]

    def _first_living_ancestor(self, pid: int, gone: set[int]) -> int:
        """Whole families end between two samples: servers with the shells that started them."""
        parent = self._known[pid].stat.parent
        while parent in gone:
            parent = self._known[parent].stat.parent
        return parent
