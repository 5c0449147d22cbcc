"""Who may open a WebSocket: whoever may read the API, by session or token, from a page of this site or from none."""

from __future__ import annotations

from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from channels.db import database_sync_to_async
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from rest_framework.exceptions import APIException, Throttled
from rest_framework.views import APIView

# As HTTP's statuses, in the range that WebSockets leave to applications.
NOT_ALLOWED, TOO_MANY = 4403, 4429


def request_of(scope: dict[str, Any]) -> HttpRequest:
    """The request that a WebSocket was opened with, with its session and user."""
    request = ASGIRequest({**scope, "type": "http", "method": "GET"}, BytesIO())
    for middleware in (SessionMiddleware, AuthenticationMiddleware):
        middleware(lambda _: HttpResponse()).process_request(request)
    return request


def is_foreign(request: HttpRequest) -> bool:
    """Whether it is another site's page that asks, or the request is for another site."""
    try:
        host = request.get_host()
    except DisallowedHost:
        return True
    origin = request.headers.get("Origin")
    # A program has none.
    return origin is not None and urlsplit(origin).netloc.lower() != host.lower()


@database_sync_to_async
def refusal(request: HttpRequest) -> int | None:
    """The code to close a WebSocket with whose opener may not read the API, or asks too often; None for the others."""
    view = APIView()
    try:
        # Its authentication, permissions and rates are the API's.
        view.request = view.initialize_request(request)
        view.perform_authentication(view.request)
        view.check_permissions(view.request)
        view.check_throttles(view.request)
    except Throttled:
        return TOO_MANY
    except APIException:
        return NOT_ALLOWED
    return None
