"""Which feeds and KPIs the compiled scanner can read and reduce."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING

from kpis.catalog.columns import ColumnType, Decimal, Integer
from kpis.catalog.dimensions import Dimension, GridCell
from kpis.catalog.feeds import Check, Column, Feed, Range
from kpis.catalog.formats import CSV, JSONLines, Parquet
from kpis.catalog.kpis import KPI
from kpis.catalog.measures import CountDistinct, Last, Percentile
from kpis.engine import compiled
from kpis.engine.reductions import LONGEST_NAME, MOST_UNKNOWN
from kpis.engine.scan_kinds import OF_TEXTS, OF_WHOLE_NUMBERS, UNITS, kind_of
from kpis.engine.scan_measures import plan_of

if TYPE_CHECKING:
    from kpis.catalog.expressions import Expression

# The most columns with cells and buckets, and the most dimensions of a KPI: scanner.h.
MOST_COLUMNS, MOST_KEYS = 64, 4
# The most objects within each other of a row of JSON, itself one of them: scanner.h.
MOST_BRANCHES = 12


def can_scan(feed: Feed, kpis: Collection[KPI]) -> bool:
    """Return True if the feed's files can be scanned for these KPIs, each of which has its own partials."""
    feed = feed.as_lines
    slots = sum(isinstance(dimension, GridCell) for kpi in kpis for dimension in kpi.by)
    slots += len({kpi.measure.column.name for kpi in kpis if isinstance(kpi.measure, Percentile)})
    return (
        compiled.library() is not None
        and len(feed.record_columns) + slots <= MOST_COLUMNS
        and _is_known(feed)
        and all(_is_readable(feed, column) for column in feed.columns)
        and all(_is_computable(feed, column) for column in feed.derived)
        and _has_time_of_its_own(feed)
        and all(_is_countable(feed, check) for check in feed.checks)
        and all(_is_scannable(kpi) for kpi in kpis)
    )


def _is_known(feed: Feed) -> bool:
    """Return True if the scanner knows how rows are written, and in which objects their values are."""
    if isinstance(feed.format, CSV):
        return feed.format.delimiter.isascii()
    return isinstance(feed.format, Parquet) or (
        isinstance(feed.format, JSONLines) and len(objects_of(feed)) < MOST_BRANCHES
    )


def objects_of(feed: Feed) -> list[tuple[str, ...]]:
    """Return the paths of the objects within a row of JSON that have columns' values, each after those it is in."""
    paths = [tuple(column.names_in_files[0].split(".")) for column in feed.columns]
    return list(dict.fromkeys(path[:depth] for path in paths for depth in range(1, len(path))))


def _is_readable(feed: Feed, column: Column) -> bool:
    type_ = column.type
    if kind_of(type_) is None or len(getattr(type_, "unknown", ())) > MOST_UNKNOWN:
        return False
    (name, *others) = column.names_in_files
    is_plain = name.isascii() and name.isprintable() and not set(name) & set('"\\') and len(name) <= LONGEST_NAME
    return not feed.format.has_keys or (is_plain and not others)


def _is_computable(feed: Feed, column: Column) -> bool:
    is_number = isinstance(column.type, Integer | Decimal)
    return is_number and column.derived is not None and _can_compute(feed, column.derived)


def _has_time_of_its_own(feed: Feed) -> bool:
    """Return True if a row's time is the sum of columns of its line, and no row without a value can have one."""
    columns = [feed.column(name) for name, _ in feed.moment.parts]
    return all(column.derived is None for column in columns) and any(
        column.required and not column.type.optional for column in columns
    )


def _is_countable(feed: Feed, check: Check) -> bool:
    if line_range(feed, check) is not None:
        return True
    return check.expression is not None and _can_compute(feed, check.expression)


def _can_compute(feed: Feed, expression: Expression) -> bool:
    # Most feeds have no expression.
    from kpis.engine.scan_expressions import can_compute

    return can_compute(feed, expression)


def line_range(feed: Feed, check: Check) -> tuple[Range, int | None] | None:
    """Return the check's range and the microseconds of a value's unit, None for numbers, if the scanner can check it.

    Its columns are in a line, as others are computed after it is checked, and their values are of the same unit.
    """
    values = check.range
    if values is None:
        return None
    columns = [feed.column(name) for name in (values.of or check.column, values.less) if name]
    if any(column.derived is not None for column in columns):
        return None
    kinds = [kind_of(column.type) or 0 for column in columns]
    unit = UNITS.get(kinds[0])
    if any(UNITS.get(kind) != unit or (unit is None and kind not in OF_WHOLE_NUMBERS) for kind in kinds):
        return None
    bounds = [bound for bound in (values.least, values.most) if bound is not None]
    if unit is None:
        return (values, unit) if all(isinstance(bound, int) for bound in bounds) else None
    return (values, unit) if values.step == 1 and all(isinstance(bound, timedelta) for bound in bounds) else None


def _is_scannable(kpi: KPI) -> bool:
    feed, measure = kpi.feed, kpi.measure
    conditions = (*([kpi.filter] if kpi.filter is not None else []), *measure.conditions)
    if not all(_can_compute(feed, condition) for condition in conditions):
        return False
    if plan_of(measure, feed) is None or len(kpi.by) > MOST_KEYS:
        return False
    if not all(_makes_groups(feed, dimension) for dimension in kpi.by):
        return False
    if isinstance(measure, CountDistinct):
        return not kpi.folded and _is_distinguished(feed.column(measure.column).type)
    # Of a folded name's spellings all records are counted, not those of the newest moment.
    return not (isinstance(measure, Last) and kpi.folded)


def _is_distinguished(type_: ColumnType) -> bool:
    """Return True if the scanner's numbers of a column's values, or their texts, are what a partial has of them."""
    kind = kind_of(type_)
    return not type_.may_be_none and (kind in OF_WHOLE_NUMBERS or (kind in OF_TEXTS and kind != compiled.BOOLEAN))


def _makes_groups(feed: Feed, dimension: Dimension) -> bool:
    types = [feed.column(name).type for name in dimension.columns]
    if type(dimension) is GridCell:
        is_exact = dimension.size * dimension.per_degree == 1
        is_read = all(feed.column(name).derived is None for name in dimension.columns)
        return is_exact and is_read and not dimension.folded and all(isinstance(one, Decimal) for one in types)
    (of,) = types
    return type(dimension) is Dimension and (
        kind_of(of) in OF_TEXTS or (isinstance(of, Integer) and not of.may_be_none and not dimension.folded)
    )
