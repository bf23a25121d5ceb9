"""Structured logs: one JSON object a line, on stderr, secrets never in them; quiet in an outage."""

from __future__ import annotations

import logging
import re
import sys
from time import monotonic
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict

from task_platform.scrub import scrub

log = structlog.get_logger()

REPEAT_AFTER_S = 30.0
# The Postgres driver quotes the value that it cannot encode.
_QUOTED_ARGUMENT = re.compile(r"(invalid input for query argument \$\d+).*", re.DOTALL)


class Outage:
    """Trouble that many may meet and each meets again at every retry, told in a few lines.

    The first complaint is logged at once, later ones together every 30 s, and when nobody is in
    trouble any more one line says how long it lasted. Trouble that comes and goes is no reason to
    say more than that.
    """

    def __init__(self, event: str) -> None:
        self._event = event
        self._in_trouble: set[str] = set()
        self._complaints = 0
        self._since = 0.0
        self._quiet_until = 0.0
        self._is_told = False

    @property
    def is_on(self) -> bool:
        """Whether anybody is in trouble."""
        return bool(self._in_trouble)

    def complain(self, error: BaseException | str, *, by: str) -> None:
        """Note that `by` (a fixed word for the part of the process) is in trouble."""
        now = monotonic()
        if not self._in_trouble:
            self._since, self._complaints, self._is_told = now, 0, False
        self._in_trouble.add(by)
        self._complaints += 1
        if now >= self._quiet_until:
            self._quiet_until = now + REPEAT_AFTER_S
            self._is_told = True
            log.warning(
                self._event,
                waiting=sorted(self._in_trouble),
                error=str(error)[:200] or type(error).__name__,
                complaints=self._complaints,
                for_s=round(now - self._since, 1),
            )

    def over(self, *, by: str | None = None) -> None:
        """Note that `by` (or everybody) is out of trouble, if it was in any."""
        if not self._in_trouble or (by is not None and by not in self._in_trouble):
            return
        self._in_trouble -= self._in_trouble if by is None else {by}
        if not self._in_trouble and self._is_told:
            log.info(
                f"over: {self._event}",
                lasted_s=round(monotonic() - self._since, 1),
                complaints=self._complaints,
            )


def _first_line(_: object, __: str, event: EventDict) -> EventDict:
    """What a library says, without the objects that it appends line by line."""
    event["event"] = scrub(str(event["event"]).partition("\n")[0])
    return event


def _without_values(_: object, __: str, event: EventDict) -> EventDict:
    """The messages of exceptions, without what they quote: rows, arguments, credentials."""
    _guard(event.get("exception"))
    return event


def _guard(chain: Any) -> None:
    for each in chain if isinstance(chain, list) else ():
        each["exc_value"] = _guarded(each["exc_value"])
        each["exc_notes"] = [_guarded(note) for note in each.get("exc_notes", ())]
        for inner in each.get("exceptions", ()):  # of a group, each a chain of its own
            _guard(inner)


def _guarded(message: str) -> str:
    # Postgres puts the row that it refuses into further lines.
    return scrub(_QUOTED_ARGUMENT.sub(r"\1", message.partition("\n")[0]))


def configure_logging(level: str, *, process: str) -> None:
    """Send everything, the libraries' own warnings included, through one JSON renderer."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Frames without their variables: those are payloads, results and URLs.
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
        _without_values,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_first_line, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    # A lost connection is reported by whoever supervises it; the drivers' own accounts of the same
    # event, with URLs and tracebacks and at every retry, would only bury that line.
    for driver in ("aiormq", "asyncpg"):
        logging.getLogger(driver).setLevel(logging.CRITICAL)
