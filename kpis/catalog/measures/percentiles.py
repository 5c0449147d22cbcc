"""Percentiles, from counts of values in logarithmic buckets."""

from __future__ import annotations

from dataclasses import dataclass

from kpis.catalog.feeds import Feed
from kpis.catalog.measures.measure import Measure
from kpis.catalog.measures.numbers import MICRO, Number
from kpis.catalog.result_columns import Fraction, ResultColumn
from kpis.catalog.sql import quoted

# The bits of a bucket's number within a power of two: a bucket is at most 1/64 of its values wide, and its middle is
# within 1/128 of each of them.
BITS = 6
HALF, WHOLE = 2**BITS, 2 ** (BITS + 1)
# What is stated of it.
ERROR = "within 1 %"
BUCKET, COUNT = "bucket", "count"
MIDDLE, AT_OR_BELOW, OF_GROUP = "middle of the bucket", "records at or below", "records of the group"


def bucket_of(number: int) -> int:
    """Return the bucket of a whole number: the twin of ``bucket_sql``.

    Numbers below 128 have a bucket each, with their own number. From there on, each power of two has 64 buckets of
    equal width; those of negative numbers are negative. So a bucket needs no logarithm, whose last digit is not the
    same everywhere.
    """
    size = abs(number)
    shift = max(size.bit_length() - BITS - 1, 0)
    bucket = shift * HALF + (size >> shift)
    return bucket if number >= 0 else -bucket


def bucket_sql(number: str) -> str:
    """Return SQL for the bucket of a BIGINT, as an INTEGER."""
    size = f"abs(CAST({number} AS HUGEINT))"
    shift = f"greatest(length(bin({size})) - {BITS + 1}, 0)"
    return f"CAST(sign({number}) * ({shift} * {HALF} + ({size} >> {shift})) AS INTEGER)"


def middle_sql(bucket: str) -> str:
    """Return SQL for the middle of a bucket, a DOUBLE: between its least and its largest whole number."""
    size = f"abs({bucket})"
    shift = f"({size} // {HALF} - 1)"
    middle = f"((2 * ({size} - {HALF} * {shift}) + 1) * pow(2.0::DOUBLE, {shift}) - 1) / 2"
    return f"CASE WHEN {size} < {WHOLE} THEN CAST({bucket} AS DOUBLE) ELSE sign({bucket}) * ({middle}) END"


@dataclass(frozen=True)
class Percentile(Measure):
    """Percentiles of a column of numbers, over the records that have a value; NULL if none has.

    A percentile p is the middle of the bucket that has the least value which p % of the values do not exceed (the
    nearest rank). It is within 1 % of that value, and exact for whole numbers from -127 to 127. A bucket's count is a
    sum, so that no figure depends on the order of anything. The columns are named by ``name``; ``value`` is the first.

    After C. Masson, J. E. Rim, H. K. Lee: DDSketch, PVLDB 12 (2019), whose buckets are linear within a power of two
    here.
    """

    name: str
    column: Number
    percentiles: tuple[int, ...] = (50, 90, 95, 99)
    adds_up = False

    @property
    def total_name(self) -> str:
        return f"percentile {self.percentiles[0]}"

    @property
    def total_of_none(self) -> None:
        return None

    @property
    def is_fraction(self) -> bool:
        return True

    @property
    def measured(self) -> tuple[str, ...]:
        return (self.column.name,)

    @property
    def revealed(self) -> tuple[str, ...]:
        return self.measured

    @property
    def partial_keys(self) -> dict[str, str]:
        return {BUCKET: bucket_sql(self.column.whole(self.column.sql))}

    @property
    def partial(self) -> dict[str, str]:
        return {COUNT: f"count({self.column.sql})"}

    def partial_units(self, unit: str) -> dict[str, str]:
        return {BUCKET: f"number of a range of {self.column.unit_of_whole(unit)}", COUNT: "records with a value"}

    @property
    def note(self) -> str:
        return f"Percentiles are {ERROR} of the exact ones."

    @property
    def windows(self) -> dict[str, str]:
        count, bucket = quoted(COUNT), quoted(BUCKET)
        middle = middle_sql(bucket)
        return {
            MIDDLE: f"({middle}) / {MICRO}" if self.column.is_decimal else middle,
            AT_OR_BELOW: f"sum({count}) OVER (same_group ORDER BY {bucket} NULLS LAST)",
            OF_GROUP: f"sum({count}) OVER same_group",
        }

    @property
    def merge(self) -> dict[str, str]:
        return {f"{self.name}_p{percent}": self._sql(percent) for percent in self.percentiles}

    def _sql(self, percent: int) -> str:
        is_there = f"{quoted(COUNT)} > 0 AND {quoted(AT_OR_BELOW)} * 100 >= {quoted(OF_GROUP)} * {percent}"
        return f"min({quoted(MIDDLE)}) FILTER (WHERE {is_there})"

    def result_columns(self, feed: Feed, unit: str) -> tuple[ResultColumn, ...]:
        type_ = self.column.type_in(feed, f"{self.name} is a percentile")
        empty = "; empty where no record has a value" if type_.may_be_none else ""
        return tuple(
            ResultColumn(
                f"{self.name}_p{percent}",
                Fraction(),
                f"{unit}, which {percent} % of the values do not exceed, {ERROR}{empty}",
                optional=type_.may_be_none,
            )
            for percent in self.percentiles
        )

    @property
    def total(self) -> str:
        return self._sql(self.percentiles[0])
