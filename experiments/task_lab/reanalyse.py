"""Makes what a run says anew from its raw data, and tells whether it came out the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from task_lab.check.evidence import RawFilesGone
from task_lab.check.verdict import Verdict
from task_lab.store import RunFolder

_FIGURES = "figures"
_MEASUREMENTS = "measurements.jsonl"


@dataclass(frozen=True)
class Reanalysed:
    """The verdict, and by name what of summary and figures is the same, different, or new."""

    verdict: Verdict
    same: Sequence[str]
    changed: Sequence[str]
    new: Sequence[str]

    def told(self) -> str:
        """What happened to the stored bytes, in a line."""
        parts = [f"{', '.join(self.changed)}: not the bytes that were stored"] * bool(self.changed)
        parts += [f"{', '.join(self.new)}: new"] * bool(self.new)
        if self.same:
            rest = "all of it" if not parts else "the rest"
            parts.append(f"summary and figures, {rest} ({len(self.same)} files): the same bytes")
        return "; ".join(parts)


def reanalyse(folder: RunFolder) -> Reanalysed:
    """Analyse a run again from its raw data, which stays as it is.

    Raises EvidenceMissing, and changes nothing, where the raw files are not all there.
    """
    is_bench = folder.run()["experiment"] == "bench"
    if is_bench:
        if not (folder / _MEASUREMENTS).is_file():
            raise RawFilesGone(folder, _MEASUREMENTS)
        from task_lab.bench.conclude import conclude as analyse  # noqa: PLC0415
    else:
        from task_lab.execute import analyse  # noqa: PLC0415
    before = _digests(folder.path)
    verdict = analyse(folder)
    after = _digests(folder.path)
    return Reanalysed(
        verdict,
        same=[name for name in after if after[name] == before.get(name)],
        changed=[name for name in after if name in before and after[name] != before[name]],
        new=[name for name in after if name not in before],
    )


def _digests(folder: Path) -> dict[str, str]:
    """Of what must be the same for the same raw data: the summary and every figure."""
    paths = [folder / "summary.json", folder / "summary.md", *sorted(folder.glob(f"{_FIGURES}/*"))]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.is_file()
    }
