"""What the compiled scanner found: partials in the columns of ``partial_of_records``, and the records themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kpis.catalog.columns import Integer
from kpis.catalog.columns.zones import Zone
from kpis.catalog.dimensions import Dimension, GridCell
from kpis.catalog.feeds import Column, Feed
from kpis.catalog.folding import fold
from kpis.catalog.measures import CountDistinct
from kpis.catalog.measures.percentiles import BUCKET
from kpis.catalog.sql import RECORD_START, aliased, quoted
from kpis.engine import compiled
from kpis.engine.live import Timeline
from kpis.engine.reductions import Declined
from kpis.engine.scan_kinds import MICRO, OF_TEXTS, OF_TIMES, changes_of, kind_of
from kpis.engine.scan_measures import masked, partial_values
from kpis.engine.scan_tables import Tables
from kpis.engine.table import Columns, TableColumn, Texts, constant, is_masked, taken

INTEGERS = {"INTEGER": np.int32, "BIGINT": np.int64}
NO_CELL, NO_BUCKET = -(2**63), 2**63 - 1
RECORDS = "scanned_records"


@dataclass(frozen=True)
class _Key:
    """A column of a partial that groups are made by: the values, and numbers in the values' order."""

    name: str
    values: np.ndarray
    order: np.ndarray


def partial_columns(tables: Tables, index: int, starts: np.ndarray, places: np.ndarray) -> Columns:
    """Return a KPI's partial, sorted by its keys, by the KPI's place in the tables.

    ``starts`` are those of the intervals, ascending, and ``places`` the place there of each interval by its number.
    """
    kpi, plan = tables.kpis[index], tables.plans[index]
    entries = tables.reductions.entries(index)
    intervals = places[entries[:, 0]]
    keys = [key for number, one in enumerate(kpi.by, 1) for key in _keys(tables, one, entries[:, number])]
    first = 1 + len(kpi.by)
    if plan.bucket_of:
        keys.append(_buckets(entries[:, first]))
        first += 1
    order = np.lexsort((*(key.order for key in reversed(keys)), intervals))
    columns = {"interval_start": _starts_of(starts, intervals[order])}
    columns |= {key.name: key.values[order] for key in keys}
    if isinstance(kpi.measure, CountDistinct):
        return _with_distinct(tables, index, columns, order)
    totals = [np.ascontiguousarray(column) for column in entries[order, first:].T]
    values = partial_values(plan, kpi.measure, kpi.feed, totals)
    names = [name for name in (*kpi.measure.partial_keys, *kpi.partial_values) if name not in columns]
    return columns | dict(zip(names, values, strict=True))


def _starts_of(starts: np.ndarray, intervals: np.ndarray) -> np.ndarray:
    """Return the start of each row's interval, by the interval's place."""
    return constant(starts[0], len(intervals)) if len(starts) == 1 else starts[intervals]


def _keys(tables: Tables, dimension: Dimension, found: np.ndarray) -> list[_Key]:
    """Return the partial's columns of a dimension, whose groups are ``found`` as the scanner has them."""
    if isinstance(dimension, GridCell):
        return [_cells(dimension, found)]
    place = tables.places[dimension.column]
    if tables.kinds[place] not in OF_TEXTS:
        sql_type = tables.feed.record_columns[place].type.sql_type
        return [_Key(dimension.name, found.astype(INTEGERS[sql_type], copy=False), found)]
    texts, ranks = tables.reductions.texts(place)
    if not dimension.folded:
        return [_Key(dimension.name, texts[found], ranks[found])]
    folded = [fold(text) for text in texts.tolist()]
    numbers = {text: number for number, text in enumerate(sorted(set(folded)))}
    folded_ranks = np.array([numbers[text] for text in folded], dtype=np.int64)
    return [
        _Key(dimension.name, np.array(folded, dtype=object)[found], folded_ranks[found]),
        _Key(dimension.spelling, texts[found], ranks[found]),
    ]


def _buckets(found: np.ndarray) -> _Key:
    """Return a partial's column of buckets; of records without a value there is none, and they are last."""
    is_none = found == NO_BUCKET
    return _Key(BUCKET, masked(np.where(is_none, 0, found).astype(np.int32), is_none), found)


def _cells(dimension: GridCell, found: np.ndarray) -> _Key:
    cells, places = np.unique(found, return_inverse=True)
    names = np.array([_cell_name(dimension, cell) for cell in cells.tolist()], dtype=object)
    ranks = np.empty(len(names), dtype=np.int64)
    ranks[sorted(range(len(names)), key=names.tolist().__getitem__)] = np.arange(len(names))
    return _Key(dimension.name, names[places], ranks[places])


def _cell_name(dimension: GridCell, cell: int) -> str:
    if cell == NO_CELL:
        return ""
    south = (cell + 2**31) >> 32
    return dimension.cell_name(south, cell - (south << 32))


def timeline(tables: Tables) -> Timeline | None:
    """Return the number of records at each moment, of all and by group; None if the scan was not asked for it."""
    if tables.live is None:
        return None
    every = _by_moment(tables, len(tables.kpis))
    groups = {}
    for number, dimension in enumerate(tables.live, len(tables.kpis) + 1):
        columns = _by_moment(tables, number)
        texts, _ = tables.reductions.texts(tables.places[dimension.column])
        groups[dimension.name] = {**columns, "name": texts[columns["name"]]}
    return Timeline(every["moment"], every["count"], groups)


