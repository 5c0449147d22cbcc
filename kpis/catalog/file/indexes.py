"""What the indexes of a declared KPI's table (``kpis.models.result_models``) can have on every database."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from kpis.catalog.file.errors import Keys
from kpis.catalog.file.source import Source
from kpis.catalog.folding import LONGEST_FOLDED
from kpis.catalog.kpis import KPI
from kpis.catalog.result_columns import Fraction, Label, ResultType, WholeNumber

# The most bytes of a row of an index in PostgreSQL, and of a character. MySQL and MariaDB take 3,072 bytes, without
# what PostgreSQL adds, so that what fits here fits there.
LONGEST_INDEX = 2704
LONGEST_CHARACTER = 4
# What PostgreSQL puts before a row and before a text, and the multiple of bytes that a row takes.
ROW_HEADER, TEXT_HEADER, WORD = 8, 4, 8
# An index has 16 columns at most, of which two are the interval's start and length.
MOST_DIMENSIONS = 14
# The bytes of the columns besides: the interval's start and length, and the rank.
BESIDE_GROUP = [8, 2]
BESIDE_FOLDED = [8, 2, 4]


def check_indexes(source: Source, at: Keys, kpi: KPI) -> None:
    """Raise CatalogError if a database would refuse an index; ``at`` is the place of the dimensions."""
    if len(kpi.by) > MOST_DIMENSIONS:
        raise source.error(at, f"has {len(kpi.by)} dimensions; the index of a table can have {MOST_DIMENSIONS} at most")
    types = {column.name: column.type for column in kpi.result_columns}
    most = _longest_folded()
    for index, dimension in enumerate(kpi.by):
        label = types[dimension.name]
        if dimension.folded and isinstance(label, Label) and label.longest > most:
            raise source.error(
                (*at, index),
                f"ignores case, and the index of a table can then have texts of {most} characters at most; those of "
                f"{dimension.column} can have {label.longest}",
            )
    size = _row_bytes([types[name] for name in kpi.dimensions], BESIDE_GROUP)
    if size > LONGEST_INDEX:
        raise source.error(
            at,
            f"needs an index whose rows have up to {size:,} bytes, {LONGEST_CHARACTER} for each character of a text, "
            f"and they can have {LONGEST_INDEX:,} at most: lower the longest of a column, or leave a dimension out",
        )


@cache
def _longest_folded() -> int:
    """Return the most characters of a text whose folded text fits into an index."""
    folded = range(0, LONGEST_INDEX, LONGEST_FOLDED)
    return max(one for one in folded if _row_bytes([Label(one)], BESIDE_FOLDED) <= LONGEST_INDEX) // LONGEST_FOLDED


def _row_bytes(types: Iterable[ResultType], numbers: Iterable[int]) -> int:
    """Return the most bytes of an index's row in PostgreSQL: values of types, then numbers of so many bytes."""
    at = 0
    for one in types:
        match one:
            case Label(longest):
                at = _aligned(at, TEXT_HEADER) + TEXT_HEADER + longest * LONGEST_CHARACTER
            case WholeNumber(bits):
                at = _aligned(at, bits // 8) + bits // 8
            case Fraction():
                at = _aligned(at, 8) + 8
    for number in numbers:
        at = _aligned(at, number) + number
    return ROW_HEADER + _aligned(at, WORD)


def _aligned(at: int, to: int) -> int:
    """Return the next multiple of a number of bytes."""
    return -(-at // to) * to
