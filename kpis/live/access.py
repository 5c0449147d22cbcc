"""Access to the WebSockets: for users of the API, by session or token, from a page of this site or a program."""

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

# HTTP's status plus 4000, as WebSockets leave 4000 to 4999 to applications.
NOT_ALLOWED, TOO_MANY = 4403, 4429


def request_of(scope: dict[str, Any]) -> HttpRequest:
    """Return the request that opened a WebSocket, with its session and user."""
    request = ASGIRequest({**scope, "type": "http", "method": "GET"}, BytesIO())
    for middleware in (SessionMiddleware, AuthenticationMiddleware):
        middleware(lambda _: HttpResponse()).process_request(request)
    return request


def is_foreign(request: HttpRequest) -> bool:
    """Return True if a page of another site asks, or the request is for another site."""
    try:
        host = request.get_host()
    except DisallowedHost:
        return True
    origin = request.headers.get("Origin")
    # Programs send no Origin header.
    return origin is not None and urlsplit(origin).netloc.lower() != host.lower()


@database_sync_to_async
def refusal(request: HttpRequest) -> int | None:
    """Return the close code if the client may not read the API, or asks too often; None if it may."""
    view = APIView()
    try:
        # Authentication, permissions and throttles are the API's.
        view.request = view.initialize_request(request)
        view.perform_authentication(view.request)
        view.check_permissions(view.request)
        view.check_throttles(view.request)
    except Throttled:
        return TOO_MANY
    except APIException:
        return NOT_ALLOWED
    return None
