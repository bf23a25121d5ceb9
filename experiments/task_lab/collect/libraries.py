"""Versions of the Python libraries that take part, by what the project itself requires."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "task-platform"
# The platform requires what stands under no extra, the lab the rest.
EXTRAS = ("", "lab", "bench")


def library_versions() -> dict[str, str]:
    """Python, the platform, and every installed distribution that it or the lab needs, directly or
    not, by name."""
    found = _closure(PROJECT, EXTRAS)
    platform = found.pop(PROJECT)
    return {
        "python": sys.version.split()[0],
        "task_platform": platform,
        **dict(sorted(found.items())),
    }


def _closure(name: str, extras: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    seen = {(name, extra) for extra in extras}
    pending = list(seen)
    while pending:
        needed, extra = pending.pop()
        try:
            distribution = metadata.distribution(needed)
        except metadata.PackageNotFoundError:
            continue
        found[needed] = distribution.version
        fresh = [one for one in _needs(distribution, extra) if one not in seen]
        seen.update(fresh)
        pending.extend(fresh)
    return found


def _needs(distribution: metadata.Distribution, extra: str) -> Iterator[tuple[str, str]]:
    """(name, extra) of what a distribution requires here for one of its extras."""
    for line in distribution.requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            name = str(canonicalize_name(requirement.name))
            yield from ((name, wanted) for wanted in ("", *requirement.extras))
