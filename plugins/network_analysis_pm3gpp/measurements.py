"""The format of measurement collection files (``measCollecFile``), as 3GPP TS 32.435 describes them.

A file has the values of counters: for each period, list of counters and object, such as a cell, one of each counter. A
row is one value, with its object, its counter, its period, and whether the element suspects it of being incomplete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from network_analysis_pm3gpp.archive import documents
from network_analysis_pm3gpp.document import Document
from network_analysis_pm3gpp.lines import FIELDS, PART, Lines

if TYPE_CHECKING:
    from kpis.catalog.feeds import Column
    from kpis.catalog.plugin_formats import Rows


class Measurements:
    """The format; columns are named in files by FIELDS, or as ``object.NRCellDU`` for a part of the object's name."""

    title = "3GPP measurement file"
    endings = (".xml", ".zip")
    lines = "csv"
    # Names of objects have commas, and no field a tab.
    delimiter = "\t"

    def check(self, options: Mapping[str, Any]) -> None:
        for name in options:
            if name != "counters":
                raise ValueError(f"it has no option {name}: there is counters")
        counters = options.get("counters", ["*"])
        if not isinstance(counters, list) or not counters or not all(one and isinstance(one, str) for one in counters):
            raise ValueError("counters must be a list of names, each of which may end in *")

    def rows(self, file: BinaryIO, columns: Sequence[Column], options: Mapping[str, Any]) -> Iterator[Rows]:
        names = [column.names_in_files for column in columns]
        for name in (one for some in names for one in some):
            if name not in FIELDS and not name.startswith(PART):
                raise ValueError(f"has no {name!r}: columns are named {', '.join(FIELDS)} or {PART}CLASS")
        lines, is_kept = Lines(names), _kept(options.get("counters", ["*"]))
        for name, pieces in documents(file):
            document = Document(lines, is_kept)
            try:
                for piece in pieces:
                    document.feed(piece)
                    yield from lines.taken()
                document.close()
            except ValueError as error:
                raise ValueError(f"holds {name}, which {error}" if name else f"{error}") from None
            yield from lines.taken()


def _kept(names: Sequence[str]) -> Callable[[str], bool]:
    """Return what says whether a counter is one of these; a name that ends in ``*`` is that of all that begin so."""
    whole, begun = frozenset(names), tuple(name[:-1] for name in names if name.endswith("*"))
    return lambda counter: counter in whole or counter.startswith(begun)


FORMAT = Measurements()
