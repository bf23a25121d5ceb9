"""Runs an experiment again as a stored run had it: the same parameters, seed and runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from task_lab.check.verdict import Verdict
from task_lab.comparable import different_parameters, flat
from task_lab.errors import UsageError
from task_lab.spec import load_definition, resolve
from task_lab.store import DEFINITION, RunFolder

# Its values stand in what was resolved, whether or not a caller had asked for them.
_PINNED = ("seed", "runtime")


@dataclass(frozen=True)
class Again:
    """What to run: the name or path of a definition, and the parameters to ask for."""

    definition: str
    asked: Mapping[str, Any]
    runtime: str


def again(folder: RunFolder, *, different: bool = False) -> Again:
    """How to run that experiment once more. Raises UsageError where it would not be the same.

    different: the caller takes parameters that are not the same, the definition having changed.
    """
    run = folder.run()
    experiment, params = run["experiment"], run["params"]
    if experiment == "bench":
        raise UsageError(f"a bench is repeated by `{_bench_command(params['resolved'])}`")
    asked = dict(params.get("asked") or {})
    asked |= {name: params["resolved"][name] for name in _PINNED if name in params["resolved"]}
    definition = _definition_of(folder, experiment)
    spec = resolve(load_definition(definition), asked)
    changed = different_parameters(flat(params["resolved"]), flat(spec.model_dump(mode="json")))
    if changed and not different:
        raise UsageError(
            f"the definition of {experiment} has changed since: {'; '.join(map(str, changed))}; "
            f"check out {run['git'].get('sha') or 'the commit of then'} to repeat it, "
            "or take them with --allow-different"
        )
    return Again(definition, asked, spec.runtime)


def changes_since(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is not as it was, in words: commit, machine. Both are run.json's."""
    found = []
    for name, key in (("commit", "sha"), ("uncommitted changes", "dirty")):
        before, after = then["git"].get(key), now["git"].get(key)
        if before != after:
            found.append(f"{name}: {_word(before)} → {_word(after)}")
    before, after = (one["machine"].get("fingerprint") for one in (then, now))
    if before != after:
        found.append(f"machine: {before} → {after}")
    return found


def _definition_of(folder: RunFolder, experiment: str) -> str:
    """The experiment's name; the run's own copy of its definition where nobody knows the name."""
    try:
        load_definition(experiment)
    except UsageError:
        copy = folder / DEFINITION
        if not copy.is_file():
            raise
        return str(copy)
    return experiment


def _bench_command(resolved: Mapping[str, Any]) -> str:
    options = [f"--cycles {resolved['cycles']}", f"--scale {resolved['scale']:g}"]
    only = ["--only " + ",".join(resolved["groups"])] if resolved.get("left_out") else []
    return " ".join(["task-lab bench", *only, *options])


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "unknown" if value is None else str(value)[:7]


def new_run_of(plan: Again, results: Path) -> RunFolder:
    """A folder for the new run, once the machine has what it needs. Raises RuntimeUnavailable."""
    from task_lab.doctor import require_fit  # noqa: PLC0415
    from task_lab.run import new_run  # noqa: PLC0415
    from task_lab.runtime.selection import resolve_runtime  # noqa: PLC0415

    if resolve_runtime(plan.runtime) == "native":
        require_fit()
    return new_run(plan.definition, dict(plan.asked), results=results)


def run_again(plan: Again, folder: RunFolder, *, quiet: bool = False) -> Verdict:
    """Run it and return its verdict. Raises what ended the run early."""
    from task_lab.execute import execute_run  # noqa: PLC0415
    from task_lab.live.watcher import watching  # noqa: PLC0415

    with watching(folder, quiet=quiet):
        return execute_run(folder, plan.asked)
