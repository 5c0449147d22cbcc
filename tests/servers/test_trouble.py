"""A bad day for the web: many readers, long exports and live pages, while runs replace a file again and again.

``LONG=1`` is the full form: 1,000,000 rows, 32 clients, 60 runs and 300 live pages.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import itertools
import json
import socket
import threading
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections
from websockets.asyncio.client import connect

from kpis.models import AntennaTrafficVolume, Batch, IntervalSummary
from tests.effort import LONG
from tests.processes import PATIENCE, Place
from tests.streams.test_live_clients import PATIENT, SlowPage, until
from tests.twin import FIVE_MINUTES, Message, file_text, moment, uuid
from tests.web import Web, running_web

pytestmark = pytest.mark.django_db(transaction=True)

ROWS, CLIENTS, RUNS, PAGES, BROKEN = (1_000_000, 32, 60, 300, 20) if LONG else (20_000, 4, 3, 30, 3)
START = 1626566400  # 2021-07-18T00:00:00Z
INTERVALS, ANTENNAS = 6, 30
# Long before what the runs write.
OLD = moment(START) - timedelta(days=3650)
OLD_ANTENNAS = 1000
BELOW = 200 * 2**20


def write(place: Place, revision: int) -> None:
    """The file in another revision: in each interval each antenna has so many bytes."""
    messages = [
        Message(START + i * 300, device=1, antenna=antenna, bytes=revision, app="x")
        for i in range(INTERVALS)
        for antenna in range(ANTENNAS)
    ]
    aside = place.data / ".antenna_data.1.jsonl"
    aside.write_text(file_text(messages))
    aside.rename(place.data / "antenna_data.1.jsonl")


def fill(place: Place) -> None:
    """Puts ROWS old results in."""
    rows = (
        AntennaTrafficVolume(
            interval_start_timestamp=OLD + timedelta(minutes=5 * i),
            interval_end_timestamp=OLD + timedelta(minutes=5 * i + 5),
            interval=FIVE_MINUTES,
            rank=antenna + 1,
            antenna_id=uuid(antenna),
            total_bytes=7,
        )
        for i in range(ROWS // OLD_ANTENNAS)
        for antenna in range(OLD_ANTENNAS)
    )
    with place.alias() as alias:
        while some := list(itertools.islice(rows, 5000)):
            AntennaTrafficVolume.objects.using(alias).bulk_create(some)


class Readers:
    """Clients that ask until the runs are over, and check each answer."""

    def __init__(self, web: Web):
        self._web = web
        self.is_over = threading.Event()
        self.answers = self.exports = 0

    def read_lists(self) -> None:
        since = "interval=1&interval_start_timestamp__gte=2021-07-18T00:00:00Z"
        addresses = itertools.cycle([f"/api/KPIs/3/?{since}", "/", "/kpis/3/", "/api/intervals/", "/api/batches/"])
        for address in addresses:
            with urllib.request.urlopen(f"http://{self._web.address}{address}", timeout=PATIENCE) as answer:
                assert answer.status == 200
                body = answer.read()
            if address.startswith("/api/KPIs/3/"):
                self._check((row["interval_start_timestamp"], row["total_bytes"]) for row in json.loads(body))
            self.answers += 1
            if self.is_over.is_set():
                return

    def export(self) -> None:
        while True:
            address = f"http://{self._web.address}/api/KPIs/3/?format=csv&interval=1"
            with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
                rows = csv.DictReader(line.decode() for line in answer)
                found = [(row["interval_start_timestamp"], int(row["total_bytes"])) for row in rows]
            assert len(found) == ROWS + INTERVALS * ANTENNAS
            self._check(one for one in found if one[0] >= "2021")
            self.exports += 1
            if self.is_over.is_set():
                return

    @staticmethod
    def _check(found: Iterator[tuple[str, int]]) -> None:
        """All rows are of one revision of the file, and none is missing."""
        intervals = defaultdict(list)
        for start, size in found:
            intervals[start].append(size)
        assert len(intervals) == INTERVALS
        (revision,) = {size for sizes in intervals.values() for size in sizes}
        assert [len(sizes) for sizes in intervals.values()] == [ANTENNAS] * INTERVALS
        assert revision > 0


async def live(web: Web, is_over: threading.Event) -> tuple[int, int]:
    """PAGES live pages, of which BROKEN never read and BROKEN vanish; gives how many were served and dropped."""
    async with contextlib.AsyncExitStack() as stack:
        deaf = [stack.enter_context(contextlib.closing(SlowPage(web.address))) for _ in range(BROKEN)]
        vanishing = [SlowPage(web.address) for _ in range(BROKEN)]
        pages = [
            await stack.enter_async_context(
                connect(f"ws://{web.address}/ws/live/", compression=None, max_size=None, **PATIENT)
            )
            for _ in range(PAGES - 2 * BROKEN)
        ]
        for one in vanishing:
            vanish(one._socket)
        types = [json.loads(await page.recv())["type"] for page in pages]
        assert set(types) == {"window"}
        while not is_over.is_set():
            # Silent frames come every ten seconds; they are read all along.
            await asyncio.gather(*(_read(page) for page in pages))
        # The server has closed those that answer none of its pings.
        await until(lambda: open_sockets(web, deaf + vanishing) == 0)
        return len(pages), len(deaf) + len(vanishing)


async def _read(page) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            await page.recv()


def vanish(one: socket.socket) -> None:
    """Closes a connection without a word to the other side, where this process may."""
    with contextlib.suppress(PermissionError):
        one.setsockopt(socket.IPPROTO_TCP, 19, 1)  # TCP_REPAIR
    one.close()


def open_sockets(web: Web, of: list[SlowPage]) -> int:
    """How many of the pages' connections the server still has."""
    ports = {f"{page.port:04X}" for page in of}
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file][1:]
    own = f"{int(web.address.rpartition(':')[2]):04X}"
    return sum(row[1].endswith(f":{own}") and row[2].rpartition(":")[2] in ports and row[3] == "01" for row in rows)


