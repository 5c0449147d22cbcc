"""The API's renderers, and its content negotiation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import orjson
from django.http import Http404
from rest_framework import renderers
from rest_framework.exceptions import ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.settings import api_settings

from kpis.query import csv, parquet

if TYPE_CHECKING:
    from rest_framework.request import Request


class JSONRenderer(renderers.JSONRenderer):
    """JSON by orjson; times, with or without a zone, are in UTC, with a Z."""

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        if data is None:
            return b""
        text = orjson.dumps(data, option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z)
        if self.get_indent(accepted_media_type or "", renderer_context or {}) is None:
            return text
        return super().render(orjson.loads(text), accepted_media_type, renderer_context)


class CSVRenderer(BaseRenderer):
    """CSV of data that is not a list of rows, such as a single object or an error: a table of one row."""

    media_type = csv.MEDIA_TYPE
    format = "csv"
    charset = csv.CHARSET

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> str:
        if data is None:
            return ""
        return "".join(csv.csv_chunks([*data], [data.values()]))


class ParquetRenderer(BaseRenderer):
    """Offers the format. Lists are rendered by ``parquet_response``, and errors as JSON."""

    media_type = parquet.MEDIA_TYPE
    format = "parquet"
    charset = None
    render_style = "binary"


class ContentNegotiation(DefaultContentNegotiation):
    """Reports an unknown format as a wrong value, like that of any other parameter."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the renderer and its media type; the first if the client accepts anything."""
        anything = request.META.get("HTTP_ACCEPT", "*/*") == "*/*"
        if anything and not format_suffix and not request.query_params.get(api_settings.URL_FORMAT_OVERRIDE):
            first = next(iter(renderers))
            return first, first.media_type
        return super().select_renderer(request, renderers, format_suffix)

    def filter_renderers(self, renderers: Iterable[BaseRenderer], format: str) -> list[BaseRenderer]:
        try:
            return super().filter_renderers(renderers, format)
        except Http404:
            known = ", ".join(renderer.format for renderer in renderers)
            raise ValidationError({api_settings.URL_FORMAT_OVERRIDE: [f"Choose one of: {known}."]}) from None
