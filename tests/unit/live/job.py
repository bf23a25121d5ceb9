"""Becomes the foreground job of the terminal on standard input, then the program it is given."""

from __future__ import annotations

import fcntl
import os
import sys
import termios

fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-P", *sys.argv[1:]])