def _by_moment(tables: Tables, index: int) -> dict[str, np.ndarray]:
    """Return a reduction's groups by moment (us since 1970), ascending, with the key that follows the moment's."""
    entries, moment = tables.reductions.entries(index), tables.feed.moment
    units = [unit for _, unit in moment.parts]
    moments = sum((entries[:, 1 + part] * unit for part, unit in enumerate(units)), np.zeros(len(entries), np.int64))
    if not moment.zone.is_utc:
        moments = _utc(moment.zone, moments)
    moments = moments + moment.shift
    order = np.argsort(moments, kind="stable")
    entries = entries[order]
    return {"moment": moments[order], "name": entries[:, 1 + len(units)], "count": entries[:, -1]}


def _utc(zone: Zone, local: np.ndarray) -> np.ndarray:
    """Return the UTC times of a zone's local times, all of which exist; raises Declined beyond the zone's table."""
    changes = changes_of(zone)
    if len(local) and (local.min() < 0 or local.max() >= changes[-1, 0]):
        raise Declined
    return local - changes[np.searchsorted(changes[:, 0], local, side="right") - 1, 2]


@dataclass(frozen=True)
class Records:
    """The records of a file, in columns as the scanner has them; ``sql`` makes columns of the feed of them.

    They are ``in_order`` if they are sorted by interval and moment. They are ``plain`` if they are the feed's columns
    already.
    """

    columns: Mapping[str, TableColumn]
    sql: str
    in_order: bool
    plain: bool


def records_of(tables: Tables, starts: np.ndarray) -> Records:
    """Return the records that were kept; ``starts`` are those of the intervals, by their numbers."""
    reductions, feed = tables.reductions, tables.feed
    columns: dict[str, TableColumn] = {RECORD_START: _starts_of(starts, reductions.kept_intervals())}
    plain = True
    for place, column in enumerate(feed.record_columns):
        if tables.kinds[place] in OF_TEXTS:
            # Where there is none, the empty text.
            columns[column.name] = Texts(reductions.texts(place)[0].tolist(), reductions.kept(place, np.uint32)[0])
            plain &= not column.type.may_be_none and tables.kinds[place] != compiled.BOOLEAN
        else:
            numbers, nulls = reductions.kept(place, np.int64)
            if isinstance(column.type, Integer):
                numbers = numbers.astype(INTEGERS[column.type.sql_type], copy=False)
            columns[column.name] = np.ma.masked_array(numbers, nulls) if nulls.any() else numbers
            plain &= isinstance(column.type, Integer) and not nulls.any()
    in_order = _are_sorted(columns[RECORD_START], columns[feed.moment.column])
    return Records(columns, _records_sql(feed), in_order, plain)


def _are_sorted(starts: TableColumn, moments: TableColumn) -> bool:
    """Return True if rows are sorted by two columns; False also where a value is missing or no number."""
    if isinstance(starts, Texts) or isinstance(moments, Texts) or is_masked(moments):
        return False
    later, same = starts[1:] > starts[:-1], starts[1:] == starts[:-1]
    return bool((later | (same & (moments[1:] >= moments[:-1]))).all())


def _records_sql(feed: Feed) -> str:
    """Return SQL for records as the bulk reader makes them from the columns, which are the table RECORDS."""
    columns = {column.name: _record_value(column) for column in feed.record_columns}
    return f"SELECT {aliased({RECORD_START: quoted(RECORD_START)} | columns)} FROM {RECORDS}"


def _record_value(column: Column) -> str:
    """Return SQL for a column's value from what the scanner has of it."""
    name, kind = quoted(column.name), kind_of(column.type)
    if kind == compiled.DECIMAL:
        return f"CAST({name} * CAST(0.000001 AS DECIMAL(6, 6)) AS {column.type.sql_type})"
    if kind == compiled.DATE:
        return f"CAST(DATE '1970-01-01' + CAST({name} AS INTEGER) AS DATE)"
    if kind == compiled.CLOCK:
        return f"make_time({name} // 3600, {name} // 60 % 60, {name} % 60)"
    if kind == compiled.MONTH_FIRST:
        return f"make_timestamp({name} * {MICRO})"
    if kind in OF_TIMES:
        return f"make_timestamp({name})"
    if kind == compiled.BOOLEAN:
        return f"CAST(nullif({name}, '') AS BOOLEAN)"
    if kind in OF_TEXTS:
        return f"nullif({name}, '')" if column.type.may_be_none else name
    return f"CAST({name} AS {column.type.sql_type})"


def _with_distinct(tables: Tables, index: int, columns: Columns, order: np.ndarray) -> Columns:
    """Return the columns of groups, in their order, with a row for each distinct value of a group."""
    (name,) = tables.kpis[index].measure.partial_keys
    counts, values = tables.reductions.distinct(index, order)
    groups = np.repeat(np.arange(len(order)), counts)
    place = tables.places[name]
    if tables.kinds[place] in OF_TEXTS:
        texts, ranks = tables.reductions.texts(place)
        by_text = np.lexsort((ranks[values], groups))
        values = texts[values[by_text]]
    elif (type_ := INTEGERS.get(tables.feed.record_columns[place].type.sql_type)) is not None:
        values = values.astype(type_, copy=False)
    return {column: taken(found, groups) for column, found in columns.items()} | {name: values}
