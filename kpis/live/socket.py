"""``/ws/live/``, a WebSocket of JSON: first the whole window, then its changes, at most once a second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from kpis.live.access import is_foreign, refusal, request_of
from kpis.live.broadcaster import Broadcaster, Client

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

NORMAL = 1000

_broadcaster = Broadcaster()


async def live(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Serve one page until it closes. If ``send`` waits for the page to read, no frames are queued for it."""
    await receive()
    request = request_of(scope)
    if is_foreign(request):
        return await close(send)
    code = await refusal(request)
    # A browser shows the close code to the page only if the socket was open.
    await send({"type": "websocket.accept"})
    if code is not None:
        return await close(send, code)
    client = _broadcaster.join()
    tasks = [asyncio.create_task(_write(client, send)), asyncio.create_task(_until_closed(receive))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        _broadcaster.leave(client)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return None


async def close(send: Send, code: int = NORMAL) -> None:
    """Close a WebSocket, or refuse one that was not accepted."""
    await send({"type": "websocket.close", "code": code})


async def nowhere(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Refuse a WebSocket at any other address."""
    await receive()
    await close(send)


async def _write(client: Client, send: Send) -> None:
    while True:
        await send({"type": "websocket.send", "text": await client.next()})


async def _until_closed(receive: Receive) -> None:
    # Messages of the page are ignored.
    while (await receive())["type"] != "websocket.disconnect":
        pass
