"""A run as one file to send or to keep: the same run gives the same bytes, whenever and wherever.

Unpacked below a results folder it is a run of it again.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from task_lab.errors import UsageError
from task_lab.store import RunFolder, write_bytes_atomically

SUMS = "SHA256SUMS"
# What a report is read from; all else is raw history, which only an analysis needs.
SMALL = (
    "run.json",
    "summary.json",
    "summary.md",
    "checks.json",
    "load.json",
    "floor.json",
    "memory.json",
    "definition.toml",
    "report.html",
    "figures/",
    "flames/",
)
FORMATS = (".tar.gz", ".tgz", ".zip")
# The earliest time that a zip can hold.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def export_run(folder: RunFolder, to: Path | None = None, *, small: bool = False) -> Path:
    """Pack a run into `to` (`<id>.tar.gz` here, if none is given) and return that path.

    small: without raw history; what is left is what a committed report has. Raises UsageError for
    a format nobody knows, and for a file that is there already: nothing is overwritten.
    """
    run = folder.run()
    target = (to or Path(f"{folder.path.name}.tar.gz")).absolute()
    if not target.name.endswith(FORMATS):
        raise UsageError(f"{target.name} is none of {', '.join(FORMATS)}")
    if target.is_relative_to(folder.path.absolute()):
        raise UsageError(f"{target} lies in the run that is to be exported")
    if target.exists():
        raise UsageError(f"{target} is there already; nothing is overwritten")
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}")
    files = read_files(folder.path, small=small)
    files[SUMS] = sums(files)
    root = f"{run.get('experiment', 'run')}/{folder.path.name}"
    named = {f"{root}/{name}": files[name] for name in sorted(files)}
    write_bytes_atomically(target, _zip(named) if target.suffix == ".zip" else _tar(named))
    return target


def read_files(folder: Path, *, small: bool) -> dict[str, bytes]:
    """The content of a run's files by name. Drafts of a write that was cut, and links, are none."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not path.is_file() or name == SUMS:
            continue
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if not small or name in SMALL or name.startswith(tuple(s for s in SMALL if s[-1] == "/")):
            found[name] = path.read_bytes()
    return found


def sums(files: Mapping[str, bytes]) -> bytes:
    """What `sha256sum --check` reads: a line for each file."""
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    return "".join(lines).encode()


def _tar(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, content in files.items():
            entry = tarfile.TarInfo(name)  # time, owner and group are 0 and nobody
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _zip(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, date_time=_ZIP_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    return packed.getvalue()
