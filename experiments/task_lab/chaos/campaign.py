"""Many trials, one after the other, each finished one a line of `campaign.jsonl`: run it again to
go on where it stopped.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from task_lab.chaos.load import mixed_load
from task_lab.chaos.platform import ChaosPlatform, chaos_platform
from task_lab.chaos.trial import TrialResult, keep_evidence, run_trial, trial_document
from task_lab.check.verdict import Verdict, combine
from task_lab.faults.plan import Schedule, schedule
from task_lab.store import RunFolder, read_lines, write_atomically

# A stack that has seen so many schedules gives way to a fresh one.
FRESH_EVERY = 20

Say = Callable[[str], None]


class Campaign:
    """The trials of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lines = folder / "campaign.jsonl"

    def finished(self) -> list[dict[str, Any]]:
        """One line for each finished trial, in order."""
        return list(read_lines(self._lines))

    def remaining(self, seeds: Sequence[int]) -> list[int]:
        """Those seeds that have no line yet."""
        done = {line["seed"] for line in self.finished()}
        return [seed for seed in seeds if seed not in done]

    def add(self, line: Mapping[str, Any]) -> None:
        """Note a finished trial; a line that a kill cut before it is dropped."""
        text = "".join(json.dumps(one) + "\n" for one in [*self.finished(), line])
        write_atomically(self._lines, text)

    def trial_folder(self, seed: int) -> RunFolder:
        """An empty folder for this trial; what an interrupted one left is deleted."""
        path = self.folder / "trials" / str(seed)
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return RunFolder(path)


def run_campaign(folder: Path, seeds: Sequence[int], say: Say) -> Verdict:
    """Run the trials that are not finished; returns the verdict on all of these seeds.

    say: gets one line for each trial and the summary. Interrupting loses the running trial only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    campaign = Campaign(folder)
    remaining = campaign.remaining(seeds)
    if done := len(seeds) - len(remaining):
        say(f"{done} of {len(seeds)} schedules are finished already in {folder}")
    with _Stacks() as stacks:
        for number, seed in enumerate(remaining, done + 1):
            line = _run_one(stacks, campaign, schedule(seed))
            campaign.add(line)
            say(f"{number}/{len(seeds)} {_told(line)}")
            if line["verdict"] != Verdict.PASS:
                say(f"  again: task-lab chaos --only {seed}; see {folder / 'trials' / str(seed)}")
    lines = [line for line in campaign.finished() if line["seed"] in set(seeds)]
    verdict = combine(Verdict(line["verdict"]) for line in lines)
    summary = summarise(lines, verdict)
    write_atomically(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    for text in told_summary(summary):
        say(text)
    return verdict


def _run_one(stacks: _Stacks, campaign: Campaign, plan: Schedule) -> dict[str, Any]:
    """A trial's line. A lab that fails is UNKNOWN: nothing was proven either way.

    Raises RuntimeUnavailable where no platform comes up: no further trial would do better.
    """
    folder = campaign.trial_folder(plan.seed)
    platform = stacks.current()
    try:
        result: TrialResult = asyncio.run(run_trial(platform, plan, mixed_load(plan.seed), folder))
    except Exception as error:
        keep_evidence(platform, folder)
        (folder / "error.txt").write_text(traceback.format_exc(), "utf-8")
        stacks.close()
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        return {"seed": plan.seed, "verdict": Verdict.UNKNOWN.value, "reason": reason}
    if result.verdict is not Verdict.PASS:
        stacks.close()
    return trial_document(result)


class _Stacks:
    """The running platform, and how many trials it has seen."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._platform: ChaosPlatform | None = None
        self._used = 0

    def current(self) -> ChaosPlatform:
        """A platform for one more trial: the running one, or a fresh one if that is worn out."""
        if self._used == FRESH_EVERY:
            self.close()
        if self._platform is None:
            self._platform = self._open.enter_context(_platform_in_scratch())
        self._used += 1
        return self._platform

    def close(self) -> None:
        """Stop the running platform, if there is one."""
        self._platform, self._used = None, 0
        self._open.close()

    def __enter__(self) -> _Stacks:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _platform_in_scratch() -> Iterator[ChaosPlatform]:
    with tempfile.TemporaryDirectory() as scratch, chaos_platform(Path(scratch)) as platform:
        yield platform


def summarise(lines: Sequence[Mapping[str, Any]], verdict: Verdict) -> dict[str, Any]:
    """Sums over all trials, and which seeds did not pass."""
    counts: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for line in lines:
        counts.update(line.get("counts", {}))
        faults.update(line.get("faults", {}))
    return {
        "verdict": verdict.value,
        "schedules": len(lines),
        "verdicts": dict(Counter(line["verdict"] for line in lines)),
        "not_passed": [line["seed"] for line in lines if line["verdict"] != Verdict.PASS],
        "faults": dict(sorted(faults.items())),
        "faults_bit": sum(line.get("faults_bit", 0) for line in lines),
        "counts": dict(counts),
        "settled_s": _spread([line["settled_s"] for line in lines if "settled_s" in line]),
        "took_s": round(sum(line.get("took_s", 0.0) for line in lines)),
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    """Median and largest; empty of nothing."""
    return {"median": round(median(values), 1), "largest": max(values)} if values else {}


def told_summary(summary: Mapping[str, Any]) -> list[str]:
    """The summary for people."""
    faults, counts, settled = summary["faults"], summary["counts"], summary["settled_s"]
    told = [
        f"{summary['schedules']} schedules in {summary['took_s']} s: "
        + ", ".join(f"{count} {verdict}" for verdict, count in summary["verdicts"].items()),
        f"faults: {sum(faults.values())}, of which {summary['faults_bit']} bit: "
        + ", ".join(f"{count} {kind}" for kind, count in faults.items()),
        ", ".join(f"{count} {name}" for name, count in counts.items()),
    ]
    if settled:
        told.append(f"at rest after {settled['median']} s (median), {settled['largest']} s at most")
    if summary["not_passed"]:
        told.append("did not pass: " + ", ".join(map(str, summary["not_passed"])))
    return [*told, summary["verdict"]]


def _told(line: Mapping[str, Any]) -> str:
    told = f"seed {line['seed']} {line['verdict']}"
    if "reason" in line:
        return f"{told}: {line['reason']}"
    counts = line["counts"]
    faults = " + ".join(kind for kind, count in line["faults"].items() for _ in range(count))
    failed = f" [{', '.join(line['failed'])}]" if line["failed"] else ""
    return (
        f"{told}{failed} {line['took_s']} s ({line['settled_s']} s to settle), {faults}:"
        f" {counts['tasks']} tasks, {counts['unknown']} unknown,"
        f" {counts['claims_lost']} claims lost"
    )
