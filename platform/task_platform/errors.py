"""What can go wrong, by whose fault it is. Errors carry data, not only text."""

from __future__ import annotations

from datetime import datetime


class TaskPlatformError(Exception):
    """Root of everything this package raises on purpose."""


class ClientError(TaskPlatformError):
    """The caller's fault: answered with a 4xx problem, never retried by us.

    kind: stable last part of the problem's `type`.
    """

    status = 400
    kind = "bad-request"

    def __init__(self, detail: str, *, pointer: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer


class InvalidInput(ClientError):
    """The request can be read, but breaks a rule. `pointer` is the JSON pointer of the place."""

    status = 422
    kind = "invalid-input"


class MalformedJson(ClientError):
    """The body is not JSON at all."""

    kind = "malformed-json"


class BodyTooLarge(ClientError):
    """The body exceeds the published limit."""

    status = 413
    kind = "body-too-large"


class UnsupportedMediaType(ClientError):
    """The body is not declared as JSON."""

    status = 415
    kind = "unsupported-media-type"


class NotFound(ClientError):
    """No such task for this tenant."""

    status = 404
    kind = "task-not-found"


class KeyHeld(ClientError):
    """An idempotency key forbids the submission until it expires."""

    def __init__(self, detail: str, *, key_expires_at: datetime) -> None:
        super().__init__(detail)
        self.key_expires_at = key_expires_at


class KeyReused(KeyHeld):
    """The idempotency key was used before with another request."""

    status = 422
    kind = "idempotency-key-reused"


class TaskPruned(KeyHeld):
    """The submission was accepted before, and its task has been removed since."""

    status = 410
    kind = "task-pruned"


class IncompleteRequest(ClientError):
    """The client went away before the end of its body."""

    kind = "incomplete-request"


class TransientError(TaskPlatformError):
    """Nobody's fault for long: trying again later is right."""


class DatabaseUnavailable(TransientError):
    """Postgres cannot be reached, refuses, or did not answer in time."""


class DatabaseFull(DatabaseUnavailable):
    """Postgres has no connection left for us; those that we hold are as good as before."""


class BrokerUnavailable(TransientError):
    """RabbitMQ cannot be reached, closed the channel, or did not confirm in time."""


class Overloaded(TransientError):
    """A bounded backlog is full."""


class BadData(TaskPlatformError):
    """Postgres refuses a value; the batch has to be cut until the culprit stands alone."""


class ConfigurationError(TaskPlatformError):
    """The process was started with something it cannot work with."""


class NonRetryable(TaskPlatformError):
    """Raised by a handler: trying this task again cannot help."""


class InvalidResult(NonRetryable):
    """A handler returned something that is not JSON."""


class RetryAfter(TaskPlatformError):
    """Raised by a handler: try again after so many seconds, rather than after the back-off."""

    def __init__(self, seconds: float, message: str = "") -> None:
        super().__init__(message or "asked to be tried again later")
        self.seconds = seconds


class LeaseLost(TaskPlatformError):
    """This execution does not own its task any more: whatever it does now does not count."""


class UnknownTaskType(TaskPlatformError):
    """No handler of this name is registered with this worker (yet)."""


class WorkerLost(TaskPlatformError):
    """The attempts of a task were used up by workers that died with it."""


class TaskTimeout(TaskPlatformError):
    """A handler did not end within its time limit."""
