"""The reference tells the truth: everything that exists is in it, and links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from task_lab.cli import app as lab_app
from task_platform.cli import app as platform_app
from task_platform.domain.retry import backoff_s
from task_platform.handlers import HandlerRegistry
from task_platform.metrics import (
    ApiMetrics,
    BrokerMetrics,
    RelayMetrics,
    ServiceMetrics,
    WorkerMetrics,
)
from task_platform.settings import Settings
from task_platform.tools import dlq

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def test_every_setting_is_documented_with_its_default() -> None:
    text = page("settings.md")
    for name, field in Settings.model_fields.items():
        default = getattr(field.default, "get_secret_value", lambda field=field: field.default)()
        assert f"| `TASK_PLATFORM_{name.upper()}` | `{default}` |" in text


def test_every_built_in_type_is_documented() -> None:
    text = page("built-in-types.md")
    documented = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert sorted(documented) == sorted(HandlerRegistry.load("").task_types)


def test_the_page_tells_how_long_retries_last() -> None:
    policy = Settings.model_construct().retry_policy
    text = (ROOT / "docs" / "how-to" / "write-a-handler.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (\d+)(?: \(default\))? \| ([\d.]+) to (\d+) (s|min) \|$", text, re.MULTILINE
    )
    assert len(rows) == 5
    for retries, least, most, unit in rows:
        numbers = range(1, int(retries) + 1)
        for told, uniform in ((least, 0.0), (most, 1.0)):
            seconds = sum(backoff_s(policy, number, uniform) for number in numbers)
            truth = seconds / {"s": 1, "min": 60}[unit]
            assert float(told) == pytest.approx(truth, abs=0.55)


def test_every_metric_is_documented() -> None:
    registry = CollectorRegistry()
    ServiceMetrics(registry, service="api")
    BrokerMetrics(registry)
    ApiMetrics(registry)
    WorkerMetrics(registry, ["sum"])
    RelayMetrics(registry)
    text = page("metrics.md")
    for family in registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert f"`{name}`" in text


@pytest.mark.parametrize(
    ("program", "commands"),
    [
        ("task-platform", platform_app.registered_commands),
        ("task-platform dlq", dlq.app.registered_commands),
        ("task-lab", lab_app.registered_commands),
    ],
)
def test_every_command_is_documented(program: str, commands: list[object]) -> None:
    text = page("command-lines.md")
    assert commands
    for command in commands:
        if getattr(command, "hidden", False):
            continue
        callback = getattr(command, "callback", None)
        name = getattr(command, "name", None) or getattr(callback, "__name__", "")
        assert re.search(rf"`({program} )?{name}\b", text), f"{program} {name}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_files_resolve(path: Path) -> None:
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / link).exists(), link
