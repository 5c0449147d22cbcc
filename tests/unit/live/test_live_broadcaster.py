"""A web process keeps its open pages' connections alive when nothing happens."""

from __future__ import annotations

import asyncio
import json

import pytest

from kpis.live import broadcaster
from kpis.live.broadcaster import Broadcaster
from tests.processes import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_page_hears_now_and_then_that_nothing_happened(monkeypatch):
    monkeypatch.setattr(broadcaster, "SILENT_SECONDS", 1.5)

    async def look() -> list[dict]:
        shown = Broadcaster()
        client = shown.join()
        async with asyncio.timeout(PATIENCE):
            texts = [await client.next() for _ in range(3)]
        shown.leave(client)
        # Its connection is closed by then.
        shown._thread.shutdown()
        return [json.loads(text) for text in texts]

    window, *frames = asyncio.run(look())
    assert (window["type"], window["newest"]) == ("window", None)
    for frame in frames:
        assert frame == {"type": "frame", "newest": None, "feeds": window["feeds"], "counts": {}}
