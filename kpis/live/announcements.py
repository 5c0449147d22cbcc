"""Announcements to all web processes that a stream's batch was ingested, through the Redis of REDIS_URL.

Without Redis, or while it cannot be reached, nothing is announced and web processes poll the database.
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
    """The consumer's side: announces each batch. A failure is logged and does not affect the batch."""

    def __init__(self) -> None:
        self._due, self._is_logged = 0.0, False

    def announce(self) -> None:
        """Announce that live counts have changed."""
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
                logger.warning("Cannot use Redis: %s. Open pages are updated a little later.", _reason(error))
            self._is_logged = True


async def listen(heard: Callable[[], None]) -> NoReturn:
    """The web process's side: call ``heard`` for each announcement until it is cancelled."""
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
    """Return the settings' default channel layer."""
    from channels.layers import get_channel_layer

    layer = get_channel_layer()
    if layer is None:
        raise ImproperlyConfigured("CHANNEL_LAYERS has no default layer.")
    return layer


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
