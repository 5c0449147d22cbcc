"""The ASGI application: the pages as under WSGI, and WebSockets beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from a2wsgi import WSGIMiddleware
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path, re_path

# Sets Django up, which the imports below need.
from network_analysis.wsgi import application as pages

from kpis.live.socket import live, nowhere  # isort: skip

if TYPE_CHECKING:
    from a2wsgi.asgi_typing import HTTPScope, Receive, Send

# The number of requests that are handled at once; each thread keeps its database connection.
THREADS = 10


class _Pages:
    """The Django application over HTTP."""

    def __init__(self) -> None:
        self._pages = WSGIMiddleware(cast(Any, pages), workers=THREADS)

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        # Under WSGI a header with underscores would be the same as one with hyphens, which a proxy vouches for.
        headers = [(name, value) for name, value in scope["headers"] if b"_" not in name]
        await self._pages({**scope, "headers": headers}, receive, send)


# channels' router expects ASGI applications where Django's paths have views.
_routes: Any = [path("ws/live/", cast(Any, live)), re_path("", cast(Any, nowhere))]

application = ProtocolTypeRouter({"http": _Pages(), "websocket": URLRouter(_routes)})
