"""What the indexes of a declared KPI's table (``kpis.models.result_models``) can have on every database."""

from __future__ import annotations

from kpis.catalog.file.errors import Keys
from kpis.catalog.file.source import Source
from kpis.catalog.folding import LONGEST_FOLDED
from kpis.catalog.kpis import KPI
from kpis.catalog.result_columns import Fraction, Label, ResultType, WholeNumber

# The limit of MySQL's and MariaDB's indexes in bytes, and the bytes of a character there.
LONGEST_INDEX = 3072
LONGEST_CHARACTER = 4
# An index has 16 columns at most, of which two are the interval's start and length.
MOST_DIMENSIONS = 14
# The bytes of the columns besides: the interval's start and length, and the rank.
BESIDE_GROUP = 8 + 2
BESIDE_FOLDED = 8 + 2 + 4


def check_indexes(source: Source, at: Keys, kpi: KPI) -> None:
    """Raise CatalogError if a database would refuse an index; ``at`` is the place of the dimensions."""
    if len(kpi.by) > MOST_DIMENSIONS:
        raise source.error(at, f"has {len(kpi.by)} dimensions; the index of a table can have {MOST_DIMENSIONS} at most")
    types = {column.name: column.type for column in kpi.result_columns}
    most = (LONGEST_INDEX - BESIDE_FOLDED) // (LONGEST_FOLDED * LONGEST_CHARACTER)
    for index, dimension in enumerate(kpi.by):
        label = types[dimension.name]
        if dimension.folded and isinstance(label, Label) and label.longest > most:
            raise source.error(
                (*at, index),
                f"ignores case, and the index of a table can then have texts of {most} characters at most; those of "
                f"{dimension.column} can have {label.longest}",
            )
    size = BESIDE_GROUP + sum(_most_bytes(types[name]) for name in kpi.dimensions)
    if size > LONGEST_INDEX:
        raise source.error(
            at,
            f"needs an index of {size:,} bytes, {LONGEST_CHARACTER} for each character of a text, and that of a table "
            f"can have {LONGEST_INDEX:,} at most: lower the longest of a column, or leave a dimension out",
        )


def _most_bytes(type: ResultType) -> int:
    """Return the most bytes that a value of a type has in an index."""
    match type:
        case Label(longest):
            return longest * LONGEST_CHARACTER
        case WholeNumber(bits):
            return bits // 8
        case Fraction():
            return 8
