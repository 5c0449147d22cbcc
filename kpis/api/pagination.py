"""Pages that follow the rows' own order, so that a page costs the same however far on it is."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.conf import settings
from django.core.exceptions import ValidationError as InvalidValue
from django.db import models
from django.http import QueryDict
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination

from kpis.api.filters import Lookups
from kpis.api.rows import Source, as_dicts, shown
from kpis.api.serializers import Column
from kpis.catalog.intervals import EPOCH
from kpis.query.fields import WholeNumberField, whole_number_range

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


class Start(NamedTuple):
    """Where a page starts: behind the row with the key values ``after``, or with the first row where it is None.

    ``size`` is how many rows it has at most, and ``query`` the rest of what was asked for, as in its address.
    """

    after: list | None
    size: int
    query: str


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

    @classmethod
    def start(cls, parameters: QueryDict, model: type[models.Model], keyset: Sequence[str]) -> Start:
        """Where the page starts that is asked for; raises ValidationError for a wrong page size or cursor."""
        size = cls._page_size(parameters)
        rest = parameters.dict()
        cursor = rest.pop(cls.cursor_query_param, None)
        query = urlencode(sorted(rest.items()))
        if not cursor:
            return Start(None, size, query)
        try:
            fields = [model._meta.get_field(key.lstrip("-")) for key in keyset]
            return Start(decode_cursor(cursor, fields), size, query)
        except BadCursor:
            reason = "Damaged: take it as it stands in a Link header of this list."
            raise ValidationError({cls.cursor_query_param: [reason]}) from None

    @classmethod
    def _page_size(cls, parameters: QueryDict) -> int:
        text = parameters.get(cls.page_size_query_param, "")
        try:
            return cls.page_size_field.clean(text) or cls.page_size
        except InvalidValue as error:
            raise ValidationError({cls.page_size_query_param: error.messages}) from None

    @classmethod
    def links(cls, address: str, start: Start, following: Sequence | None) -> str:
        """The Link header of a page of the list at this address; ``following`` are the key values before the next."""
        first = f"{address}?{start.query}" if start.query else address
        links = f'<{first}>; rel="first"'
        if following:
            join = "&" if start.query else "?"
            links += f', <{first}{join}{cls.cursor_query_param}={encode_cursor(following)}>; rel="next"'
        return links

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


def read_page(
    source: Source, lookups: Lookups | None, start: Start, columns: Sequence[Column]
) -> tuple[list[dict], Sequence | None]:
    """A page of the rows that fulfil the lookups, none where these are None, and the key values before the next."""
    rows = () if lookups is None else source.page(lookups, start.after, start.size + 1)
    page, following = cut(rows, start, source.key)
    return as_dicts(tuple(column.name for column in columns))(shown(columns, page)), following


def cut(
    rows: Iterable, start: Start, key: Callable[[Any], Sequence], following: Sequence | None = None
) -> tuple[list, Sequence | None]:
    """The page's rows, of those from its start on, and the key values (``key``) of its last where there are more.

    ``following`` are those before the next page where no row tells.
    """
    page = list(islice(rows, start.size + 1))
    if len(page) > start.size:
        page.pop()
        following = key(page[-1])
    return page, following
