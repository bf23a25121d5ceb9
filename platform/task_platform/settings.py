"""Settings: read from `TASK_PLATFORM_*` variables, checked at start, frozen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from task_platform.domain.retry import RetryPolicy
from task_platform.errors import ConfigurationError

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Wait = Annotated[float, Field(ge=0, le=86_400)]

PREFIX = "TASK_PLATFORM_"
_SCHEMES = {"database_url": ("postgresql", "postgres"), "amqp_url": ("amqp", "amqps")}


class Settings(BaseSettings):
    """One process's settings. A bad value stops the process with a message naming the variable."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    database_url: SecretStr = Field(
        SecretStr("postgresql://task_platform@127.0.0.1:5432/task_platform"),
        description="Postgres, as a libpq URL.",
    )
    database_pool_size: int = Field(6, ge=2, le=100, description="Connections of one process.")
    database_timeout_s: Seconds = Field(10.0, description="Longest a statement may take.")
    amqp_url: SecretStr = Field(
        SecretStr("amqp://guest:guest@127.0.0.1:5672/"), description="RabbitMQ, vhost included."
    )
    broker_driver: Literal["batched", "aiormq"] = Field(
        "batched",
        description="What publishes and takes: our batches, or a library at a third of the pace.",
    )
    broker_heartbeat_s: int = Field(
        4, ge=1, le=600, description="AMQP heartbeat; a dead link is noticed within three."
    )
    publish_timeout_s: Seconds = Field(5.0, description="Longest wait for a batch's confirms.")
    queue_type: Literal["quorum", "classic"] = Field(
        "quorum", description="Type of the `tasks` queue; must not change on a living queue."
    )

    api_host: str = Field("127.0.0.1", description="Address the API binds.")
    api_port: int = Field(8000, ge=0, le=65_535, description="Port of the API.")
    ops_host: str = Field("127.0.0.1", description="Address of health and metrics.")
    ops_port: int = Field(
        9101, ge=0, le=65_535, description="Port of health and metrics (worker, relay); 0: any."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info")

    strict_types: bool = Field(
        False, description="Refuse task types that the API has no handler for, with 422."
    )
    max_body_bytes: int = Field(1_000_000, ge=1_000, description="Largest request body.")
    max_batch_body_bytes: int = Field(16_000_000, ge=1_000, description="Largest body of a batch.")
    commit_concurrency: int = Field(2, ge=1, le=32, description="Group commits in flight.")
    commit_backlog: int = Field(20_000, ge=1, description="Submissions waiting before 503.")
    submit_timeout_s: Seconds = Field(10.0, description="Longest a submission waits; then 503.")
    idempotency_ttl_s: float = Field(
        86_400.0, gt=0, le=31_536_000, description="How long an idempotency key is remembered."
    )

    worker_concurrency: int = Field(10, ge=1, le=1_000, description="Handlers running at once.")
    handler_pool_size: int = Field(
        4, ge=1, le=100, description="Connections of one worker's handlers, opened when needed."
    )
    max_result_bytes: int = Field(
        1_000_000, ge=1_000, le=100_000_000, description="Largest result of a task."
    )
    handlers: str = Field("", description="Modules with handlers of your own, comma-separated.")
    builtin_types: bool = Field(
        True, description="Load the built-in task types; one of them ends its worker."
    )
    lease_s: Seconds = Field(10.0, description="A claim's time limit.")
    renew_s: Seconds = Field(3.0, description="How often a worker renews its leases.")
    retry_base_s: Seconds = Field(1.0, description="Delay scale of the first retry.")
    retry_cap_s: Seconds = Field(300.0, description="Longest delay between two attempts.")
    drain_grace_s: Wait = Field(
        10.0, description="How long running handlers may finish after SIGTERM."
    )
    final_scrape_wait_s: Wait = Field(
        5.0, description="How long a drained process waits to be scraped a last time."
    )

    outbox_grace_s: Seconds = Field(
        2.0, description="How long a committed batch is left to the API before the relay sends it."
    )
    relay_poll_s: Seconds = Field(0.1, description="How often the relay looks for due messages.")
    reaper_interval_s: Seconds = Field(1.0, description="How often lost leases are looked for.")
    reannounce_age_s: Seconds = Field(
        10.0, description="How long a due task may lie unannounced before it is announced again."
    )
    reannounce_every_s: Seconds = Field(
        30.0, description="Pause after a pass that announced something again."
    )
    dlq_check_s: Seconds = Field(
        2.0, description="How often the dead letter queue is compared with the list of the dead."
    )
    retention_s: float = Field(
        604_800.0,
        ge=0,
        le=315_360_000,
        description="How long a finished task is kept; 0: for ever.",
    )
    retention_every_s: Seconds = Field(
        60.0, description="Pause between two searches for what retention is to delete."
    )

    @field_validator("database_url", "amqp_url")
    @classmethod
    def _is_url(cls, url: SecretStr, info: ValidationInfo) -> SecretStr:
        schemes = _SCHEMES[info.field_name or ""]
        if not _leads_somewhere(url.get_secret_value(), schemes):
            raise ValueError(
                f"must look like {schemes[0]}://user:password@host:port/name, with the characters"
                " / ? # @ : of a password as %2F %3F %23 %40 %3A"
            )
        return url

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.renew_s * 2 > self.lease_s:
            raise ValueError("renew_s must be at most half of lease_s")
        if self.reaper_interval_s * 4 > self.lease_s:
            # A reaper that looks away for longer cannot know who still renews, and ends no lease.
            raise ValueError("reaper_interval_s must be at most a quarter of lease_s")
        if self.retry_base_s > self.retry_cap_s:
            raise ValueError("retry_base_s must not exceed retry_cap_s")
        if 0 < self.retention_s < self.idempotency_ttl_s:
            raise ValueError("retention_s must not be less than idempotency_ttl_s")
        return self

    @property
    def retry_policy(self) -> RetryPolicy:
        return RetryPolicy(base_s=self.retry_base_s, cap_s=self.retry_cap_s)

    def printable(self) -> dict[str, object]:
        """The settings for the log, secrets masked."""
        return self.model_dump(mode="json")


def _leads_somewhere(url: str, schemes: Sequence[str]) -> bool:
    """Whether this is a server's URL, and not one that an unescaped password cuts in two."""
    try:
        parts = urlsplit(url)
        # A Postgres may have several, of which one takes writes.
        servers = [urlsplit(f"//{one}") for one in parts.netloc.rpartition("@")[2].split(",")]
        is_port_real = all(one.port != 0 for one in servers)
    except ValueError:  # a port that is no number
        return False
    has_own = "host=" in parts.query
    has_server = has_own or all(one.hostname for one in servers)
    is_cut = bool(parts.fragment) or ("@" in url and "@" not in parts.netloc and not has_own)
    return parts.scheme in schemes and has_server and is_port_real and not is_cut


def load_settings() -> Settings:
    """Settings of this process. Raises ConfigurationError naming every bad variable."""
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{'TASK_PLATFORM_' + '_'.join(map(str, e['loc'])).upper() if e['loc'] else 'settings'}"
            f": {e['msg']}"
            for e in error.errors()
        )
        raise ConfigurationError(problems) from None


def unknown_variables(environment: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Names that look like settings and are none, each with the nearest known one.

    They are ignored, because a newer or older version may know them; a typing error should be
    noticed all the same.
    """
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            (nearest,) = get_close_matches(name.upper(), known, n=1, cutoff=0.0)
            yield name, nearest
