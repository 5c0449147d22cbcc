"""The filter backend: django-filter's, with filter sets that look only at the parameters of the request."""

from __future__ import annotations

from typing import Any, cast

from django.db.models import QuerySet
from django.http import HttpRequest
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.request import Request


class FilterBackend(DjangoFilterBackend):
    """Filters by the view's ``filterset_class``, whose form is made only for the browsable page."""

    def filter_queryset(self, request: HttpRequest | Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        """Return the rows that satisfy the request's filters; raises ValidationError for wrong values."""
        return view.filterset_class.narrow(queryset, cast(Request, request).query_params)
