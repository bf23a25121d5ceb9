"""The Python that runs the lab, and natively the platform too: how it was built, how it is set."""

from __future__ import annotations

import gc
import os
import platform
import sys
import sysconfig
from typing import Any


def interpreter() -> dict[str, Any]:
    """Build and settings that change how fast Python is, or whether a run repeats exactly.

    hash_seed: of PYTHONHASHSEED; `random` where it is drawn anew by each process.
    """
    options = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    is_gil_enabled = getattr(sys, "_is_gil_enabled", lambda: True)
    return {
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "compiler": platform.python_compiler(),
        "build": " ".join(platform.python_build()),
        "compile_options": sysconfig.get_config_var("OPT"),
        "profile_guided": "--enable-optimizations" in options,
        "link_time_optimised": "--with-lto" in options,
        "is_debug_build": hasattr(sys, "gettotalrefcount"),
        "gil": bool(is_gil_enabled()),
        "bits": 64 if sys.maxsize > 2**32 else 32,
        "optimize": sys.flags.optimize,
        "dev_mode": sys.flags.dev_mode,
        "hash_seed": os.environ.get("PYTHONHASHSEED", "random"),
        "gc": {"enabled": gc.isenabled(), "threshold": list(gc.get_threshold())},
        "traced": sys.gettrace() is not None,
    }
