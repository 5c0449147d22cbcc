"""JSON, CSV beside it, and what is said to those who ask for something else."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime

import orjson
from django.http import Http404, StreamingHttpResponse
from rest_framework import renderers
from rest_framework.exceptions import ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.settings import api_settings

# A spreadsheet takes text that starts with one of these for a formula and runs it.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")

_ROWS_A_CHUNK = 1000


class JSONRenderer(renderers.JSONRenderer):
    """JSON; moments, with or without a zone, are in UTC."""

    def render(self, data, accepted_media_type=None, renderer_context=None) -> bytes:
        if data is None:
            return b""
        text = orjson.dumps(data, option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z)
        if self.get_indent(accepted_media_type, renderer_context or {}) is None:
            return text
        return super().render(orjson.loads(text), accepted_media_type, renderer_context)


def one_text(value):
    """A list as one text, its parts apart by spaces; any other value as it is."""
    return " ".join(str(part) for part in value) if isinstance(value, list | tuple) else value


def cell(value):
    """A value as a CSV cell; text that a spreadsheet would run gets an apostrophe in front.

    Moments are in UTC, without a zone.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f"{value.isoformat()}Z"
    value = one_text(value)
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value


def _as_it_is(value):
    return value


def csv_chunks(
    header: Sequence[str], rows: Iterable[Iterable], computed: Collection[str] = frozenset()
) -> Iterator[str]:
    """CSV text of rows, a header line first, in pieces of bounded size.

    ``computed`` are the columns whose texts are computed here, such as ``-34.60,-58.40``: they are given as they are.
    """
    cells = [_as_it_is if name in computed else cell for name in header]
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(header)
    for number, row in enumerate(rows, start=1):
        writer.writerow([cell(value) for cell, value in zip(cells, row, strict=True)])
        if number % _ROWS_A_CHUNK == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def csv_response(
    name: str, header: Sequence[str], rows: Iterable[Iterable], computed: Collection[str] = frozenset()
) -> StreamingHttpResponse:
    """A download of rows as ``<name>.csv`` that is written while they are read; for ``computed`` see csv_chunks."""
    return StreamingHttpResponse(
        csv_chunks(header, rows, computed),
        content_type=f"{CSVRenderer.media_type}; charset={CSVRenderer.charset}",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


class CSVRenderer(BaseRenderer):
    """Data that is no list of rows, such as a single object or an error, as a table of one row."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(self, data, accepted_media_type=None, renderer_context=None) -> str:
        if data is None:
            return ""
        return "".join(csv_chunks([*data], [data.values()]))


class ContentNegotiation(DefaultContentNegotiation):
    """Calls an unknown format a wrong value, as of any other parameter."""

    def select_renderer(self, request, renderers, format_suffix=None):
        """The renderer and its media type; the first, without further ado, for those who take anything."""
        anything = request.META.get("HTTP_ACCEPT", "*/*") == "*/*"
        if anything and not format_suffix and not request.query_params.get(api_settings.URL_FORMAT_OVERRIDE):
            return renderers[0], renderers[0].media_type
        return super().select_renderer(request, renderers, format_suffix)

    def filter_renderers(self, renderers, format):
        try:
            return super().filter_renderers(renderers, format)
        except Http404:
            known = ", ".join(renderer.format for renderer in renderers)
            raise ValidationError({api_settings.URL_FORMAT_OVERRIDE: [f"Choose one of: {known}."]}) from None
