"""Settings: checked at start, every bad variable named, secrets never shown."""

from __future__ import annotations

import pytest
from task_platform.errors import ConfigurationError
from task_platform.settings import Settings, load_settings, unknown_variables


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"TASK_PLATFORM_{name.upper()}", raising=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_PORT", "eighty"),
        ("API_PORT", "70000"),
        ("API_PORT", ""),
        ("WORKER_CONCURRENCY", "0"),
        ("WORKER_CONCURRENCY", "1.5"),
        ("LEASE_S", "-1"),
        ("LEASE_S", "nan"),
        ("RETRY_CAP_S", "inf"),
        ("DRAIN_GRACE_S", "inf"),
        ("IDEMPOTENCY_TTL_S", "inf"),
        ("RETENTION_S", "-1"),
        ("RETENTION_S", "1e10"),
        ("QUEUE_TYPE", "stream"),
        ("LOG_LEVEL", "loud"),
        ("DATABASE_URL", "localhost:5432"),
        ("DATABASE_URL", "mysql://host/x"),
        ("AMQP_URL", "broker"),
        ("AMQP_URL", "http://broker:5672"),
    ],
)
def test_a_bad_value_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"TASK_PLATFORM_{name}", value)
    with pytest.raises(ConfigurationError, match=f"^TASK_PLATFORM_{name}: "):
        load_settings()


def test_every_bad_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = {"API_PORT": "x", "LEASE_S": "y", "QUEUE_TYPE": "z"}
    for name, value in bad.items():
        monkeypatch.setenv(f"TASK_PLATFORM_{name}", value)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert all(f"TASK_PLATFORM_{name}: " in str(refused.value) for name in bad)


@pytest.mark.parametrize(
    ("values", "about"),
    [
        ({"LEASE_S": "2", "RENEW_S": "1.5"}, "renew_s"),
        ({"LEASE_S": "3", "RENEW_S": "1"}, "reaper_interval_s"),
        ({"RETRY_BASE_S": "10", "RETRY_CAP_S": "5"}, "retry_base_s"),
        ({"RETENTION_S": "10", "IDEMPOTENCY_TTL_S": "11"}, "retention_s"),
    ],
)
def test_values_that_contradict_each_other_are_refused(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, str], about: str
) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"TASK_PLATFORM_{name}", value)
    with pytest.raises(ConfigurationError, match=about):
        load_settings()


def test_secrets_are_masked_in_print_and_in_complaints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASK_PLATFORM_DATABASE_URL", "postgresql://app:hunter2@db/tasks")
    monkeypatch.setenv("TASK_PLATFORM_AMQP_URL", "amqp://app:hunter2@broker/")
    settings = load_settings()
    assert settings.database_url.get_secret_value().startswith("postgresql://app:hunter2@")
    assert "hunter2" not in str(settings.printable()) + repr(settings) + str(settings)
    monkeypatch.setenv("TASK_PLATFORM_AMQP_URL", "app:hunter2@broker")
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("mark", ["/", "?", "#", ":/"])
@pytest.mark.parametrize("name", ["DATABASE_URL", "AMQP_URL"])
def test_a_password_that_is_not_escaped_is_refused_without_a_piece_of_it(
    monkeypatch: pytest.MonkeyPatch, name: str, mark: str
) -> None:
    scheme = "postgresql" if name == "DATABASE_URL" else "amqp"
    for first in ("12", "s3c"):
        monkeypatch.setenv(
            f"TASK_PLATFORM_{name}", f"{scheme}://app:{first}{mark}ret@host:5432/tasks"
        )
        with pytest.raises(ConfigurationError, match="%23") as refused:
            load_settings()
        assert not any(piece in str(refused.value) for piece in (first, "ret@"))


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().lease_s = 1  # type: ignore[misc]


def test_every_setting_has_its_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASK_PLATFORM_OUTBOX_GRACE_S", "7")
    monkeypatch.setenv("OUTBOX_GRACE_S", "9")
    assert load_settings().outbox_grace_s == 7


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///tasks?host=/var/run/postgresql",
        "postgresql:///tasks?host=/var/run/postgresql&user=app@corp",
        "postgresql://app:secret@one:5432,two:5433/tasks",
        "postgresql://app:secret@one,two/tasks?target_session_attrs=any",
        "postgresql://app:p%40ss@[::1]:5432/tasks",
    ],
)
def test_every_form_in_which_a_server_can_be_named_is_taken(url: str) -> None:
    assert Settings(database_url=url).database_url.get_secret_value() == url


def test_a_variable_that_is_no_setting_is_told_with_the_nearest_one() -> None:
    told = list(
        unknown_variables(
            {
                "TASK_PLATFORM_LEASES_S": "secret",
                "TASK_PLATFORM_LEASE_S": "2",
                "task_platform_renew_s": "1",
                "TASK_PLATFORM_AMQ_URL": "amqp://user:secret@host/",
                "PATH": "/bin",
            }
        )
    )
    assert told == [
        ("TASK_PLATFORM_AMQ_URL", "TASK_PLATFORM_AMQP_URL"),
        ("TASK_PLATFORM_LEASES_S", "TASK_PLATFORM_LEASE_S"),
    ]
