"""A Redis that cannot be reached is reported once, on both sides, and stops nothing."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace

import pytest

from kpis.live import announcements
from kpis.live.announcements import Announcer, listen
from tests.processes import PATIENCE

pytest.importorskip("channels_redis", reason="channels-redis is not installed: announcements are left out")

# Nothing listens there.
NOWHERE = "redis://127.0.0.1:1/0"
LAYER = "channels_redis.pubsub.RedisPubSubChannelLayer"


@pytest.fixture
def unreachable(settings, monkeypatch):
    """A Redis that cannot be reached, asked again at once."""
    settings.REDIS_URL = NOWHERE
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": LAYER, "CONFIG": {"hosts": [NOWHERE]}}}
    monkeypatch.setattr(announcements, "PAUSE_SECONDS", 0)


@pytest.fixture
def now(monkeypatch) -> SimpleNamespace:
    """The clock of announcements, in seconds."""
    clock = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(announcements, "time", SimpleNamespace(monotonic=lambda: clock.seconds))
    return clock


def warnings_of(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == announcements.__name__]


def test_an_announcer_reports_once_that_redis_cannot_be_reached(unreachable, caplog):
    announcer = Announcer()
    for _ in range(3):
        announcer.announce()
    (warning,) = warnings_of(caplog)
    assert warning.startswith("Cannot use Redis: Error ")
    assert warning.endswith(". Open pages are updated a little later.")


def test_an_announcer_asks_a_redis_that_failed_again_after_a_pause(unreachable, now, monkeypatch):
    asked = []
    monkeypatch.setattr(announcements, "PAUSE_SECONDS", 5)
    layer = announcements._layer
    monkeypatch.setattr(announcements, "_layer", lambda: asked.append(now.seconds) or layer())
    announcer = Announcer()
    for now.seconds in (1000, 1004.9, 1005, 1009.9, 1010):
        announcer.announce()
    assert asked == [1000, 1005, 1010]


def test_a_listener_reports_once_that_redis_cannot_be_reached_and_goes_on(unreachable, caplog, monkeypatch):
    async def listen_until_tried(number: int) -> list[None]:
        heard, tried = [], asyncio.Semaphore(0)
        layer = announcements._layer()
        new_channel = layer.new_channel

        async def counted() -> str:
            tried.release()
            return await new_channel()

        monkeypatch.setattr(layer, "new_channel", counted)
        listening = asyncio.create_task(listen(lambda: heard.append(None)))
        async with asyncio.timeout(PATIENCE):
            for _ in range(number):
                await tried.acquire()
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening
        return heard

    assert asyncio.run(listen_until_tried(3)) == []
    (warning,) = warnings_of(caplog)
    assert warning.startswith("Cannot use Redis: Error ")
    assert warning.endswith(". Live counts are looked up instead.")


def test_without_redis_nothing_is_announced(settings, monkeypatch):
    settings.REDIS_URL = ""
    monkeypatch.setattr(announcements, "_layer", lambda: pytest.fail("a channel layer was asked for"))
    Announcer().announce()
