"""The live page on streams of sample calls and messages, with all that it needs, until Ctrl-C; for `make stream-demo`.

The broker is in this process; the database and the lake are in a temporary folder. Nothing else is changed.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kpis import extras
from kpis.sample.broker import embedded_broker

BASE = Path(__file__).resolve().parents[1]
# The feeds, each with its messages per second, and further options of its stream.
FEEDS = {"cdr": (6000, ["--disturb"]), "antenna": (1000, [])}
PATIENCE_SECONDS = 30


class DemoError(Exception):
    """The demo cannot go on; the message gives the reason."""


class Demo:
    """The processes, each with a name for messages, in the order in which they are ended."""

    def __init__(self, folder: Path, servers: str, port: int):
        self._servers, self.address = servers, f"http://127.0.0.1:{port}/live/"
        self._environment = {
            **os.environ,
            "PYTHON_DOTENV_DISABLED": "1",
            "SECRET_KEY": secrets.token_urlsafe(50),
            "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
            "LAKE_DIR": str(folder / "lake"),
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._port = port

    def start(self) -> None:
        """Start everything, and wait until the page can be opened. Raises DemoError."""
        subprocess.run(self._manage("migrate", "-v0"), env=self._environment, check=True)
        for feed, (rate, options) in FEEDS.items():
            self._start(
                f"producer of {feed}",
                self._manage(*self._stream("produce_sample_stream", feed), f"--rate={rate}", *options),
            )
        for feed in FEEDS:
            self._start(
                f"consumer of {feed}", self._manage(*self._stream("consume_stream", feed), "--group=demo", "-v0")
            )
        server = ["uvicorn", "network_analysis.asgi:application", "--host=127.0.0.1", f"--port={self._port}"]
        self._start("web", [sys.executable, "-m", *server, "--log-level=warning", "--timeout-graceful-shutdown=2"])
        stopped = threading.Event()
        for _ in range(10 * PATIENCE_SECONDS):
            self.check()
            try:
                with urllib.request.urlopen(self.address, timeout=PATIENCE_SECONDS):  # noqa: S310 our own
                    return
            except OSError:
                stopped.wait(0.1)
        raise DemoError(f"the web does not answer at {self.address}")

    def check(self) -> None:
        """Raise DemoError if a process has ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise DemoError(f"the {name} ended by itself, with {process.returncode}")

    def end(self) -> None:
        """End one process after the other, each once it has finished its current work."""
        for process in self._processes.values():
            process.terminate()
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _stream(self, command: str, feed: str) -> list[str]:
        return [command, f"--feed={feed}", f"--bootstrap-servers={self._servers}", f"--topic={feed}"]

    def _manage(self, *arguments: str) -> list[str]:
        return [sys.executable, str(BASE / "manage.py"), *arguments]

    def _start(self, name: str, command: list[str]) -> None:
        self._processes[name] = subprocess.Popen(command, cwd=BASE, env=self._environment, stdin=subprocess.DEVNULL)


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Return an event that a signal to stop sets."""
    stopped = threading.Event()
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, lambda *_: stopped.set())
    yield stopped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    if not extras.is_installed("kafka"):
        sys.exit(extras.missing("kafka", "The demo's streams need"))
    with (
        stop_signals() as stopped,
        tempfile.TemporaryDirectory(prefix="stream-demo-") as folder,
        embedded_broker(*FEEDS) as servers,
    ):
        demo = Demo(Path(folder), servers, options.port)
        try:
            demo.start()
            sys.stdout.write(f"The live page: {demo.address}\nCtrl-C ends it all, and leaves nothing behind.\n")
            sys.stdout.flush()
            while not stopped.wait(0.5):
                demo.check()
        except (DemoError, subprocess.CalledProcessError) as error:
            # After a Ctrl-C all of them end.
            if not stopped.is_set():
                sys.exit(f"The demo ends: {error}.")
        finally:
            demo.end()


if __name__ == "__main__":
    main()
