"""Tables as columns of equal length by name: what DuckDB and the compiled code exchange.

Both read and write numpy arrays directly, without pandas, whose import takes a large part of a short run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard, Union

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pandas as pd

# Masked where a value may be missing; ``tolist`` then gives None.
Columns = Mapping[str, "np.ndarray"]


@dataclass(frozen=True)
class Texts:
    """A column of texts: the place of each row's text in a dictionary."""

    dictionary: Sequence[str]
    places: np.ndarray

    def __getitem__(self, rows: slice | np.ndarray) -> Texts:
        return Texts(self.dictionary, self.places[rows])

    def __len__(self) -> int:
        return len(self.places)

    @property
    def nbytes(self) -> int:
        """The bytes that the places take, and about those of the texts."""
        return self.places.nbytes + sum(map(sys.getsizeof, self.dictionary))

    def objects(self) -> np.ndarray:
        """Return the column's texts as objects."""
        import numpy as np

        texts = np.empty(len(self.dictionary), dtype=object)
        texts[:] = self.dictionary
        return texts[self.places]

    def used(self) -> Texts:
        """Return the column without the texts of the dictionary that no row has."""
        import numpy as np

        is_used = np.bincount(self.places, minlength=len(self.dictionary)) > 0
        if is_used.all():
            return self
        places = np.cumsum(is_used) - 1
        return Texts([self.dictionary[place] for place in np.flatnonzero(is_used).tolist()], places[self.places])


def one_text(text: str, rows: int) -> Texts:
    """Return a column with the same text in each row."""
    import numpy as np

    return Texts([text], np.zeros(rows, dtype=np.uint32))


TableColumn = Union["np.ndarray", Texts]


def constant(value: np.generic, rows: int) -> np.ndarray:
    """Return a column, to be read only, with the same value in each row; it takes the memory of one."""
    import numpy as np

    return np.broadcast_to(value, rows)


def taken(column: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return a column's values at some places: of a ``constant`` one another."""
    return constant(column[0], len(places)) if _is_constant(column) and len(column) else column[places]


def held_bytes(columns: Mapping[str, TableColumn]) -> int:
    """Return how many bytes the columns take, without the texts that columns of objects refer to."""
    return sum(column.itemsize if _is_constant(column) else column.nbytes for column in columns.values())


def _is_constant(column: TableColumn) -> TypeGuard[np.ndarray]:
    return not isinstance(column, Texts) and column.strides == (0,)


def frame(columns: Columns) -> pd.DataFrame:
    """Return the columns as a pandas DataFrame."""
    import pandas as pd

    return pd.DataFrame({name: _unmasked(column) for name, column in columns.items()})


def rows(columns: Columns) -> Iterator[tuple[Any, ...]]:
    """Return the rows as Python values: None for a missing one, times as ``datetime`` without a zone."""
    return zip(*(column.tolist() for column in columns.values()), strict=True)


@contextmanager
def registered(connection: duckdb.DuckDBPyConnection, name: str, columns: Mapping[str, TableColumn]) -> Iterator[str]:
    """Let queries read the columns as the table of that name."""
    made = {name: column.objects() if isinstance(column, Texts) else column for name, column in columns.items()}
    connection.register(name, made)
    try:
        yield name
    finally:
        connection.unregister(name)


def joined(tables: Sequence[Columns]) -> dict[str, np.ndarray]:
    """Return the rows of several tables that have the same columns, one table after the other."""
    return {name: _concatenated([table[name] for table in tables]) for name in tables[0]}


def is_masked(column: np.ndarray) -> bool:
    """Return True for a masked array. Imports nothing: ``numpy.ma`` takes 10 ms, and most runs do without."""
    return hasattr(column, "mask")


def _concatenated(columns: list[np.ndarray]) -> np.ndarray:
    import numpy as np

    return np.ma.concatenate(columns) if any(map(is_masked, columns)) else np.concatenate(columns)


def _unmasked(column: np.ndarray) -> np.ndarray:
    import numpy as np

    if not isinstance(column, np.ma.MaskedArray) or not column.mask.any():
        return np.asarray(column)
    if column.dtype.kind in "fM":
        return column.filled(np.nan if column.dtype.kind == "f" else np.datetime64("NaT"))
    return np.array(column.tolist(), dtype=object)
