"""The footer of a Parquet file, as far as DuckDB does not show it: what columns are packed with and unpack to.

DuckDB's ``parquet_metadata`` fails as a whole if the statistics have a time that it cannot show. The footer is the
structure FileMetaData of parquet.thrift, in Thrift's compact protocol.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from kpis.formats.bounds import FileError

CODECS = ("UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW")
# The numbers of fields in parquet.thrift.
_ROW_GROUPS, _COLUMNS, _META_DATA, _CODEC, _UNPACKED = 4, 1, 3, 4, 6


def unpacked_sizes(path: Path) -> dict[str, int]:
    """Return how many bytes the columns unpack to, by the names of their codecs; raises FileError."""
    with path.open("rb") as file:
        file.seek(-8, 2)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-8 - length, 2)
        content = file.read(length)
    sizes: Counter[str] = Counter()
    try:
        for group in _Compact(content).structure()[_ROW_GROUPS]:
            for column in group[_COLUMNS]:
                found = column[_META_DATA]
                sizes[CODECS[found[_CODEC]]] += found[_UNPACKED]
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise FileError("holds damaged Parquet data: its footer cannot be read") from error
    return dict(sizes)


class _Compact:
    """Reads values one after the other; raises IndexError at the end, and ValueError for what is none."""

    def __init__(self, content: bytes):
        self._content, self._at = content, 0

    def structure(self) -> dict[int, Any]:
        """Return a structure's values by the numbers of its fields."""
        found: dict[int, Any] = {}
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._signed()
            kind = head & 15
            # A field says itself whether it is true.
            found[field] = kind == 1 if kind in (1, 2) else self._value(kind)
        return found

    def _value(self, kind: int) -> Any:
        match kind:
            case 1 | 2 | 3:
                return self._byte()
            case 4 | 5 | 6:
                return self._signed()
            case 7:
                self._at += 8
                return None
            case 8:
                # Texts are not needed.
                length = self._unsigned()
                self._at += length
                return None
            case 9 | 10:
                head = self._byte()
                size = head >> 4 if head >> 4 < 15 else self._unsigned()
                return [self._value(head & 15) for _ in range(size)]
            case 11:
                size = self._unsigned()
                kinds = self._byte() if size else 0
                return [(self._value(kinds >> 4), self._value(kinds & 15)) for _ in range(size)]
            case 12:
                return self.structure()
        raise ValueError(kind)

    def _byte(self) -> int:
        self._at += 1
        return self._content[self._at - 1]

    def _unsigned(self) -> int:
        number = shift = 0
        while (byte := self._byte()) & 128:
            number |= (byte & 127) << shift
            shift += 7
        return number | byte << shift

    def _signed(self) -> int:
        number = self._unsigned()
        return number >> 1 ^ -(number & 1)
