"""The compiled scanner's state in Python: its tables, the dictionaries of texts, and the groups that it found."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import pairwise
from types import TracebackType

import numpy as np

from kpis.engine.compiled import CSV, DONE, ID, PADDING, library

# With more distinct pairs, or rows to keep, the file is left to DuckDB, which spills to disk.
MOST_PAIRS = 16 * 2**20
MOST_KEPT = 16 * 2**20
# A column of the scanner: scanner_fields.h describes the fields.
TABLE = np.dtype(
    [
        ("kind", "i4"),
        ("flags", "i4"),
        ("least", "i8"),
        ("most", "i8"),
        ("unit", "i8"),
        ("unknown", "i8", 8),
        ("unknowns", "i4"),
        ("name_length", "i4"),
        ("name", "S128"),
    ]
)
# A total of TOTALS: scanner_groups.h.
TOTAL = np.dtype([(name, "i4") for name in ("kind", "column", "condition", "place")])
NO_TOTALS = np.zeros(0, dtype=TOTAL)
MOST_UNKNOWN = 8
LONGEST_NAME = 120


class Declined(Exception):
    """The scanner does not support this file: it goes to the bulk reader."""


def checked(status: int) -> None:
    """Raise Declined unless a compiled function's status is OK."""
    if status != DONE:
        raise Declined


