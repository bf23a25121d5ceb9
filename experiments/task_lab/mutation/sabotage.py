"""What a sabotage is: a change to a copy of a run, and what must be said of the run after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from task_lab.check.verdict import Verdict
from task_lab.mutation.copies import Copy

FAIL, UNKNOWN, INVALID = Verdict.FAIL, Verdict.UNKNOWN, Verdict.INVALID
# What notices where no check does: the judgement of the whole run.
OBJECTIVES, OUTPUTS, ENDED = "objectives", "outputs", "ended"

THROUGHPUT, SATURATION = "throughput", "saturation"
RETRIES, FAULTS, SCALING = "retries_and_dlq", "faults", "scaling"
ALL = (THROUGHPUT, RETRIES, FAULTS, SATURATION, SCALING)
WITNESSED = (RETRIES, FAULTS)
UNDISTURBED = (THROUGHPUT, RETRIES, SATURATION, SCALING)


@dataclass(frozen=True)
class Sabotage:
    """One corruption. Its name and its story are those of the function that makes it.

    verdict: what must be said of the run. noticed_by: the check that must say so, or the class of
    the error, or one of OBJECTIVES, OUTPUTS, ENDED. kinds: the experiments it applies to.
    """

    change: Callable[[Copy], None]
    verdict: Verdict
    noticed_by: str
    kinds: tuple[str, ...] = ALL

    @property
    def name(self) -> str:
        """As tables have it: the function's name in words."""
        return self.change.__name__.replace("_", " ")

    @property
    def story(self) -> str:
        """What went wrong, in a sentence."""
        return (self.change.__doc__ or "").strip()
