"""Shows the live counts to every open page of a web process: the database is read once for all, a frame made once.

Only while somebody looks. A page has at most one frame waiting: one that is slower misses frames, and gets all there
is as soon as it can take it.
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

# Pages get one frame in so long.
FRAME_SECONDS = 1.0
# How often to look for what is new: where nobody announces it, and where somebody does.
LOOK_SECONDS = 0.2
LOOK_ANNOUNCED_SECONDS = 1.0
# So long a frame that is due waits for batches that come one after the other, as those of a stream's partitions do.
SETTLE_SECONDS = 0.4
# A page that was sent nothing for so long is sent what it has, so that it knows its connection from a dead one.
SILENT_SECONDS = 10.0
# After the database could not be used.
PAUSE_SECONDS = 1.0


class Client:
    """One open page: the frame that waits for it, or the word that it missed one."""

    def __init__(self, broadcaster: Broadcaster):
        self._broadcaster = broadcaster
        self._frame: str | None = None
        self._missed = True
        self._has_news = asyncio.Event()

    def offer(self, frame: str) -> None:
        """Gives it a frame, which it misses when it has not taken the one before."""
        self._missed = self._missed or self._frame is not None
        self._frame = None if self._missed else frame
        self.wake()

    def wake(self) -> None:
        """Has it take what there is."""
        self._has_news.set()

    async def next(self) -> str:
        """What to send it next, as soon as there is something; at first, and after what it missed, all there is."""
        await self._has_news.wait()
        self._has_news.clear()
        if self._missed:
            self._missed = False
            return await self._broadcaster.window()
        frame, self._frame = self._frame, None
        return frame or ""


class Broadcaster:
    """A web process's view of the live counts, and the pages that look at it."""

    def __init__(self) -> None:
        self._clients: set[Client] = set()
        self._working: asyncio.Task[None] | None = None
        # One thread has the database's connection, and is the only one to touch the window.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="live")
        self._view: _View | None = None
        self._news = asyncio.Event()
        # Whether the last change was heard of, so that there is no need to look for the next.
        self._is_heard = False

    def join(self) -> Client:
        """A page that opened; it has to ``leave``."""
        client = Client(self)
        self._clients.add(client)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        elif self._view is not None:
            client.wake()
        return client

    def leave(self, client: Client) -> None:
        """A page that closed."""
        self._clients.discard(client)
        if not self._clients and self._working is not None:
            self._working.cancel()
            self._working = self._view = None
            self._thread.submit(_close)

    async def window(self) -> str:
        """All there is, as it was last read."""
        if self._view is None:
            raise asyncio.CancelledError
        return await self._in_thread(self._view.window)

    async def _work(self) -> None:
        """Reads and shows until nobody looks any more."""
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
        """Reads what is new until a frame is due, and then until batches that come one after the other all have."""
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
            # An announcement may be lost, and Redis be gone.
            self._is_heard = False

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _close() -> None:
    """Closes the connection of the thread that it runs in, which is not that of whoever asks for it."""
    connection.close()


class _View:
    """The window, and what pages are sent of it; for one thread."""

    def __init__(self) -> None:
        self._window, self._text = Window(), ""

    def read(self) -> bool:
        """Reads what is new; whether there was anything."""
        close_old_connections()
        return self._window.read()

    def frame(self, is_silent: bool) -> str | None:
        """The frame for the pages; None where nothing changed, and that is not to be told."""
        frame = self._window.frame(is_silent)
        self._text = ""
        return None if frame is None else orjson.dumps(frame).decode()

    def window(self) -> str:
        """All there is."""
        self._text = self._text or orjson.dumps(self._window.window()).decode()
        return self._text
