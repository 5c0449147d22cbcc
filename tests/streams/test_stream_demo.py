"""`make stream-demo`, as somebody uses it: it starts, the page has what comes in, and Ctrl-C leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import PATIENCE

pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed: streams are left out")
websockets = pytest.importorskip("websockets")

BASE = Path(__file__).resolve().parents[2]


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def first_figures(address: str) -> dict:
    """The first message in which calls and messages have come in."""
    async with asyncio.timeout(PATIENCE), websockets.connect(address, max_size=None, open_timeout=PATIENCE) as line:
        while True:
            message = json.loads(await line.recv())
            if all(message["feeds"][feed]["rate"] > 0 for feed in ("cdr", "antenna")):
                return message


def test_the_demo_streams_and_leaves_nothing_behind(tmp_path, unused_port):
    demo = subprocess.Popen(
        [sys.executable, "-m", "scripts.stream_demo", "--port", str(unused_port)],
        cwd=BASE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Ctrl-C goes to all processes of a terminal, and so here.
        start_new_session=True,
    )
    with demo:
        (address,) = re.findall(r"http://\S+", demo.stdout.readline())
        assert address == f"http://127.0.0.1:{unused_port}/live/"
        message = asyncio.run(first_figures(f"ws://127.0.0.1:{unused_port}/ws/live/"))
        assert {feed["consumers"] for feed in message["feeds"].values()} == {1}
        os.killpg(demo.pid, signal.SIGINT)
        said, failed = demo.communicate(timeout=PATIENCE)
    assert demo.returncode == 0, failed
    assert failed == ""
    assert len(re.findall(r"[0-9,]+ messages in .* a second", said)) == 2
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(demo.pid, 0)
