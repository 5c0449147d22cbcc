"""Output of commands when it cannot be written: a command that works goes on, one that answers ends with an error."""

from __future__ import annotations

import errno
import gc
import logging
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

from django.conf import settings
from django.core.management.base import CommandError

from kpis.management.arguments import NegativeValues

logger = logging.getLogger(__name__)

# The exit status of a command that was called wrongly.
WRONG_USE = 2

# Django's system checks import all of the web, which takes three times as long as a command's own imports. They are for
# deployments: ``check`` and ``migrate`` run them.
NO_CHECKS = ()


class WorkCommand(NegativeValues):
    """A command whose output only reports its work.

    What cannot be written (a full disk, a closed pipe, a closed stream) is dropped and changes neither the work nor the
    exit status; letters that the encoding lacks are written as escapes. Either is reported once, on standard error.
    """

    requires_system_checks = NO_CHECKS

    def __init__(self, stdout: TextIO | None = None, stderr: TextIO | None = None, **options: Any) -> None:
        super().__init__(
            _best_effort(stdout or sys.stdout, self._report), _best_effort(stderr or sys.stderr), **options
        )

    def execute(self, *args: Any, **options: Any) -> str | None:
        if options.get("stderr"):
            options["stderr"] = _best_effort(options["stderr"])
        if options.get("stdout"):
            options["stdout"] = _best_effort(options["stdout"], self._report)
        return super().execute(*args, **options)

    def run_from_argv(self, argv: list[str]) -> None:
        # What is imported by now lives as long as the process. To search it for garbage, which Python does twice when
        # it ends, takes an eighth of a short run. Not where DuckDB is imported already: it reports frozen objects as
        # leaks on standard error.
        if "duckdb" not in sys.modules:
            gc.freeze()
        try:
            super().run_from_argv(argv)
        except BaseException:
            # The error's frames may refer to DuckDB's objects and to frozen ones in a circle.
            gc.unfreeze()
            raise
        finally:
            release()

    def _report(self, reason: str) -> None:
        text = f"Standard output {reason}."
        if settings.LOG_FORMAT:
            # Standard error is for log lines alone then.
            logger.warning(text)
        else:
            self.stderr.write(text)


class AnswerCommand(NegativeValues):
    """A command whose output is what it is for.

    Output that cannot be written ends it with 1 and the reason; a reader that has left the pipe ends it quietly.
    """

    requires_system_checks = NO_CHECKS

    def __init__(self, stdout: TextIO | None = None, stderr: TextIO | None = None, **options: Any) -> None:
        super().__init__(_checked(stdout or sys.stdout), _best_effort(stderr or sys.stderr), **options)

    def execute(self, *args: Any, **options: Any) -> str | None:
        if options.get("stdout"):
            options["stdout"] = _checked(options["stdout"])
        try:
            try:
                output = super().execute(*args, **options)
            except SystemExit:
                self.stdout.flush()
                raise
            self.stdout.flush()
        except ReaderLeft:
            return None
        return output

    def run_from_argv(self, argv: list[str]) -> None:
        try:
            super().run_from_argv(argv)
        finally:
            release()


class ReaderLeft(Exception):
    """The reader of the output has closed the pipe."""


class BestEffort:
    """A text stream that never raises: the first failure to write is passed to ``report``.

    Every text is flushed, so that it appears at once and a failure is noticed at once.
    """

    def __init__(self, stream: TextIO | None, report: Callable[[str], None] = lambda reason: None) -> None:
        self._stream, self._report = stream, report
        self._is_reported = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            self._write(text)
        except UnicodeEncodeError as error:
            self._report_once(f"cannot show every letter: its encoding is {error.encoding}")
            self._write_escaped(text, error.encoding)
        except (OSError, ValueError) as error:
            self._report_once(f"cannot be written: {reason_of(error)}; the work goes on without it")
        return len(text)

    def flush(self) -> None:
        """Do nothing: ``write`` has flushed."""

    def _write(self, text: str) -> None:
        if self._stream is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        self._stream.write(text)
        self._stream.flush()

    def _write_escaped(self, text: str, encoding: str) -> None:
        try:
            self._write(text.encode(encoding, "backslashreplace").decode(encoding))
        except (OSError, ValueError) as error:
            self._report_once(f"cannot be written: {reason_of(error)}; the work goes on without it")

    def _report_once(self, reason: str) -> None:
        if not self._is_reported:
            self._is_reported = True
            self._report(reason)


class Checked:
    """A text stream that raises CommandError when it cannot write, and ReaderLeft when the pipe was closed."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return self._checked(lambda stream: stream.write(text))

    def flush(self) -> None:
        self._checked(lambda stream: stream.flush())

    def _checked(self, act: Callable[[TextIO], Any]) -> Any:
        try:
            if self._stream is None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            return act(self._stream)
        except BrokenPipeError as error:
            raise ReaderLeft from error
        except UnicodeEncodeError as error:
            letter = error.object[error.start]
            raise CommandError(
                f"Standard output cannot be written: its encoding, {error.encoding}, lacks {letter!a}. "
                "Set PYTHONIOENCODING=utf-8."
            ) from error
        except (OSError, ValueError) as error:
            raise CommandError(f"Standard output cannot be written: {reason_of(error)}.") from error


# Both return Any: BestEffort and Checked pass other attributes on to the stream (__getattr__), which mypy cannot see.
def _best_effort(stream: TextIO | None, report: Callable[[str], None] = lambda reason: None) -> Any:
    return BestEffort(stream, report)


def _checked(stream: Any) -> Any:
    return stream if isinstance(stream, Checked) else Checked(stream)


def reason_of(error: Exception) -> str:
    """Return the system's message for a stream's error."""
    return (isinstance(error, OSError) and error.strerror) or str(error).rstrip(".")


def release() -> None:
    """Drop what the standard streams could not write, so that Python does not exit with 120."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except (OSError, ValueError):
            try:
                number = stream.fileno()
            except (OSError, ValueError):
                continue
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)
