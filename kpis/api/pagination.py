"""Pages that follow the rows' own order, so that a page costs the same however far on it is."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.core.exceptions import ValidationError as InvalidValue
from django.db import models
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.response import Response

from kpis.api.filters import WholeNumberField, whole_number_range
from kpis.catalog.intervals import EPOCH

_MICROSECOND = timedelta(microseconds=1)


class BadCursor(ValueError):
    """A text that no page gave as its cursor."""


def encode_cursor(values: Sequence) -> str:
    """The cursor that stands behind a row with these key values: whole numbers and datetimes in UTC."""
    numbers = [
        (value.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND if isinstance(value, datetime) else value
        for value in values
    ]
    body = json.dumps(numbers, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(zlib.crc32(body).to_bytes(4) + body).decode().rstrip("=")


def decode_cursor(text: str, fields: list[models.Field]) -> list:
    """The key values, one for each field, that ``encode_cursor`` was given; raises BadCursor."""
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


def _key_value(number: int, field: models.Field):
    if isinstance(field, models.DateTimeField):
        return EPOCH + number * _MICROSECOND
    least, greatest = whole_number_range(field)
    if not least <= number <= greatest:
        raise BadCursor
    return number


class KeysetPagination(BasePagination):
    """Pages over a view's ``keyset``: columns that together are unique, with a "-" before descending ones.

    The body stays a plain array; a ``Link`` header names the first page and, where there are more rows, the
    next. A page is one query. Rows that are written between two pages neither move nor repeat others.
    """

    page_size = settings.REST_FRAMEWORK["PAGE_SIZE"]
    max_page_size = 10_000
    page_size_field = WholeNumberField(required=False, min_value=1, max_value=max_page_size)
    page_size_query_param = "page_size"
    cursor_query_param = "cursor"
    query_params = frozenset({page_size_query_param, cursor_query_param})
    display_page_controls = False

    def start(self, request, model: type[models.Model], keyset: Sequence[str]) -> list | None:
        """Where a page starts: behind the row with these key values, or with the first row.

        Raises ValidationError for a wrong page size or cursor.
        """
        self.request = request
        self.size = self._page_size(request)
        cursor = request.query_params.get(self.cursor_query_param)
        if not cursor:
            return None
        try:
            return decode_cursor(cursor, [model._meta.get_field(key.lstrip("-")) for key in keyset])
        except BadCursor:
            reason = "Damaged: take it as it stands in a Link header of this list."
            raise ValidationError({self.cursor_query_param: [reason]}) from None

    def cut(self, rows: Iterable, key: Callable[[Any], Sequence], following: Sequence | None = None) -> list:
        """The page's rows, of those from its start on, of which ``key`` gives the key values.

        ``following`` starts the next page where no row does.
        """
        page = list(islice(rows, self.size + 1))
        if len(page) > self.size:
            page.pop()
            following = key(page[-1])
        self.next_cursor = encode_cursor(following) if following else None
        return page

    def _page_size(self, request) -> int:
        text = request.query_params.get(self.page_size_query_param, "")
        try:
            return self.page_size_field.clean(text) or self.page_size
        except InvalidValue as error:
            raise ValidationError({self.page_size_query_param: error.messages}) from None

    def get_paginated_response(self, data) -> Response:
        """The page as a plain array, with its Link header."""
        parameters = self.request.query_params.dict()
        parameters.pop(self.cursor_query_param, None)
        first = self.request.build_absolute_uri(self.request.path)
        if parameters:
            first += f"?{urlencode(sorted(parameters.items()))}"
        links = f'<{first}>; rel="first"'
        if self.next_cursor:
            following = f"{first}{'&' if parameters else '?'}{self.cursor_query_param}={self.next_cursor}"
            links += f', <{following}>; rel="next"'
        return Response(data, headers={"Link": links})

    def get_paginated_response_schema(self, schema: dict) -> dict:
        return schema

    def get_schema_operation_parameters(self, view) -> list[dict]:
        return [
            {
                "name": self.page_size_query_param,
                "in": "query",
                "required": False,
                "description": "Rows on a page; not in a file, which has them all",
                "schema": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": self.max_page_size,
                    "default": self.page_size,
                },
            },
            {
                "name": self.cursor_query_param,
                "in": "query",
                "required": False,
                "description": "Where the page starts, from a Link header of this list; not in a file",
                "schema": {"type": "string"},
            },
        ]
