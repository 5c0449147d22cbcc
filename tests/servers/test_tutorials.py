"""The commands that README and tutorials show run as shown, one after the other, in a copy of the project."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from django.conf import settings

# In this order: the pages that a newcomer follows.
PAGES = ("README.md", "docs/tutorial/first-run.md", "docs/tutorial/first-kpi.md", "docs/how-to/own-records.md")
# Commands that run until they are ended.
SERVERS = ("make serve",)
ADDRESS = "127.0.0.1:8000"
PATIENCE = 600

pytestmark = pytest.mark.sqlite_alone


@dataclass(frozen=True)
class Step:
    """A command of a page, and the output that the page shows below it; None where it shows none."""

    command: str
    output: str | None


def steps(text: str) -> Iterator[Step]:
    """The commands of a page's ``sh`` and ``console`` blocks, in order.

    A ``sh`` block is one script, but for the lines that start a server. In a ``console`` block a command follows ``$``,
    and goes on after a line that ends with a backslash.
    """
    for language, block in re.findall(r"^```(sh|console)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE):
        if language == "console":
            for command, output in re.findall(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", block, flags=re.MULTILINE):
                yield Step(command, output)
        else:
            lines = [line for line in block.splitlines() if line.partition("#")[0].strip() not in SERVERS]
            if "".join(lines).strip():
                yield Step("\n".join(lines), None)
            yield from (Step(server, None) for server in SERVERS if len(lines) < len(block.splitlines()))


def shows(page: str, printed: str) -> bool:
    """True if a page shows what was printed: line breaks and durations may differ, ``...`` stands for any text."""
    wanted, given = ("".join(re.sub(r"\b[0-9.]+ s\b", "N s", text).split()) for text in (page, printed))
    return re.fullmatch(".*".join(map(re.escape, wanted.split("..."))), given) is not None


class Checkout:
    """A copy of the project with this virtual environment, in which a page's commands are run by a shell."""

    def __init__(self, folder: Path):
        self.tree = folder / "network-analysis"
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=settings.BASE_DIR,
            capture_output=True,
            text=True,
            check=False,
        )
        if listed.returncode:
            pytest.skip("needs the project as a Git checkout")
        built = [
            str(path.relative_to(settings.BASE_DIR)) for path in (settings.BASE_DIR / "kpis").rglob("scanner-*.so")
        ]
        for name in [*filter(None, listed.stdout.split("\0")), *built]:
            if (settings.BASE_DIR / name).is_file():
                (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(settings.BASE_DIR / name, self.tree / name)
        (self.tree / ".venv").symlink_to(sys.prefix)
        # The environment is there already: make takes `setup` as done.
        (folder / "bin").mkdir()
        (folder / "bin" / "make").write_text(f'#!/bin/sh\nexec {shutil.which("make")} -o setup "$@"\n')
        (folder / "bin" / "make").chmod(0o755)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.environment = {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PORT": str(self.port),
        }

    def run(self, command: str) -> subprocess.CompletedProcess:
        """Runs a command of a page, its errors among its output."""
        done = subprocess.run(
            ["bash", "-e", "-c", command.replace(ADDRESS, f"127.0.0.1:{self.port}")],
            cwd=self.tree,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        done.stdout = done.stdout.replace(f"127.0.0.1:{self.port}", ADDRESS)
        return done

    @contextmanager
    def server(self, command: str) -> Iterator[None]:
        """Starts a command that does not end, and ends it; inside it answers at its address."""
        with (self.tree.parent / "server.log").open("w") as log:
            process = subprocess.Popen(
                command.split(),
                cwd=self.tree,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            until = time.monotonic() + PATIENCE
            while not self._answers():
                assert process.poll() is None, (self.tree.parent / "server.log").read_text()
                assert time.monotonic() < until, (self.tree.parent / "server.log").read_text()
                time.sleep(0.2)
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(PATIENCE)

    def _answers(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/") as answer:
                return answer.status == 200
        except (URLError, ConnectionError):
            return False

    def follow(self, page: Path) -> None:
        """Runs a page's commands in order; fails where one fails, or prints what the page does not show."""
        with ExitStack() as servers:
            for step in steps(page.read_text()):
                if step.command in SERVERS:
                    servers.enter_context(self.server(step.command))
                    continue
                done = self.run(step.command)
                assert done.returncode == 0, f"{page.name}: {step.command}\n{done.stdout}"
                if step.output is not None:
                    assert shows(step.output, done.stdout), f"{page.name}: {step.command}\n{done.stdout}"


def test_the_commands_of_readme_and_tutorials_run_and_print_what_the_pages_show(tmp_path):
    checkout = Checkout(tmp_path)
    for page in PAGES:
        checkout.follow(settings.BASE_DIR / page)


def test_a_page_that_shows_something_else_is_noticed():
    assert shows("1 file ingested, 0 failed, 0.3 s\n", "1 file ingested, 0 failed, 17.2 s\n")
    assert not shows("1 file ingested, 0 failed, 0.3 s\n", "1 file ingested, 1 failed, 0.3 s\n")
    assert shows("first\n...\nlast\n", "first\nsecond\nlast\n")
    assert not shows("first\n...\nlast\n", "second\nlast\n")