def test_a_day_of_trouble_has_no_error_no_mixed_answer_and_flat_memory(place):
    fill(place)
    write(place, 1)
    assert place.run().code == 0
    with running_web(place, "--ws-ping-interval=5", "--ws-ping-timeout=10", ANONYMOUS_RATE="off") as web:
        readers = Readers(web)
        with ThreadPoolExecutor(CLIENTS + 3) as threads:
            work = [threads.submit(readers.read_lists) for _ in range(CLIENTS)]
            work += [threads.submit(readers.export) for _ in range(2)]
            pages = threads.submit(asyncio.run, live(web, readers.is_over))
            memory = []
            try:
                for revision in range(2, RUNS + 2):
                    write(place, revision)
                    ended = place.run()
                    assert (ended.code, ended.err) == (0, "")
                    memory.append(web.memory)
                    check_whole(place, revision)
            finally:
                readers.is_over.set()
            for one in work:
                one.result()
            assert pages.result() == (PAGES - 2 * BROKEN, 2 * BROKEN)
        assert readers.answers >= CLIENTS
        assert readers.exports >= 2
        assert max(memory) - memory[0] < BELOW
        assert "Traceback" not in web.log
        assert "locked" not in web.log


def test_what_a_page_reads_in_several_queries_is_of_one_moment(place):
    code = """
import subprocess, sys
from kpis.models import Watermark
from kpis.query.snapshot import snapshot
made = "feed='cdr', newest_interval_end='2021-07-18T00:00Z'"
write = f"from kpis.models import Watermark; Watermark.objects.create({made})"
with snapshot():
    before = Watermark.objects.count()
    subprocess.run([sys.executable, sys.argv[0], "shell", "-v0", "-c", write], check=True)
    print(before, Watermark.objects.count(), end=" ")
print(Watermark.objects.count())
"""
    ended = place.run("shell", "-v0", "-c", code)
    assert (ended.err, ended.out) == ("", "0 0 1\n")


def check_whole(place: Place, revision: int) -> None:
    with place.alias() as alias:
        summaries = IntervalSummary.objects.using(alias).filter(kpi=3, interval=FIVE_MINUTES)
        assert set(summaries.values_list("total", "groups")) == {(revision * ANTENNAS, ANTENNAS)}
        assert Batch.objects.using(alias).get().revision == revision
        assert connections[alias].in_atomic_block is False
