"""Cleans up after a lab that could not do so itself: `python -m task_lab.runtime.keeper FOLDER`.

It waits for the lock that the lab holds while it lives; see `instance`.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from task_lab.runtime.instance import wait_for_owner_to_end

if __name__ == "__main__":
    # What ends the lab (a closed terminal, Ctrl-C) must not end the one who cleans up after it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    wait_for_owner_to_end(Path(sys.argv[1]))
