"""The format of log lines: plain text, or with LOG_FORMAT structured events, one per line."""

from __future__ import annotations

import logging
import sys
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

# The logger of a run's events, see kpis/ingest/events.py.
EVENTS = "kpis.ingest.events"

# The id of the current run, which is added to log lines.
RUN: ContextVar[int | None] = ContextVar("run", default=None)

# Silenced loggers: their lines hold signatures and tokens of requests, or add nothing but a line for each file.
QUIET = ("boto3", "botocore", "s3transfer", "urllib3", "watchfiles")

# Loggers of which one line a minute is enough: while Redis is away, its client logs a traceback every second.
REPEATING = ("channels_redis.pubsub",)

PLAIN = {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}


def configuration(log_format: str, level: str) -> dict[str, Any]:
    """Return the LOGGING setting for a LOG_FORMAT (``json``, ``text``, or empty) and a LOG_LEVEL.

    Lines go to standard error. A run's events are logged only with a format: without one, the command prints the same.
    """
    events = {"handlers": [] if log_format else ["nowhere"], "propagate": bool(log_format)}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": _structured(log_format) if log_format else PLAIN},
        "filters": {"one a minute": {"()": "network_analysis.logs.OneAMinute"}},
        "handlers": {
            "stderr": {"class": "network_analysis.logs.StandardError", "formatter": "lines"},
            "nowhere": {"class": "logging.NullHandler"},
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {EVENTS: events}
        | {name: {"level": "WARNING"} for name in QUIET}
        | {name: {"filters": ["one a minute"]} for name in REPEATING},
    }


class StandardError(logging.StreamHandler):
    """A handler for standard error that drops lines that cannot be written: there is nowhere to report them."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class OneAMinute(logging.Filter):
    """A filter that passes one line a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._due = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True if a line is to be logged."""
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + 60
        return True


def _structured(log_format: str) -> dict[str, Any]:
    # The import is slow, and most runs log nothing.
    import structlog

    renderer: Processor
    if log_format == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        # As Python literals, so that each value stays on its line.
        renderer = structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "logger", "event"])
    return {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": [
            _with_run,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.ExtraAdder(),
            _without_request,
            structlog.processors.format_exc_info,
        ],
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    }


def _with_run(logger: object, method: str, event: EventDict) -> EventDict:
    run = RUN.get()
    return event if run is None else {**event, "run": run}


def _without_request(logger: object, method: str, event: EventDict) -> EventDict:
    # Django passes its handlers the request or the socket itself.
    return {name: value for name, value in event.items() if name not in ("request", "server_time")}
