"""Cursors: texts that encode a row's key, so that the next page starts after it."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db import models

from kpis.catalog.intervals import EPOCH
from kpis.models.fields import column
from kpis.query.fields import whole_number_range

_MICROSECOND = timedelta(microseconds=1)


class BadCursor(ValueError):
    """A text that is not a cursor of any page."""


def encode_cursor(values: Sequence) -> str:
    """Return the cursor of a row with these key values: whole numbers and datetimes in UTC, with a zone or without."""
    numbers = [
        (value.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND if isinstance(value, datetime) else value
        for value in values
    ]
    body = json.dumps(numbers, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(zlib.crc32(body).to_bytes(4) + body).decode().rstrip("=")


def decode_cursor(text: str, fields: list[models.Field]) -> list:
    """Return the key values, one for each field, that ``encode_cursor`` was given; raises BadCursor."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        check, body = raw[:4], raw[4:]
        if zlib.crc32(body).to_bytes(4) != check:
            raise BadCursor
        numbers = json.loads(body)
        if not isinstance(numbers, list) or [type(number) for number in numbers] != [int] * len(fields):
            raise BadCursor
        return [_key_value(number, field) for number, field in zip(numbers, fields, strict=True)]
    except (binascii.Error, ValueError, OverflowError, RecursionError):
        raise BadCursor from None


def cursor_position(text: str, model: type[models.Model], keyset: Sequence[str]) -> list:
    """Return the key values of a list's cursor; raises BadCursor."""
    return decode_cursor(text, [column(model, name.lstrip("-")) for name in keyset])


def _key_value(number: int, field: models.Field) -> int | datetime:
    if isinstance(field, models.DateTimeField):
        return EPOCH + number * _MICROSECOND
    least, greatest = whole_number_range(field)
    if not least <= number <= greatest:
        raise BadCursor
    return number