class Reductions:
    """The compiled scanner's state: texts, rows and pairs are added, groups with their totals returned."""

    def __init__(
        self,
        tables: np.ndarray,
        format: int = CSV,
        column_of: Sequence[int] = (),
        text_bytes: int = 0,
        longest_line: int = 0,
        computed: int = 0,
    ):
        compiled = library()
        if compiled is None:
            raise Declined
        self.library, self.tables = compiled, tables
        columns = np.array(column_of, dtype=np.int32)
        self.state = compiled.scanner_new(
            format,
            len(tables),
            tables.ctypes.data,
            computed,
            len(columns),
            columns.ctypes.data,
            text_bytes,
            longest_line,
            MOST_KEPT,
        )
        if not self.state:
            raise Declined
        self._texts: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __enter__(self) -> Reductions:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.library.scanner_free(self.state)

    def reduce(
        self,
        kind: int,
        keys: Sequence[int],
        columns: Sequence[int],
        counted: bool = False,
        totals: np.ndarray = NO_TOTALS,
        width: int = 0,
    ) -> None:
        """Add a reduction by key columns: SUM of columns, DISTINCT values or MEAN of one, COUNT of rows, or TOTALS.

        With ``counted`` a group's rows are counted besides. Totals are rows of TOTAL that take ``width`` places.
        """
        key_columns, terms = np.array(keys, dtype=np.int32), np.array(columns, dtype=np.int32)
        checked(
            self.library.scanner_reduce(
                self.state,
                kind,
                counted,
                len(key_columns),
                key_columns.ctypes.data,
                len(terms),
                terms.ctypes.data,
                len(totals),
                totals.ctypes.data,
                width,
                MOST_PAIRS,
            )
        )

    def program(self, purpose: int, target: int, steps: np.ndarray, limits: tuple[int, int]) -> None:
        """Add the program of a check, a computed column, a filter or a condition; see ``scan_expressions``."""
        checked(self.library.scanner_program(self.state, purpose, target, steps.ctypes.data, len(steps), *limits))

    def look_up(self, index: int, column: int, values: np.ndarray, nones: np.ndarray) -> None:
        """Give a lookup the values (int64) of more of a column's texts, and where they have none (uint8)."""
        addresses = values.ctypes.data, nones.ctypes.data
        checked(self.library.scanner_lookup(self.state, index, column, len(values), *addresses))

    def new_texts(self, column: int, known: int) -> list[str]:
        """Return the texts of a column's dictionary, which is none of UUIDs, behind the first ``known`` of them."""
        count = self.library.scanner_texts(self.state, column)
        ends = np.ctypeslib.as_array(self.library.scanner_text_ends(self.state, column), (count,))
        start = int(ends[known - 1]) if known else 0
        within = [int(end) - start for end in ends[known:]]
        content = ctypes.string_at(self.library.scanner_text_bytes(self.state, column) + start, max(within, default=0))
        return [content[begin:end].decode() for begin, end in pairwise([0, *within])]

    def intern(self, column: int, text: bytes) -> int:
        """Return the number of a text in a column's dictionary, to which it is added; a UUID is sixteen bytes."""
        number: int = self.library.scanner_intern(self.state, column, text + bytes(PADDING), len(text))
        if number < 0:
            raise Declined
        return number

    def add_pairs(self, dimensions: np.ndarray, values: np.ndarray, part: int, parts: int) -> None:
        """Add pairs (int64) to the first reduction: of the parts into which dimensions are divided, those of one."""
        checked(
            self.library.scanner_add_pairs(
                self.state, 0, dimensions.ctypes.data, values.ctypes.data, len(values), part, parts
            )
        )

    def entries(self, index: int) -> np.ndarray:
        """Return a reduction's groups as rows of int64: the interval's number, the keys, the totals.

        With -1 they are the intervals: 0, the number of intervals since 1970, the number of records.
        """
        count = self.library.scanner_groups(self.state, index)
        width = self.library.scanner_entry_width(self.state, index)
        if not count:
            return np.empty((0, width), dtype=np.int64)
        return np.ctypeslib.as_array(self.library.scanner_entries(self.state, index), (count, width)).copy()

    def distinct(self, index: int, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return how many distinct values each group of a DISTINCT has, in an order of groups, and all the values.

        A group's values are in their order.
        """
        ranks = np.empty(len(order), dtype=np.uint32)
        ranks[order] = np.arange(len(order), dtype=np.uint32)
        pairs = ctypes.c_int64()
        checked(self.library.scanner_sort(self.state, index, ranks.ctypes.data, ctypes.byref(pairs)))
        values, counts = np.empty(pairs.value, dtype=np.int64), np.empty(len(order), dtype=np.int64)
        self.library.scanner_pairs(self.state, index, values.ctypes.data, counts.ctypes.data)
        return counts, values

    def kept_intervals(self) -> np.ndarray:
        """Return the interval's number of each row that was kept."""
        count = self.library.scanner_kept(self.state)
        if not count:
            return np.empty(0, dtype=np.int64)
        return np.ctypeslib.as_array(self.library.scanner_kept_intervals(self.state), (count,)).astype(np.int64)

    def kept(self, column: int, dtype: type[np.generic]) -> tuple[np.ndarray, np.ndarray]:
        """Return a column's values in the rows that were kept, as the scanner has them, and where there is none."""
        count = self.library.scanner_kept(self.state)
        if not count:
            return np.empty(0, dtype=dtype), np.empty(0, dtype=bool)
        values = self.library.scanner_kept_values(self.state, column)
        nulls = np.ctypeslib.as_array(self.library.scanner_kept_nulls(self.state, column), (count,))
        content = (ctypes.c_char * (count * np.dtype(dtype).itemsize)).from_address(values)
        return np.frombuffer(content, dtype=dtype).copy(), nulls.astype(bool)

    def texts(self, column: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a column's dictionary as Python texts (an array of objects), and each text's rank in their order.

        A UUID's text is its canonical form.
        """
        if column not in self._texts:
            is_id = self.tables["kind"][column] == ID
            self._texts[column] = self._ids(column) if is_id else self._words(column)
        return self._texts[column]

    def _words(self, column: int) -> tuple[np.ndarray, np.ndarray]:
        ends, content = self._dictionary(column)
        texts = np.empty(len(ends), dtype=object)
        texts[:] = [content[start:end].decode() for start, end in zip([0, *ends[:-1]], ends, strict=True)]
        order = sorted(range(len(texts)), key=texts.tolist().__getitem__)
        ranks = np.empty(len(texts), dtype=np.int64)
        ranks[order] = np.arange(len(texts))
        return texts, ranks

    def _ids(self, column: int) -> tuple[np.ndarray, np.ndarray]:
        ends, content = self._dictionary(column)
        count = len(ends) - 1
        written = bytearray(36 * count)
        if count:
            room = (ctypes.c_char * len(written)).from_buffer(written)
            self.library.write_ids(content, count, room)
            del room
        canonical = written.decode()
        texts = np.empty(count + 1, dtype=object)
        texts[0] = ""
        texts[1:] = [canonical[start : start + 36] for start in range(0, 36 * count, 36)]
        halves = np.frombuffer(content, dtype=">u8").reshape(-1, 2).astype(np.uint64)
        order = np.lexsort((halves[:, 1], halves[:, 0]))
        ranks = np.zeros(count + 1, dtype=np.int64)
        ranks[1 + order] = np.arange(1, count + 1)
        return texts, ranks

    def _dictionary(self, column: int) -> tuple[list[int], bytes]:
        """Return where each text of a column's dictionary ends, and the texts one after the other."""
        count = self.library.scanner_texts(self.state, column)
        ends = np.ctypeslib.as_array(self.library.scanner_text_ends(self.state, column), (count,)).tolist()
        return ends, ctypes.string_at(self.library.scanner_text_bytes(self.state, column), ends[-1])
