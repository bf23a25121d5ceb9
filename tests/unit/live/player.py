"""Plays a run for a viewer, without a stack: `player.py FOLDER` as the command that owns the run,
`player.py FOLDER writer` as the process that makes it, which heals and stops when interrupted.
"""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from task_lab.live.watcher import watching
from task_lab.store import RunFolder, utc_text

PHASE = {"phase": "sum-w1-load", "kind": "load", "workload": "sum", "workers": 1, "tasks": 9000}
PHASE |= {"duration_s": 60.0, "offered_per_s": 150.0}
FAULT = {"number": 1, "kind": "kill", "target": "worker-1"}


def write(folder: RunFolder) -> int:
    """A stack, a load, a fault that bites until somebody interrupts."""
    folder.append_event("plan", phases=[{**PHASE, "name": PHASE["phase"]}])
    folder.append_event("stack_up", api="http://127.0.0.1:1")
    folder.append_event("fault_planned", faults=[{**FAULT, "at_s": 0.2, "for_s": 50.0}])
    folder.append_event("phase_started", **PHASE)
    folder.append_event("fault_started", **FAULT)
    folder.append_event("fault_injected", **FAULT, bit=True)
    try:
        with (folder / "history.jsonl").open("w") as history:
            for index in itertools.count():
                line = {"phase": PHASE["phase"], "index": index, "outcome": "accepted"}
                history.write(json.dumps({**line, "answered_at": time.time()}) + "\n")
                history.flush()
                time.sleep(0.005)
    except KeyboardInterrupt:
        folder.append_event("heal_started", **FAULT)
        time.sleep(0.5)
        folder.append_event("fault_healed", **FAULT, heal="start it again")
        folder.update_run(ended="interrupted", ended_at=utc_text(), verdict="INTERRUPTED")
        folder.append_event("stopped", ended="interrupted")
    return 0


def own(folder: RunFolder, *options: str) -> int:
    """Show the run that another process makes; Ctrl-C is handed to it, and waited out."""
    writer = subprocess.Popen(
        [sys.executable, "-P", __file__, str(folder.path), "writer"], start_new_session=True
    )
    try:
        with watching(folder, as_json="--json" in options):
            try:
                return writer.wait()
            except KeyboardInterrupt:
                writer.send_signal(signal.SIGINT)
                writer.wait(timeout=20)
                raise
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    run = RunFolder(Path(sys.argv[1]))
    sys.exit(write(run) if "writer" in sys.argv[2:] else own(run, *sys.argv[2:]))
