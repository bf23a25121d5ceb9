"""Every sabotage that is made on disk, by what it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from task_lab.mutation.client import CLIENT
from task_lab.mutation.counters import COUNTERS
from task_lab.mutation.files import FILES
from task_lab.mutation.ledger import LEDGER
from task_lab.mutation.letters import LETTERS
from task_lab.mutation.lives import LIVES
from task_lab.mutation.sabotage import Sabotage
from task_lab.mutation.story import STORY

SABOTAGES: Mapping[str, Sequence[Sabotage]] = MappingProxyType(
    {
        "ledger": LEDGER,
        "dead letters": LETTERS,
        "client": CLIENT,
        "story": STORY,
        "counters": COUNTERS,
        "lives": LIVES,
        "files and objectives": FILES,
    }
)


def sabotages_of(kind: str) -> list[Sabotage]:
    """Those that a kind of experiment has to notice."""
    return [one for group in SABOTAGES.values() for one in group if kind in one.kinds]
