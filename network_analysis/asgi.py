"""The ASGI application, for a web server: the pages as WSGI servers have them, and WebSockets beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from a2wsgi import WSGIMiddleware
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path, re_path

# Sets Django up, which whatever is imported after it needs.
from network_analysis.wsgi import application as pages

from kpis.live.socket import live, nowhere  # isort: skip

if TYPE_CHECKING:
    from a2wsgi.asgi_typing import HTTPScope, Receive, Send

# So many pages are made at once; each thread keeps its connection to the database.
THREADS = 10


class _Pages:
    """The pages over HTTP."""

    def __init__(self) -> None:
        self._pages = WSGIMiddleware(cast(Any, pages), workers=THREADS)

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        # Under WSGI it would be the same as one with hyphens, which a proxy vouches for.
        headers = [(name, value) for name, value in scope["headers"] if b"_" not in name]
        await self._pages({**scope, "headers": headers}, receive, send)


# Where Django's paths have views, channels' have ASGI applications.
_routes: Any = [path("ws/live/", cast(Any, live)), re_path("", cast(Any, nowhere))]

application = ProtocolTypeRouter({"http": _Pages(), "websocket": URLRouter(_routes)})
