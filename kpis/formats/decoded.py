"""Formats that are decoded: a file's content, or a message, becomes lines, which are then read as any other lines.

A row that cannot be decoded is a line too, so that a row's number is that of its line: a mark, the column, the reason
and the row's text. No reader takes it for a record.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

from kpis.catalog.formats import LineFormat
from kpis.catalog.plugin_formats import Refusal, Rows
from kpis.formats.bounds import FileError
from kpis.formats.content import BLOCK_BYTES

# The first byte of the line of a refused row: no text of a feed has it.
REFUSED_MARK = b"\x1a"
TEXT_BYTES = BUFFER_BYTES = 2**17
LONGEST_REASON, LONGEST_TEXT = 500, 10_000

logger = logging.getLogger(__name__)
# The titles of formats of which a fault was logged while a message was decoded.
_logged: set[str] = set()


class DecoderUnavailable(Exception):
    """What a decoder needs does not answer, which says nothing of the rows: they are read once it does."""


@dataclass(frozen=True)
class Decoded:
    """The lines that a feed's files and messages are decoded into; ``title`` names the format in messages.

    ``rows`` yields those of a file, and ``line`` returns that of a message, see ``PluginFormat``.
    """

    title: str
    lines: LineFormat
    rows: Callable[[BinaryIO], Iterator[Rows]]
    line: Callable[[bytes], Rows] | None = None

    @property
    def encoding(self) -> str:
        """The encoding of the lines."""
        return self.lines.encoding

    @property
    def blanks(self) -> bytes:
        """White space that is no delimiter."""
        return self.lines.blanks

    def chunks(self, content: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the lines of a file with this content in chunks; raises FileError if it cannot be decoded.

        A chunk has BLOCK_BYTES at most.
        """
        for text in self._texts(content):
            if len(text) <= BLOCK_BYTES:
                yield text
            else:
                for start in range(0, len(text), BLOCK_BYTES):
                    yield text[start : start + BLOCK_BYTES]

    def row_of(self, message: bytes) -> Rows:
        """Return the line of a message, or why there is none; raises DecoderUnavailable."""
        assert self.line is not None  # noqa: S101  the feed is streamable
        try:
            row = self.line(message)
            _check_type(row)
        except Exception as error:
            if isinstance(error, DecoderUnavailable) or _is_of_machine(error):
                raise
            if not isinstance(error, ValueError) and self.title not in _logged:
                _logged.add(self.title)
                logger.exception("fault of a format", extra={"format": self.title})
            return Refusal(self._reason(error))
        return row

    def _texts(self, content: Iterator[bytes]) -> Iterator[bytes]:
        first = next(content, b"")
        if not first:
            raise FileError("is empty")
        file = _Content(chain([first], content))
        # Few large texts, since a row may come singly.
        texts: list[bytes] = []
        size, is_empty = 0, True
        try:
            for row in self.rows(io.BufferedReader(file, BUFFER_BYTES)):
                text = row if type(row) is bytes else _line_of(row)
                texts.append(text if text.endswith(b"\n") else text + b"\n")
                size += len(text)
                if size >= TEXT_BYTES:
                    yield texts[0] if len(texts) == 1 else b"".join(texts)
                    texts, size, is_empty = [], 0, False
        except Exception as error:
            if file.error is not None:
                raise file.error from None
            if isinstance(error, FileError) or _is_of_machine(error):
                raise
            if isinstance(error, DecoderUnavailable):
                raise FileError(f"{error}", passing=True) from error
            if not isinstance(error, ValueError):
                logger.exception("fault of a format", extra={"format": self.title})
            raise FileError(self._reason(error)) from error
        if texts or is_empty:
            # A file without rows is none without content: a blank line is no row.
            yield b"".join(texts) or b"\n"
        for _ in content:
            # The digest is that of all of it.
            pass

    def _reason(self, error: Exception) -> str:
        """Return an error's own sentence if the decoder gives it, else its kind and text."""
        if type(error) is ValueError:
            return _on_a_line(f"{error}".rstrip(".") or f"is no {self.title}", LONGEST_REASON)
        return _on_a_line(f"cannot be read as {self.title}: {type(error).__name__}: {error}", LONGEST_REASON)


class _Content(io.RawIOBase):
    """Chunks of bytes as a file that can be read once; ``error`` is what ended it."""

    def __init__(self, chunks: Iterator[bytes]):
        self._chunks, self._rest = chunks, memoryview(b"")
        self.error: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        if not self._rest:
            try:
                # Of a packed file a chunk may be empty.
                self._rest = memoryview(next(filter(None, self._chunks), b""))
            except Exception as error:
                self.error = error
                raise
        count = min(len(room), len(self._rest))
        room[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def csv_line(values: Iterable[object]) -> Rows:
    """Return a row of a format whose lines are ``csv``: an empty field for None, and texts quoted where they need it.

    A row with a line end in a value is refused, as it cannot be a line.
    """
    texts = ["" if value is None else f"{value}" for value in values]
    line = ",".join(f'"{text.replace(chr(34), chr(34) * 2)}"' if _needs_quotes(text) else text for text in texts)
    return Refusal("holds a line end", text=line) if "\n" in line or "\r" in line else _encoded(line)


def json_line(values: Mapping[str, Any]) -> Rows:
    """Return a row of a format whose lines are ``json_lines``; other values than JSON has are texts."""
    return _encoded(json.dumps(values, ensure_ascii=False, separators=(",", ":"), default=str))


def _needs_quotes(text: str) -> bool:
    return '"' in text or "," in text or not text.isprintable()


def _encoded(line: str) -> bytes:
    # A surrogate alone is three bytes that are not valid UTF-8, which makes the row a reject.
    return line.encode("utf-8", "surrogatepass") + b"\n"


def _line_of(row: object) -> bytes:
    """Return a row, which is a line or refused, as a line."""
    _check_type(row)
    if not isinstance(row, Refusal):
        return bytes(row)  # type: ignore[call-overload]  # a subclass
    text = row.text if len(row.text) <= LONGEST_TEXT else f"{row.text[:LONGEST_TEXT]}..."
    reason = _on_a_line(row.reason, LONGEST_REASON)
    return REFUSED_MARK + json.dumps([row.column, reason, _valid(text)]).encode() + b"\n"


def _check_type(row: object) -> None:
    if not isinstance(row, bytes | Refusal):
        raise TypeError(f"a row must be bytes or a Refusal, not {type(row).__name__}")


def refusal_of(line: bytes) -> Refusal | None:
    """Return the refusal that a line of decoded text is; None for any other line."""
    if not line.startswith(REFUSED_MARK):
        return None
    try:
        found = json.loads(line[len(REFUSED_MARK) :])
    except (ValueError, RecursionError):
        found = None
    if not (isinstance(found, list) and len(found) == 3 and all(isinstance(one, str) for one in found)):
        # A plug-in's own line.
        return None
    column, reason, text = found
    return Refusal(reason, column, text)


def _is_of_machine(error: Exception) -> bool:
    """Return True for an error of the system, memory or an installation; errors of damaged data have no number."""
    return isinstance(error, MemoryError | ImportError) or (isinstance(error, OSError) and error.errno is not None)


def _on_a_line(text: str, longest: int) -> str:
    text = "".join(one if one.isprintable() else "?" for one in " ".join(text.split()))
    return text if len(text) <= longest else f"{text[:longest]}..."


def _valid(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
