"""The broadcaster of live counts: for all open pages of a web process, the database is read and a frame made once.

It works only while a page is open. At most one frame waits for a page: a slower page misses frames, and gets the whole
window when it is ready again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import orjson
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection

from kpis.live import announcements
from kpis.live.window import Window

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# The seconds between frames.
FRAME_SECONDS = 1.0
# How often to poll the database: without announcements, and with them.
LOOK_SECONDS = 0.2
LOOK_ANNOUNCED_SECONDS = 1.0
# How long a frame that is due waits for further batches, as a stream's partitions are ingested one after the other.
SETTLE_SECONDS = 0.4
# After so long without a frame a page is sent one anyway, so that it can distinguish a live connection from a dead one.
SILENT_SECONDS = 10.0
# The pause after a failure of the database.
PAUSE_SECONDS = 1.0


class Client:
    """One open page: the frame that waits for it, or that it missed one."""

    def __init__(self, broadcaster: Broadcaster):
        self._broadcaster = broadcaster
        self._frame: str | None = None
        self._missed = True
        self._has_news = asyncio.Event()

    def offer(self, frame: str) -> None:
        """Queue a frame; the page misses it if it has not taken the one before."""
        self._missed = self._missed or self._frame is not None
        self._frame = None if self._missed else frame
        self.wake()

    def wake(self) -> None:
        """Wake the page's sender."""
        self._has_news.set()

    async def next(self) -> str:
        """Return what to send next: the whole window at first and after a missed frame, else the next frame."""
        await self._has_news.wait()
        self._has_news.clear()
        if self._missed:
            self._missed = False
            return await self._broadcaster.window()
        frame, self._frame = self._frame, None
        return frame or ""


class Broadcaster:
    """A web process's window of live counts, and the open pages."""

    def __init__(self) -> None:
        self._clients: set[Client] = set()
        self._working: asyncio.Task[None] | None = None
        # One thread has the database connection, and is the only one that uses the window.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="live")
        self._view: _View | None = None
        self._news = asyncio.Event()
        # True if the last change was announced, so that polling can be slower.
        self._is_heard = False

    def join(self) -> Client:
        """Add a page that opened; it has to ``leave``."""
        client = Client(self)
        self._clients.add(client)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        elif self._view is not None:
            client.wake()
        return client

    def leave(self, client: Client) -> None:
        """Remove a page that closed."""
        self._clients.discard(client)
        if not self._clients and self._working is not None:
            self._working.cancel()
            self._working = self._view = None
            self._thread.submit(_close)

    async def window(self) -> str:
        """Return the whole window, as it was last read."""
        if self._view is None:
            raise asyncio.CancelledError
        return await self._in_thread(self._view.window)

    async def _work(self) -> None:
        """Read the database and send frames until no page is open."""
        view, is_logged, shown_at = _View(), False, time.monotonic() - FRAME_SECONDS
        listening = asyncio.create_task(announcements.listen(self._hear)) if settings.REDIS_URL else None
        try:
            while True:
                self._news.clear()
                try:
                    await self._read(view, shown_at + FRAME_SECONDS)
                    is_silent = time.monotonic() - shown_at >= SILENT_SECONDS
                    frame = await self._in_thread(partial(view.frame, is_silent))
                except DatabaseError as error:
                    if not is_logged:
                        logger.warning("Cannot read the live counts: %s. Trying again.", " ".join(str(error).split()))
                    is_logged = True
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                is_logged, self._view = False, view
                if frame is None:
                    await self._await_news()
                else:
                    shown_at = time.monotonic()
                    for client in self._clients:
                        client.offer(frame)
                    await asyncio.sleep(FRAME_SECONDS - SETTLE_SECONDS)
        finally:
            if listening is not None:
                listening.cancel()

    async def _read(self, view: _View, due: float) -> None:
        """Read until a frame is due, and then on while batches follow each other closely."""
        until = max(due, time.monotonic()) + SETTLE_SECONDS
        while True:
            is_more = await self._in_thread(view.read)
            if time.monotonic() >= (until if is_more else due):
                return
            await asyncio.sleep(SETTLE_SECONDS / 4)

    def _hear(self) -> None:
        self._is_heard = True
        self._news.set()

    async def _await_news(self) -> None:
        try:
            async with asyncio.timeout(LOOK_ANNOUNCED_SECONDS if self._is_heard else LOOK_SECONDS):
                await self._news.wait()
        except TimeoutError:
            # An announcement may be lost, or Redis may be down.
            self._is_heard = False

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _close() -> None:
    """Close the connection of the thread that runs this, not the caller's."""
    connection.close()


class _View:
    """The window and its encoded frames; used by one thread."""

    def __init__(self) -> None:
        self._window, self._text = Window(), ""

    def read(self) -> bool:
        """Read what is new; return True if there was anything."""
        close_old_connections()
        return self._window.read()

    def frame(self, is_silent: bool) -> str | None:
        """Return the next frame; None if nothing changed and no frame is due for silence."""
        frame = self._window.frame(is_silent)
        self._text = ""
        return None if frame is None else orjson.dumps(frame).decode()

    def window(self) -> str:
        """Return the whole window."""
        self._text = self._text or orjson.dumps(self._window.window()).decode()
        return self._text
