"""A file's text: in UTF-8, whatever its encoding, and without what precedes its header or first row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from kpis.catalog.formats import CSV, ENCODINGS, LineFormat
from kpis.formats.bounds import FileError
from kpis.formats.content import GZIP_MARK, ZSTD_MARK, evened
from kpis.formats.decoded import Decoded

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UTF_16_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
# No text in UTF-8 has it.
UNDECODED = b"\xff"


class Text:
    """The text of a feed's file; ``passed`` is the number of its first lines that are a preamble, comments and blank.

    It ``is_plain`` if every file's content is its text.
    """

    def __init__(self, format: LineFormat | Decoded):
        self._format = format
        self.passed = 0
        self._preamble, self._comment = 0, b""
        if isinstance(format, CSV):
            self._preamble, self._comment = format.preamble, format.comment.encode()
        self._has_opening = bool(self._preamble or self._comment)
        is_decoded = isinstance(format, Decoded)
        self.is_plain = format.encoding == "utf-8" and not self._has_opening and not is_decoded

    def chunks(self, content: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the text of a file with this content in chunks; raises FileError if it has another encoding."""
        text = lines_in_utf_8(content, self._format)
        return self._without_opening(text) if self._has_opening else text

    def _without_opening(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        rest, is_dropped = b"", False
        for chunk in chunks:
            rest += chunk
            start = 0
            while True:
                end = rest.find(b"\n", start) + 1
                if not is_dropped:
                    found = self._is_passed(rest[start:end] if end else rest[start:], bool(end))
                    if found is None:
                        break
                    if not found:
                        yield rest[start:]
                        yield from chunks
                        return
                is_dropped = not end
                if not end:
                    start = len(rest)
                    break
                self.passed += 1
                start = end
            rest = rest[start:]
        if rest:
            yield rest

    def _is_passed(self, line: bytes, is_whole: bool) -> bool | None:
        """Return True if a line before any row is none and no header; None if more of it has to be seen."""
        if self.passed < self._preamble:
            return True
        if not self.passed:
            line = line.removeprefix(BYTE_ORDER_MARK)
        if self._comment and line.startswith(self._comment):
            return True
        if is_whole:
            return not line.strip()
        return None if len(line) < len(BYTE_ORDER_MARK + self._comment) or not line.strip() else False


def lines_in_utf_8(content: Iterator[bytes], format: LineFormat | Decoded) -> Iterator[bytes]:
    """Yield the lines that a file's content is or is decoded into, in UTF-8; see ``in_utf_8`` and ``Decoded``."""
    return format.chunks(content) if isinstance(format, Decoded) else in_utf_8(content, format.encoding)


def in_utf_8(content: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Yield a file's content in UTF-8; what cannot be decoded is no valid UTF-8, as little of it as possible.

    Each line feed is one, and there are no others. Raises FileError if a mark says that it has another encoding.
    """
    if encoding == "utf-8":
        return content
    return evened(_decoded(content, encoding))


def _decoded(content: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    first = next(content, b"")
    check_marks(first, encoding)
    chunks = chain([first], content)
    if encoding.startswith("utf-16"):
        yield from _of_utf_16(chunks, UTF_16_MARKS.get(first[:2], encoding))
    else:
        for chunk in chunks:
            yield _of_single_bytes(chunk, encoding)


def _of_utf_16(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    rest, high = b"", int(encoding == "utf-16-le")
    for chunk in chunks:
        rest += chunk
        end = len(rest) - len(rest) % 2
        # The second half of a pair of surrogates may come with the next chunk.
        if end and 0xD8 <= rest[end - 2 + high] < 0xDC:
            end -= 2
        yield _of_units(rest[:end], encoding)
        rest = rest[end:]
    end = len(rest) - len(rest) % 2
    yield _of_units(rest[:end], encoding) + UNDECODED * (len(rest) % 2)


def _of_units(units: bytes, encoding: str) -> bytes:
    # A surrogate alone is kept as the three bytes that UTF-8 would have for it, which are not valid.
    return units.decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")


def _of_single_bytes(chunk: bytes, encoding: str) -> bytes:
    # A byte that means nothing in the encoding is kept: alone it is not valid.
    return chunk if chunk.isascii() else chunk.decode(encoding, "surrogateescape").encode("utf-8", "surrogateescape")


def check_marks(start: bytes, encoding: str) -> None:
    """Raise FileError if the start of a file's content shows that it is not text in the encoding."""
    name, mark = ENCODINGS[encoding], UTF_16_MARKS.get(start[:2])
    if start.startswith(GZIP_MARK):
        raise FileError("holds gzip data, but its name does not end in .gz")
    if start.startswith(ZSTD_MARK):
        raise FileError("holds zstd data, but its name does not end in .zst")
    if encoding == "utf-16" and start and not mark:
        raise FileError("has no byte order mark; its feed says that it is UTF-16 with one")
    if mark and encoding not in ("utf-16", mark):
        name = encoding if encoding in UTF_16_MARKS.values() else name
        mark = mark if name == encoding else "UTF-16"
        raise FileError(f"is {mark} text; it must be {name}")
    if encoding != "utf-8" and start.startswith(BYTE_ORDER_MARK):
        raise FileError(f"is UTF-8 text; it must be {name}")
