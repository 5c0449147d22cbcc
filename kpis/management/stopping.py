"""Stop a command at the next safe point, on SIGTERM and SIGINT."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal ended the command."""

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(f"Stopped by {self.signal.name}.")


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise Stopped at the first signal to stop, so that temporary files are removed and the ledger records it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def stop(number: int, _: FrameType | None) -> NoReturn:
        for one in former:
            signal.signal(one, signal.SIG_IGN)
        received.append(number)
        raise Stopped(number)

    # A signal that the parent process made this one ignore, as nohup does, stays ignored.
    former = {one: signal.getsignal(one) for one in STOPPING if signal.getsignal(one) != signal.SIG_IGN}
    for one in former:
        signal.signal(one, stop)
    try:
        yield
    except Exception as error:
        # The interrupted work may raise an error of its own, as DuckDB's queries do.
        if received:
            raise Stopped(received[0]) from error
        raise
    finally:
        for one, handler in former.items():
            signal.signal(one, handler)


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Return a callable that is True once a signal to stop has come; nothing is interrupted."""
    received: list[int] = []
    former = {one: signal.getsignal(one) for one in STOPPING if signal.getsignal(one) != signal.SIG_IGN}
    for one in former:
        signal.signal(one, lambda number, _: received.append(number))
    try:
        yield lambda: bool(received)
    finally:
        for one, handler in former.items():
            signal.signal(one, handler)
