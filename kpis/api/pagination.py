"""Keyset pagination: a page costs the same however far on it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlencode

from django.conf import settings
from django.core.exceptions import ValidationError as InvalidValue
from django.db.models import QuerySet
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from kpis.api.cursors import BadCursor, cursor_position, encode_cursor
from kpis.query.fields import WholeNumberField
from kpis.query.keyset import rows_after

if TYPE_CHECKING:
    # The views import this module, by the settings.
    from rest_framework.views import APIView

    from kpis.api.viewsets import ListViewSet

Row = TypeVar("Row")


class KeysetPagination(BasePagination):
    """Pages over a view's ``keyset``: columns that together are unique, with a "-" before descending ones.

    The body stays a plain array; a ``Link`` header names the first page and, if there are more rows, the next. A page
    is one query. Rows that are written between two pages neither shift nor repeat others.
    """

    page_size = settings.REST_FRAMEWORK["PAGE_SIZE"]
    max_page_size = 10_000
    page_size_field = WholeNumberField(required=False, min_value=1, max_value=max_page_size)
    page_size_query_param = "page_size"
    cursor_query_param = "cursor"
    query_params = frozenset({page_size_query_param, cursor_query_param})
    display_page_controls = False

    def start(self, request: Request, view: ListViewSet) -> list | None:
        """Read where the page starts; returns the key of the row before it, None on the first page.

        Raises ValidationError for a wrong page size or cursor.
        """
        self.request = request
        self.size = self._page_size(request)
        self.following: Sequence | None = None
        cursor = request.query_params.get(self.cursor_query_param)
        if not cursor:
            return None
        try:
            return cursor_position(cursor, view.queryset.model, view.keyset)
        except BadCursor:
            reason = "Damaged: take it as it stands in a Link header of this list."
            raise ValidationError({self.cursor_query_param: [reason]}) from None

    def paginate_queryset(
        self, queryset: QuerySet[Any, Row] | Sequence[Row], request: Request, view: APIView | None = None
    ) -> list[Row]:
        """Return the page's rows of a queryset that is in the order of ``view.get_keyset()``."""
        # Only lists have pages, and all of them are querysets.
        viewset, rows = cast("ListViewSet", view), cast("QuerySet[Any, Row]", queryset)
        key = self.start(request, viewset)
        if key:
            keyset = viewset.get_keyset()
            rows = rows.filter(rows_after(keyset, key[: len(keyset)]))
        return self.cut(rows[: self.size + 1], viewset.get_key)

    def cut(self, rows: Iterable, key: Callable[[Any], Sequence], following: Sequence | None = None) -> list:
        """Return the first rows, as many as the page has; ``key`` returns the key of the last, if more follow.

        ``following`` is the key after which the next page starts if these rows do not fill the page.
        """
        page = list(islice(rows, self.size + 1))
        self.following = following
        if len(page) > self.size:
            page.pop()
            self.following = key(page[-1])
        return page

    def get_paginated_response(self, data: list) -> Response:
        return Response(data, headers={"Link": self._links()})

    def _page_size(self, request: Request) -> int:
        try:
            return (
                self.page_size_field.clean(request.query_params.get(self.page_size_query_param, "")) or self.page_size
            )
        except InvalidValue as error:
            raise ValidationError({self.page_size_query_param: error.messages}) from None

    def _links(self) -> str:
        address = self.request.build_absolute_uri(self.request.path)
        parameters = self.request.query_params.dict()
        parameters.pop(self.cursor_query_param, None)
        query = urlencode(sorted(parameters.items()))
        links = f'<{address}?{query}>; rel="first"' if query else f'<{address}>; rel="first"'
        if self.following:
            query += ("&" if query else "") + f"{self.cursor_query_param}={encode_cursor(self.following)}"
            links += f', <{address}?{query}>; rel="next"'
        return links

    def get_paginated_response_schema(self, schema: dict) -> dict:
        return schema

    def get_schema_operation_parameters(self, view: APIView) -> list[dict]:
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
