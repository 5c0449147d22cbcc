"""Processes of ``manage.py`` that start as forks of one that has imported what all of them import.

Tests start hundreds, and the imports take each about 0.4 s. A fork has its own settings, database and memory, and ends
by any signal, as any process does. It has not the resource limits of the test's process.

This module is also the program that is forked. A request is a command line, an environment, a folder and three pipes.
For each, the program forks a keeper, which forks the command and reports its process id and then its status.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parents[1]
# What runs and consumers import that needs no settings. DuckDB is not among it, as a command does without it while it
# can, and freezes its memory only then.
IMPORTED = (
    "axes",
    "blake3",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.core.management",
    "django.db.migrations",
    "django.views.debug",
    "django_filters",
    "drf_spectacular",
    "kpis.pipeline",
    "kpis.catalog.registry",
    "kpis.management.output",
    "kpis.stages.group",
    "kpis.stages.read",
    "kpis.store.dialects",
    "numpy",
    "rest_framework",
    "sqlparse",
    "whitenoise",
    "zstandard",
)
# Of a request, with its two pipes and its connection.
REQUEST_BYTES = 1 << 20


class Fork:
    """A command that was started as a fork, with what tests use of ``subprocess.Popen``."""

    def __init__(self, words: list[str], environment: dict[str, str]):
        self.args, self.returncode = words, None
        out, err, report = os.pipe(), os.pipe(), os.pipe()
        request = json.dumps([words, environment, os.getcwd()]).encode()
        socket.send_fds(_server(), [request], [out[1], err[1], report[1]])
        for pipe in (out, err, report):
            os.close(pipe[1])
        self.stdout, self.stderr, self._report = (os.fdopen(pipe[0], errors="replace") for pipe in (out, err, report))
        self.pid = int(self._report.readline())
        self._readers: dict[TextIO, threading.Thread] = {}
        self._read_by_now: dict[TextIO, str] = {}

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._report], [], [], 0)[0]:
            self._ended()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._report], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            self._ended()
        return self.returncode

    def _ended(self) -> None:
        self.returncode = os.waitstatus_to_exitcode(int(self._report.readline()))
        self._report.close()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        end = None if timeout is None else time.monotonic() + timeout
        for pipe in (self.stdout, self.stderr):
            if pipe not in self._readers:
                self._readers[pipe] = threading.Thread(target=self._read, args=(pipe,), daemon=True)
                self._readers[pipe].start()
        for reader in self._readers.values():
            reader.join(None if end is None else max(0, end - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout)
        self.wait(None if end is None else max(0, end - time.monotonic()))
        return self._read_by_now[self.stdout], self._read_by_now[self.stderr]

    def _read(self, pipe: TextIO) -> None:
        self._read_by_now[pipe] = pipe.read()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def __enter__(self) -> Fork:
        return self

    def __exit__(self, *_) -> None:
        for pipe in (self.stdout, self.stderr):
            # A pipe that is still read, as a process that the command left behind has it, cannot be closed.
            if pipe not in self._readers or not self._readers[pipe].is_alive():
                pipe.close()
        self.wait()


@cache
def _server() -> socket.socket:
    """The connection to the program, which ends when the connection does."""
    own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    number = other.fileno()
    # As in other processes of tests, what is written is written at once; and NumPy starts no threads.
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "OPENBLAS_NUM_THREADS": "1"}
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.forks", str(number)], cwd=ROOT, env=environment, pass_fds=[number]
    )
    other.close()

    @atexit.register
    def end() -> None:
        own.close()
        program.wait()

    return own


def _command(requests: socket.socket) -> list[str]:
    """Serves requests; in the process that was forked for a request, returns its command line."""
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    # A keeper that ended is not waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        request, pipes, _, _ = socket.recv_fds(requests, REQUEST_BYTES, 3)
        if not request:
            os._exit(0)
        if os.fork() == 0:
            break
        for pipe in pipes:
            os.close(pipe)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    requests.close()
    out, err, report = pipes
    process = os.fork()
    if process:
        os.close(out)
        os.close(err)
        os.write(report, f"{process}\n".encode())
        os.write(report, f"{os.waitpid(process, 0)[1]}\n".encode())
        os._exit(0)
    os.close(report)
    for pipe, number in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
        os.dup2(pipe, number)
        os.close(pipe)
    # A suite that runs in the background ignores these signals, and its processes would too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    words, environment, folder = json.loads(request)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    return words


if __name__ == "__main__":
    sys.argv = _command(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_path(sys.argv[0], run_name="__main__")
