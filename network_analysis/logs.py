"""How log lines look: as plain text, or with LOG_FORMAT as structured events, one line each."""

from __future__ import annotations

import structlog

# What happens in a run, see kpis/events.py.
EVENTS = "kpis.events"


def configuration(log_format: str, level: str) -> dict:
    """The LOGGING setting for a LOG_FORMAT (``json``, ``text``, or empty) and a LOG_LEVEL.

    Lines go to standard error. A run's events are among them only with a format: without one the lines that the
    command itself prints say the same.
    """
    events = {"handlers": [] if log_format else ["nowhere"], "propagate": bool(log_format)}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
            "json": _structured(structlog.processors.JSONRenderer()),
            # Values as Python writes them: whatever is in one, it stays on its line.
            "text": _structured(
                structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "logger", "event"])
            ),
        },
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": log_format},
            "nowhere": {"class": "logging.NullHandler"},
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {EVENTS: events},
    }


def _structured(renderer) -> dict:
    return {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": [
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.ExtraAdder(),
            _without_request,
            structlog.processors.format_exc_info,
        ],
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    }


def _without_request(logger, method: str, event: dict) -> dict:
    # Django hands its handlers the request or the socket itself.
    return {name: value for name, value in event.items() if name not in ("request", "server_time")}
