"""The shortest way to a page: of a list that anyone may read, as JSON, without an account.

Most requests of scripts are like that, and what Django REST framework settles for each of them, step by step, is known
beforehand; settling it takes longer than the page. Whatever else is asked for, and all that is wrong, is left to the
viewset, which gives the same answer to a page too, header by header.
"""

from __future__ import annotations

from functools import cache, lru_cache

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.utils.deprecation import MiddlewareMixin
from rest_framework.exceptions import ValidationError

from kpis.api.filters import Lookups, refuse_unknown_parameters
from kpis.api.pagination import KeysetPagination, Start, read_page
from kpis.api.renderers import JSONRenderer
from kpis.api.urls import router
from kpis.api.viewsets import ResultViewSet, unless_known
from kpis.query.throttles import AnonymousThrottle

_JSON = ("*/*", JSONRenderer.media_type)


class ShortcutMiddleware(MiddlewareMixin):
    """Answers what can be answered shortly; the middleware after it, and the views, get everything else.

    The middleware before it sees these answers too, and gives them the headers that all of the site's have.
    """

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        viewset = _lists().get(request.path) if settings.API_PUBLIC else None
        if viewset is None or not _is_plain(request):
            return None
        try:
            return _page(request, viewset)
        except ValidationError:
            return None


@cache
def _lists() -> dict[str, type[ResultViewSet]]:
    """The lists that anyone may read, by their paths."""
    return {
        reverse(f"{name}-list"): viewset
        for _, viewset, name in router.registry
        if issubclass(viewset, ResultViewSet) and not viewset.personal
    }


def _is_plain(request: HttpRequest) -> bool:
    """Whether someone without an account asks for JSON, by an address that is written as it ought to be."""
    asked = request.META
    return (
        request.method == "GET"
        and not asked.get("HTTP_COOKIE")
        and "HTTP_AUTHORIZATION" not in asked
        and asked.get("HTTP_ACCEPT", "*/*") in _JSON
        and asked.get("QUERY_STRING", "").isascii()
    )


def _page(request: HttpRequest, viewset: type[ResultViewSet]) -> HttpResponse | None:
    """The page that a request asks for; None for who asks too often. Raises ValidationError for a wrong parameter."""
    lookups, start = _asked(viewset, request.META.get("QUERY_STRING", ""))
    request.user = AnonymousUser()
    # Counted only now: what is left to the viewset is counted there.
    if not AnonymousThrottle().allow_request(request, None):
        return None
    rows, following = read_page(viewset.get_source(), lookups, start, viewset.serializer_class.columns())
    headers = {
        "Allow": "GET, HEAD, OPTIONS",
        "Cache-Control": "no-cache",
        "Link": KeysetPagination.links(request.build_absolute_uri(request.path), start, following),
        "Vary": "Accept, Authorization, Cookie",
    }
    body = JSONRenderer().render(rows)
    response = unless_known(request, HttpResponse(body, content_type=JSONRenderer.media_type, headers=headers))
    response["Content-Length"] = str(len(response.content))
    return response


@lru_cache(maxsize=1000)
def _asked(viewset: type[ResultViewSet], query: str) -> tuple[Lookups | None, Start]:
    """What rows have to fulfil and where the page starts: the same whenever an address is asked for.

    Raises ValidationError for a wrong parameter.
    """
    filters, source, parameters = viewset.filterset_class, viewset.get_source(), QueryDict(query)
    refuse_unknown_parameters(parameters, filters.base_filters.keys() | KeysetPagination.query_params)
    lookups = filters.lookups(filters.given(parameters))
    return lookups, KeysetPagination.start(parameters, source.model, source.keyset)
