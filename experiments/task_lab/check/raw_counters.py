"""Raw samples of the workers' counters: what each counted, also where it began again from zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from task_lab.store import RunFolder

# (unix seconds, value); no value: the process was not there to be asked.
Samples = Sequence[tuple[float, float | None]]
RawCounters = Mapping[str, Mapping[str, Samples]]

_COUNTERS = {"processed": "processed_raw", "failed": "failed_raw"}


def read_raw_counters(folder: RunFolder) -> RawCounters | None:
    """Counter (processed, failed) → instance → its samples; None where Prometheus had no answer."""
    found = {}
    for counter, name in _COUNTERS.items():
        try:
            document = folder.read_json(f"metrics/{name}.json")
        except FileNotFoundError:
            return None
        if "problem" in document:
            return None
        found[counter] = {
            one["labels"]["instance"]: [(at, value) for at, value in one["points"]]
            for one in document["series"]
        }
    return found


def gained(samples: Samples) -> float:
    """What was counted from the first sample to the last: a counter that fell began at zero."""
    values = [value for _, value in samples if value is not None]
    return sum(
        later - earlier if later >= earlier else later for earlier, later in pairwise(values)
    )


def last_seen_at(samples: Samples, until: float) -> float:
    """When the counter was last seen up to a moment; minus infinity where it never was."""
    return max((at for at, value in samples if value is not None and at <= until), default=-1e300)
