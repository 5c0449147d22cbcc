"""Tells every web process at once that a stream's batch is in, through Redis where REDIS_URL names one.

Without Redis, or while it is out of reach, nothing is told and web processes look by themselves.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from channels.layers import BaseChannelLayer

logger = logging.getLogger(__name__)

GROUP = "live"
# After Redis failed it is not asked again for this long.
PAUSE_SECONDS = 5


class Announcer:
    """A consumer's side: announces each batch, and never fails for it."""

    def __init__(self) -> None:
        self._due, self._is_logged = 0.0, False

    def announce(self) -> None:
        """Tells that live counts have changed."""
        if not settings.REDIS_URL or time.monotonic() < self._due:
            return
        from asgiref.sync import async_to_sync
        from redis import RedisError

        try:
            async_to_sync(_layer().group_send)(GROUP, {"type": "live.changed"})
            self._is_logged = False
        except (RedisError, OSError) as error:
            self._due = time.monotonic() + PAUSE_SECONDS
            if not self._is_logged:
                logger.warning("Cannot use Redis: %s. Open pages are told a little later.", _reason(error))
            self._is_logged = True


async def listen(heard: Callable[[], None]) -> NoReturn:
    """A web process's side: calls ``heard`` for each announcement, as long as it is not cancelled."""
    from redis import RedisError

    layer, is_logged = _layer(), False
    while True:
        try:
            channel = await layer.new_channel()
            await layer.group_add(GROUP, channel)
            is_logged = False
            while True:
                await layer.receive(channel)
                heard()
        except (RedisError, OSError) as error:
            if not is_logged:
                logger.warning("Cannot use Redis: %s. Live counts are looked up instead.", _reason(error))
            is_logged = True
            await asyncio.sleep(PAUSE_SECONDS)


def _layer() -> BaseChannelLayer:
    """The channel layer of the settings, which always have one."""
    from channels.layers import get_channel_layer

    layer = get_channel_layer()
    if layer is None:
        raise ImproperlyConfigured("CHANNEL_LAYERS has no default layer.")
    return layer


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")


class Once(logging.Filter):
    """Lets the channel layer's own complaints through once a minute: it makes one with each try to reconnect."""

    def __init__(self) -> None:
        super().__init__()
        self._due = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is to be logged."""
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + 60
        return True
