"""The API's schema: parameters, responses and headers of its operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.serializers import BaseSerializer
from rest_framework.settings import api_settings

from kpis.api.renderers import CSVRenderer, JSONRenderer, ParquetRenderer

Operation = TypeVar("Operation", bound=Callable[..., Any])

_WRONG = OpenApiResponse(
    {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
    description="A parameter is unknown or has a wrong value: its name, and the reasons",
)
_DETAIL = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
_UNKNOWN = OpenApiResponse(_DETAIL, description="The reader has to log in, or the token is not valid")
_FORBIDDEN = OpenApiResponse(_DETAIL, description="The reader's account lacks a permission")
_TOO_MANY = OpenApiResponse(_DETAIL, description="Too many requests: Retry-After says how many seconds to wait")
_MISSING = OpenApiResponse(_DETAIL, description="There is no such object")
_LINK = OpenApiParameter(
    "Link",
    str,
    OpenApiParameter.HEADER,
    response=[200],
    description='rel="first": the first page; rel="next": the next one, there only while there are more rows',
)


_CONDITION = OpenApiParameter(
    "If-None-Match",
    str,
    OpenApiParameter.HEADER,
    description="ETags of answers that the client has: 304 for one of them",
)
_TAG = OpenApiParameter(
    "ETag", str, OpenApiParameter.HEADER, response=[200, 304], description="Names this very answer; files have none"
)
_UNCHANGED = OpenApiResponse(description="The client has the answer, by its If-None-Match")


def answers(
    serializer: BaseSerializer | type[BaseSerializer],
    summary: str,
    *,
    missing: bool = False,
    pages: bool = True,
    files: bool = True,
    **kwargs: Any,
) -> Callable[[Operation], Operation]:
    """Document an operation: its responses, with their status."""
    by_status = {200: serializer, 400: _WRONG, 401: _UNKNOWN, 403: _FORBIDDEN, 429: _TOO_MANY}
    by_status |= {404: _MISSING} if missing else {}
    responses: dict[Any, Any] = {(status, JSONRenderer.media_type): answer for status, answer in by_status.items()}
    responses |= {(status, CSVRenderer.media_type): str for status in by_status}
    responses[304] = _UNCHANGED
    formats = [JSONRenderer.format, CSVRenderer.format]
    if files:
        responses[200, ParquetRenderer.media_type] = bytes
        formats.append(ParquetRenderer.format)
    form = OpenApiParameter(
        api_settings.URL_FORMAT_OVERRIDE, str, enum=formats, description="What to answer in, before any Accept header"
    )
    parameters = [form, *kwargs.pop("parameters", []), _CONDITION, _TAG, *([_LINK] if pages else [])]
    return extend_schema(summary=summary, responses=responses, parameters=parameters, **kwargs)
