"""Formats of plug-ins: by name, what turns a file's bytes, or a message's, into rows as lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

if TYPE_CHECKING:
    from kpis.catalog.feeds import Column

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
# How a format's rows may come.
LINES = ("csv", "json_lines")


@dataclass(frozen=True)
class Refusal:
    """A row that is a reject, since it cannot be decoded.

    ``reason`` follows the name of the ``column``, or of the row as a whole if that is empty: "is cut off". ``text`` is
    the row as text; of a message without one, it is the message.
    """

    reason: str
    column: str = ""
    text: str = ""


# One or more rows, each a line, or a row that is a reject.
Rows = bytes | Refusal


class PluginFormat(Protocol):
    """A format of a plug-in: an object without state, which several threads may use at once.

    ``title`` names it in pages and messages: "fixed-width text". ``endings`` are those of finished files' names, for
    patterns that end in ``*``. ``lines`` says how its rows come: as ``csv``, with the feed's columns in their order, no
    header and an empty field for no value, or as ``json_lines``, with the columns' names in files as keys.

    Three attributes are optional. ``delimiter`` is what stands between two fields of ``csv``, by default a comma; the
    bulk reader takes much longer for fields that hold it, within quotes. ``can_be_packed`` is False if a file has no
    ``.gz`` or ``.zst`` after its name, since the format packs its data itself; by default it is True. A format without
    ``line`` is one of files alone.
    """

    title: str
    endings: Sequence[str]
    lines: str

    def check(self, options: Mapping[str, Any]) -> None:
        """Raise ValueError, with what is wrong and what to do, if a catalog file's options cannot be used."""

    def rows(self, file: BinaryIO, columns: Sequence[Column], options: Mapping[str, Any]) -> Iterator[Rows]:
        """Yield the rows of a file, in their order: lines in UTF-8, one or many at a time, and refusals.

        ``file`` is its unpacked content, which can be read once, from front to back. Raises ValueError if the file as a
        whole cannot be read, with the reason as it follows the file's name: "ends in the middle of a block".
        """

    # Optional:
    #
    # def line(self, message: bytes, columns: Sequence[Column], options: Mapping[str, Any]) -> Rows:
    #     """Return the row of a stream's message: a line in UTF-8, or a refusal."""


FORMATS: dict[str, PluginFormat] = {}


def register_format(name: str, format: PluginFormat) -> None:
    """Add a plug-in's format, before catalog files that name it are loaded; raises ValueError if it cannot be one."""
    shown = f"The format {name!r} of a plug-in"
    if not _NAME.fullmatch(name):
        raise ValueError(f"{shown} must have a name of lower-case letters and digits, with single _ between them.")
    if FORMATS.get(name, format) is not format:
        raise ValueError(f"{shown} is registered twice.")
    lacking = [one for one in ("title", "endings", "lines", "check", "rows") if not hasattr(format, one)]
    if lacking:
        raise ValueError(f"{shown} lacks {', '.join(lacking)}.")
    if format.lines not in LINES:
        raise ValueError(f"{shown} has lines = {format.lines!r}, which is neither {' nor '.join(LINES)}.")
    if isinstance(format.endings, str) or not format.endings:
        raise ValueError(f"{shown} must have a list of at least one ending.")
    FORMATS[name] = format
