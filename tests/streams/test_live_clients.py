"""Hundreds of open pages on one web process, fed by a real consumer: all get each frame, and none waits for another.

``LIVE_FRAMES`` sets for how many frames they look (8 by default), ``LIVE_CLIENTS`` how many they are (500).
``LIVE_SECONDS`` measures for so long how late records are on a page at 6,000 a second, and ``LIVE_RATE`` at another
rate; ``-o log_cli_level=INFO`` shows the figures.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from dataclasses import dataclass, field

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.broker import Broker, mock_broker
from tests.processes import PATIENCE, Place
from tests.services import Redis, running
from tests.twin import Call
from tests.web import Web, running_web

pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed: streams are left out")
logger = logging.getLogger(__name__)
pytestmark = pytest.mark.django_db(transaction=True)

FRAMES = int(os.environ.get("LIVE_FRAMES", "8"))
CLIENTS = int(os.environ.get("LIVE_CLIENTS", "500"))
SLOW = 10
SECONDS = int(os.environ.get("LIVE_SECONDS", "0"))
RATE = int(os.environ.get("LIVE_RATE", "6000"))
TICKS = 20
# A client that waits for a busy server, and does not ask it whether it is there.
PATIENT = {"open_timeout": PATIENCE, "ping_interval": None}
# A server that does not ask its clients either: a slow page answers nothing, however long a busy machine takes.
UNASKING = f"--ws-ping-interval={PATIENCE}"
LONG_AGO = 1626566400  # 2021-07-18T00:00:00Z
COUNTIES = [f"County {number}" for number in range(58)]
OPERATORS = ("AT&T", "Sprint", "T-Mobile", "Verizon")


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with mock_broker() as broker:
        yield broker


@contextmanager
def calls_coming(broker: Broker, topic: str, rate: int = 300) -> Iterator[list[tuple[float, int]]]:
    """Puts so many calls a second into a topic, each with the time of now, as long as it is open.

    Gives when (by the monotonic clock) how many were put in.
    """
    made: list[tuple[float, int]] = []
    is_over, random_ = threading.Event(), random.Random(1)  # noqa: S311

    def produce() -> None:
        began = time.monotonic()
        while not is_over.wait(max(0, began + len(made) / TICKS - time.monotonic())):
            moment = int(time.time())
            number = rate // TICKS
            some = zip(random_.choices(COUNTIES, k=number), random_.choices(OPERATORS, k=number), strict=True)
            lines = [Call(moment, county, operator, "CALL").line() for county, operator in some]
            made.append((time.monotonic(), number))
            broker.put(topic, lines)

    thread = threading.Thread(target=produce)
    thread.start()
    try:
        yield made
    finally:
        is_over.set()
        thread.join()


@contextmanager
def consuming(place: Place, broker: Broker, topic: str, **variables: str) -> Iterator[None]:
    """A consumer at work on the topic, which has one call of long ago."""
    broker.put(topic, [Call(LONG_AGO, COUNTIES[0], OPERATORS[0], "CALL").line()])
    arguments = ("--feed=cdr", f"--bootstrap-servers={broker.servers}", f"--topic={topic}", f"--group={topic}")
    process = place.start("consume_stream", *arguments, "-v1", **variables)
    try:
        process.stdout.readline()
        # Nobody reads on.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield
    finally:
        process.terminate()
        assert process.wait(timeout=PATIENCE) == 0, process.stderr.read()
        process.stdout.close()
        process.stderr.close()


@dataclass
class Page:
    """An open page: what it was sent, and when."""

    socket: ClientConnection
    texts: list[str] = field(default_factory=list)
    moments: dict[str, float] = field(default_factory=dict)

    async def read(self) -> None:
        async for text in self.socket:
            self.texts.append(text)
            self.moments[text] = time.monotonic()


class SlowPage:
    """A page that is opened and then not read from, as behind a bad connection."""

    def __init__(self, address: str):
        host, port = address.split(":")
        self._socket = socket.socket()
        # Else the kernel would keep as much for it as a minute brings.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
        self._socket.connect((host, int(port)))
        self.port = self._socket.getsockname()[1]
        self._socket.sendall(
            f"GET /ws/live/ HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )

    def await_answer(self) -> None:
        """Waits until the server has let it in, and reads nothing."""
        self._socket.recv(1, socket.MSG_PEEK)

    def read(self, number: int) -> list[dict]:
        """Reads the first so many of the messages that wait for it."""
        with self._socket.makefile("rb") as file:
            while file.readline() != b"\r\n":
                pass
            return [json.loads(self._message(file)) for _ in range(number)]

    def close(self) -> None:
        self._socket.close()

    @staticmethod
    def _message(file) -> bytes:
        opcode, length = file.read(2)
        assert opcode == 0x81
        if length >= 126:
            length = int.from_bytes(file.read(2 if length == 126 else 8))
        return file.read(length)


async def opened(web: Web, number: int, stack: AsyncExitStack) -> list[Page]:
    """So many pages that have their window, and go on reading."""
    pages = []
    for first in range(0, number, 50):
        opening = (
            connect(f"ws://{web.address}/ws/live/", compression=None, max_size=None, **PATIENT)
            for _ in range(min(50, number - first))
        )
        pages += [Page(one) for one in await asyncio.gather(*opening)]
    for page in pages:
        stack.push_async_callback(page.socket.close)
        task = asyncio.create_task(page.read())
        stack.callback(task.cancel)
    await until(lambda: all(page.texts for page in pages))
    return pages


async def until(is_so, patience: float = PATIENCE) -> None:
    async with asyncio.timeout(patience):
        while not is_so():
            await asyncio.sleep(0.01)


def check_frames(pages: list[Page], first: int, number: int) -> list[float]:
    """Checks that all pages got the first one's messages from there on; gives the median's delay after the first."""
    delays = []
    texts = pages[0].texts[first : first + number]
    for text in texts:
        assert json.loads(text)["type"] == "frame"
        # Fails with a KeyError for a page that was left out.
        moments = [page.moments[text] for page in pages]
        delays.append(statistics.median(moments) - min(moments))
    for page in pages:
        assert [text for text in page.texts if text in texts] == texts
    return delays


async def look(web: Web) -> None:
    """Hundreds of pages, some of them slow, that look for FRAMES frames."""
    async with AsyncExitStack() as stack:
        pages = await opened(web, CLIENTS - SLOW, stack)
        slow = [stack.enter_context(closing(SlowPage(web.address))) for _ in range(SLOW)]
        await asyncio.gather(*(asyncio.to_thread(one.await_answer) for one in slow))
        # Two more frames: then the slow ones have all that they will ever be kept.
        first = len(pages[0].texts) + 2
        await until(lambda: len(pages[0].texts) >= first)
        before = web.memory
        await until(lambda: all(len(page.texts) >= first + FRAMES for page in pages))
        growth = web.memory - before
        delays = check_frames(pages, first, FRAMES)
        logger.info("median delays after the first page: %s s", [round(delay, 3) for delay in sorted(delays)])
        logger.info("the server's memory: %s bytes and %s more; %.2f s of a core", before, growth, web.seconds)
        assert growth < 10 * 2**20
        # All there was when it opened, the one that was on its way, and all there is now.
        kinds = await asyncio.gather(*(asyncio.to_thread(one.read, 3) for one in slow))
        for window, frame, now in kinds:
            assert [window["type"], frame["type"], now["type"]] == ["window", "frame", "window"]
            assert now["newest"] >= json.loads(pages[0].texts[first + FRAMES - 1])["newest"]


@pytest.mark.sqlite_alone
def test_hundreds_of_pages_get_each_frame_at_once_and_none_waits_for_a_slow_one(place, broker):
    with (
        calls_coming(broker, "many"),
        consuming(place, broker, "many"),
        running_web(place, UNASKING, ANONYMOUS_RATE="off") as web,
    ):
        asyncio.run(look(web))


@pytest.mark.sqlite_alone
def test_through_redis_pages_hear_of_each_batch(place, broker):
    with (
        running(Redis) as redis,
        calls_coming(broker, "redis"),
        consuming(place, broker, "redis", REDIS_URL=redis.url),
        running_web(place, UNASKING, ANONYMOUS_RATE="off", REDIS_URL=redis.url) as web,
    ):
        asyncio.run(look(web))


def test_each_record_is_on_the_page_once(place, broker):
    with consuming(place, broker, "soon"), running_web(place) as web:
        asyncio.run(watch(web, broker))


async def watch(web: Web, broker: Broker) -> None:
    """Counts what a page is shown of the calls that come, and how long after they did."""
    async with AsyncExitStack() as stack:
        (page,) = await opened(web, 1, stack)
        rate, seconds = (RATE, SECONDS) if SECONDS else (300, 3)
        with calls_coming(broker, "soon", rate) as made:
            await until(lambda: len(made) >= seconds * TICKS, seconds + PATIENCE)
        total = sum(number for _, number in made)
        await until(lambda: shown(page)[-1][1] >= total)
        assert shown(page)[-1][1] == total
        delays = sorted(delay for delay, number in _delays(made, shown(page)) for _ in range(number))
        median, late = statistics.median(delays), delays[len(delays) * 99 // 100]
        logger.info("%s records, %s a second: on the page after %.2f s, 99 %% by %.2f s", total, rate, median, late)


def shown(page: Page) -> list[tuple[float, int]]:
    """When a page was shown how many calls, over all counties and seconds."""
    counts: dict[tuple[str, int], int] = {}
    totals = [(0.0, 0)]
    for text in page.texts:
        message = json.loads(text)
        for county, seconds in message["counts"].get("county", {}).items():
            if message["type"] == "window":
                seconds = [(message["newest"] - back, count) for back, count in enumerate(reversed(seconds)) if count]
            counts |= {(county, second): count for second, count in seconds}
        totals.append((page.moments[text], sum(counts.values())))
    return totals


def _delays(made: list[tuple[float, int]], totals: list[tuple[float, int]]) -> Iterator[tuple[float, int]]:
    """How long after they were made how many calls were shown, the first made first."""
    places = iter(totals)
    moment, total = next(places)
    put_in = 0
    for made_at, number in made:
        put_in += number
        while total < put_in:
            moment, total = next(places)
        yield moment - made_at, number
