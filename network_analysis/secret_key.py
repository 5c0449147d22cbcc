"""The check that a web process has a SECRET_KEY."""

from __future__ import annotations

import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

MISSING = (
    "SECRET_KEY must be set to serve the web: put SECRET_KEY=<50 random characters> into the environment or into .env "
    "beside manage.py, or in the working folder of an installed package; in a checkout, `make .env` makes one."
)

# The exit code at which gunicorn does not start another worker.
_CANNOT_BOOT = 3


def require_secret_key() -> None:
    """End the process with one line on standard error if a setting is wrong or SECRET_KEY is missing."""
    try:
        settings.DEBUG  # noqa: B018  reads the settings
    except ImproperlyConfigured as error:
        _stop(str(error))
    try:
        settings.SECRET_KEY  # noqa: B018  Django refuses an empty one when it is read
    except ImproperlyConfigured:
        _stop(MISSING)


def _stop(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.exit(_CANNOT_BOOT)
