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
# Where each server that has a volume keeps its data.
DATA = {
    "postgres": "/var/lib/postgresql/data",
    "rabbitmq": "/var/lib/rabbitmq",
    "redis": "/data",
    "prometheus": "/prometheus",
    "grafana": "/var/lib/grafana",
    "alertmanager": "/alertmanager",
}


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
    scrape_s = default_s(service["environment"]["TASK_PLATFORM_FINAL_SCRAPE_WAIT_S"])
    grace_s = default_s(service["stop_grace_period"])
    # And as long again as a lease is renewed, for a commit that hangs.
    assert grace_s > defaults["drain_grace_s"] + scrape_s + defaults["database_timeout_s"]


@pytest.mark.parametrize(("name", "folder"), DATA.items())
def test_what_a_server_keeps_outlives_its_container(name: str, folder: str) -> None:
    assert f"{name}:{folder}" in SERVICES[name]["volumes"]


def test_every_volume_is_a_plain_one_of_the_project() -> None:
    assert STACK["volumes"] == {name: {} for name in DATA}


def test_the_broker_has_a_name_that_its_data_can_be_found_by() -> None:
    assert SERVICES["rabbitmq"]["hostname"] == "rabbitmq"


@pytest.mark.parametrize("name", SERVICES)
def test_whatever_ends_is_started_again_but_for_the_migration(name: str) -> None:
    assert SERVICES[name]["restart"] == ("no" if name == "migrate" else "unless-stopped")


@pytest.mark.parametrize("name", ["api", "worker", "relay"])
def test_a_process_waits_for_its_servers_and_their_schema(name: str) -> None:
    waits_for = {on: how["condition"] for on, how in SERVICES[name]["depends_on"].items()}
    assert waits_for == {
        "migrate": "service_completed_successfully",
        "postgres": "service_healthy",
        "rabbitmq": "service_healthy",
    }


def test_the_migration_waits_for_the_database() -> None:
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        # Parameters of statements are payloads.
        ("postgres", "-clog_parameter_max_length", "0"),
        ("postgres", "-clog_parameter_max_length_on_error", "0"),
        ("prometheus", "--scrape.discovery-reload-interval", "1s"),
        ("prometheus", "--storage.tsdb.path", DATA["prometheus"]),
        # The objectives are over 30 days.
        ("prometheus", "--storage.tsdb.retention.time", "31d"),
        ("alertmanager", "--storage.path", DATA["alertmanager"]),
    ],
)
def test_a_server_runs_with_the_options_that_promises_rest_on(
    name: str, option: str, value: str
) -> None:
    pairs = (part.partition("=") for part in SERVICES[name]["command"])
    assert [given for key, _, given in pairs if key == option] == [value]


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
    # The platform's own image is built by `migrate`, of whatever Python.
    assert override.keys() == SERVICES.keys() - {"api", "worker", "relay"}
    assert override.pop("migrate").keys() == {"build"}
    assert override.pop("grafana") is None
    for service in override.values():
        assert service.keys() == {"image", "pull_policy"}
        assert service["image"].startswith("localhost/")


def default_s(text: str) -> float:
    """Seconds that stand in `${VARIABLE:-30s}`."""
    return float(text.partition(":-")[2].rstrip("}").removesuffix("s"))


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for one in value.values() for text in _texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [value] if isinstance(value, str) else []
