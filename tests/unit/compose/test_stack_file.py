"""docker-compose.yml itself: what must hold of every service, whatever is added later."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from task_lab.store import PROJECT
from task_platform.settings import Settings

STACK = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
PROCESSES = ("api", "worker", "relay", "migrate")


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_is_open_to_the_network_or_without_limits(name: str) -> None:
    service = SERVICES[name]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert "container_name" not in service
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    tag = SERVICES[name]["image"].rpartition(":")[2]
    assert tag == "dev" if name in PROCESSES else tag[:1].isdigit() or tag[1:2].isdigit()


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_of_ours_can_change_nothing_in_its_container(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["init"]
    assert service["cap_drop"] == ["ALL"]
    assert isinstance(service["command"], list)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_is_given_longer_than_its_drain_takes(name: str) -> None:
    service = SERVICES[name]
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    scrape_s = float(
        service["environment"]["TASK_PLATFORM_FINAL_SCRAPE_WAIT_S"].split(":-")[1][:-1]
    )
    grace_s = float(service["stop_grace_period"].removesuffix("s"))
    # And as long again as a lease is renewed, for a commit that hangs.
    assert grace_s > defaults["drain_grace_s"] + scrape_s + defaults["database_timeout_s"]


def test_what_is_scaled_has_no_fixed_port() -> None:
    assert "ports" not in SERVICES["worker"]


def test_every_password_comes_from_the_environment_and_has_no_default() -> None:
    texts = [text for service in SERVICES.values() for text in _texts(service)]
    mentioned = [text for text in texts if "PASSWORD" in text and "${" in text]
    assert len(mentioned) >= 8
    for text in mentioned:
        assert "_PASSWORD:?" in text
        assert ":-" not in text.partition("_PASSWORD")[2]


def test_the_debian_stack_replaces_every_image_and_nothing_else() -> None:
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!reset", lambda *_: None)
    text = (PROJECT / "docker-compose.debian.yml").read_text()
    override = yaml.load(text, Loader)["services"]
    assert override.keys() == SERVICES.keys()
    for service in override.values():
        if service is not None:
            assert service["image"].startswith("task-platform-debian")
            assert service.keys() <= {"image", "build"}


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for one in value.values() for text in _texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [value] if isinstance(value, str) else []
