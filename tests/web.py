"""A real web server, uvicorn, over a place's database."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from tests.processes import PATIENCE, Place


class Web:
    """One web process that serves; ``address`` is its host and port, ``log`` what it said."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path):
        self.process, self.address, self._log = process, f"127.0.0.1:{port}", log

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def memory(self) -> int:
        """The bytes of memory that it has."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    @property
    def seconds(self) -> float:
        """The seconds of a core that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running_web(place: Place, *options: str, port: int = 0, **variables: str) -> Iterator[Web]:
    """A web server on a free port, or on that one, by uvicorn's ``options``."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "network_analysis.asgi:application", "--port", str(port), *options],
                cwd=settings.BASE_DIR,
                env=place.environment(**variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield Web(process, _port(process, log), log)
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE)


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port that a server says it serves on."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        found = re.search(r"running on http://127\.0\.0\.1:(\d+)", log.read_text())
        if found:
            return int(found[1])
        try:
            process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
        break
    raise AssertionError(f"The web server does not serve: {log.read_text()}")
