"""The base of all views of the API: strict parameters, conditional requests, files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from blake3 import blake3
from django.conf import settings
from django.http import HttpResponse, QueryDict, StreamingHttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.fields import Field
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import APIRootView
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from kpis.api.renderers import CSVRenderer, JSONRenderer, ParquetRenderer
from kpis.api.serializers import column_type
from kpis.query.csv import csv_response
from kpis.query.parquet import parquet_response


def refuse_unknown_parameters(parameters: QueryDict, known: Collection[str]) -> None:
    """Raise ValidationError for unknown query parameters, or repeated ones."""
    errors = {}
    for name, values in parameters.lists():
        if name not in known:
            errors[name] = [f"Unknown parameter. The known ones are: {', '.join(sorted(known))}."]
        elif len(values) > 1:
            errors[name] = ["Given more than once."]
    if errors:
        raise ValidationError(errors)


class StrictView(APIView):
    """Refuses unknown query parameters, so that a misspelt filter is not silently ignored."""

    parser_classes = ()
    # True if the responses to all readers are personal data; see is_personal.
    personal = False

    @property
    def default_response_headers(self) -> dict[str, str]:
        return super().default_response_headers | {"Vary": "Accept, Authorization"}

    def known_parameters(self) -> set[str]:
        """Return the names of the query parameters that this request may have."""
        return {api_settings.URL_FORMAT_OVERRIDE}

    def is_personal(self) -> bool:
        """Return True if what this reader is shown may be about single subscribers."""
        return self.personal

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        refuse_unknown_parameters(request.query_params, self.known_parameters())

    def wants(self, renderer: type[BaseRenderer]) -> bool:
        return self.request.accepted_renderer.format == renderer.format

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        """Return the response with its renderer; errors are JSON if Parquet was asked for."""
        response = super().finalize_response(request, response, *args, **kwargs)
        failed = getattr(response, "exception", False)
        if failed and self.wants(ParquetRenderer):
            response.accepted_renderer = JSONRenderer()
            response.accepted_media_type = JSONRenderer.media_type
        response["Cache-Control"] = "no-store" if failed else self._cache_control(request)
        if isinstance(response, Response) and not failed:
            response.add_post_render_callback(partial(unless_known, request))
        return response

    def _cache_control(self, request: Request) -> str:
        """Return the Cache-Control header: who may store the response; a stored one must be revalidated each time."""
        if self.is_personal():
            return "private, no-store"
        anyone = settings.API_PUBLIC and not request.user.is_authenticated
        return "no-cache" if anyone else "private, no-cache"


def unless_known(request: Request, response: Response) -> HttpResponse | None:
    """Return a rendered response with its ETag; 304 without the body if the client has this very response.

    The tag is computed from the body and links, so that it cannot match another response, however tables, reader or
    program changed.
    """
    answer = blake3(response.content)
    answer.update(f"\n{response['Content-Type']}\n{response.get('Link', '')}".encode())
    response["ETag"] = quote_etag(answer.hexdigest(16))
    return get_conditional_response(request, etag=response["ETag"], response=response)


class FileView(StrictView):
    """A list that is also available as a file; ``computed`` are its columns with computed texts, see csv_chunks."""

    computed: frozenset[str] = frozenset()
    # The router says whether it is a list or an object.
    detail: bool

    def get_renderers(self) -> list[BaseRenderer]:
        return super().get_renderers() + ([] if self.detail else [ParquetRenderer()])

    def wants_file(self) -> bool:
        return self.wants(CSVRenderer) or self.wants(ParquetRenderer)

    def file(self, name: str, fields: Mapping[str, Field], rows: Iterable[Sequence]) -> StreamingHttpResponse:
        """Return all of the rows, each with a value for every field, in the requested format."""
        if self.wants(ParquetRenderer):
            return parquet_response(name, {name: column_type(field) for name, field in fields.items()}, rows)
        return csv_response(name, list(fields), rows, self.computed)


class RootView(StrictView, APIRootView):
    """The KPIs of a mobile network per interval, and the batches that they were computed from."""

    name = "Network Analysis API"


@extend_schema(exclude=True)
class MissingView(APIView):
    """The API's response to unknown addresses."""

    def get(self, request: Request, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotFound
