"""The files of this part, and the tools that judge them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "platform" / "observability"
CONFIG = FOLDER / "prometheus.yml"
RULE_FILES = sorted((FOLDER / "rules").glob("*.yml"))
RUNBOOK = ROOT / "docs" / "how-to" / "alerts.md"


def promtool(*arguments: str | Path) -> str:
    """Run promtool; its output. Fails the test when promtool objects.

    Where it is missing, the test is skipped, but in CI it fails.
    """
    program = shutil.which("promtool")
    if program is None:
        message = "promtool is missing: make setup, or your package of Prometheus"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    done = subprocess.run(
        [program, *map(str, arguments)],
        # It lives for seconds: its memory need not be kept small.
        env={**os.environ, "GOGC": "800"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def config() -> dict[str, Any]:
    """Prometheus' configuration."""
    loaded: dict[str, Any] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    return loaded


def rules() -> list[dict[str, Any]]:
    """Every rule of every file."""
    loaded = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in RULE_FILES]
    return [rule for file in loaded for group in file["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """Every rule that is an alert."""
    return [rule for rule in rules() if "alert" in rule]
