"""The arithmetic of the KPIs in SQL: records to partials, and partials to results."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from kpis.catalog.dimensions import SPELLED
from kpis.catalog.intervals import Length, timestamp
from kpis.catalog.kpis import KPI
from kpis.catalog.references import ReferenceTable
from kpis.catalog.sql import RECORD_START, aliased, listed, quoted
from kpis.engine.results import Results
from kpis.engine.table import Columns, joined, registered

if TYPE_CHECKING:
    import duckdb

TOO_LARGE = "is beyond 2^63-1, the largest number that is kept"

# With more intervals than this a query joins a table of their starts instead of listing them.
MOST_LISTED = 64
WANTED = "wanted_intervals"
# More partials in memory than this are joined to one table.
MOST_TABLES = 32
JOINED = "joined_partials"
# Columns beside those of the KPI: the number of an interval's groups, and the most frequent spelling of a group's name.
GROUPS, SHOWN = "number of groups", "most frequent spelling"

# Partials by the SQL of their tables, each with its columns if they are in memory.
Partials = Mapping[str, Columns | None]


class TotalTooLarge(Exception):
    """A KPI's value does not fit into 64 bits; the message names the KPI."""


@contextmanager
def partial_of_records(connection: duckdb.DuckDBPyConnection, kpi: KPI, starts: Collection[datetime]) -> Iterator[str]:
    """Create a table with a KPI's partial of the connection's table ``records``, sorted by its keys; return its name.

    ``starts`` (UTC) are the intervals that the records lie in; RECORD_START (TIMESTAMP, UTC) is one of them.
    Raises TotalTooLarge.
    """
    start, keys = _start_and_keys(quoted(RECORD_START), starts)
    # First grouped by the spellings, of which there are few, so that each is folded once.
    spelled = {name: sql for name, sql in kpi.partial_keys.items() if name not in kpi.folded_spellings}
    keys += spelled.values()
    columns = {"interval_start": start} | spelled | kpi.partial_values
    counted = f" WHERE {kpi.filter.sql}" if kpi.filter else ""
    groups = f"SELECT {aliased(columns)} FROM records{counted} GROUP BY {', '.join(keys)}"
    # A name's spellings are counted over all records.
    if kpi.measure.kept and not kpi.folded:
        group = listed(["interval_start", *(name for name in spelled if name not in kpi.measure.partial_keys)])
        window = f"WINDOW same_group AS (PARTITION BY {group})"
        groups = f"SELECT * FROM ({groups}) {window} QUALIFY {kpi.measure.kept}"
        query = f"{groups} ORDER BY {listed(['interval_start', *spelled])}"
    else:
        query = f"{groups} ORDER BY {', '.join(keys)}"
    if kpi.folded:
        names = ["interval_start", *kpi.partial_keys, *kpi.partial_values]
        columns = {name: kpi.folded_spellings.get(name, quoted(name)) for name in names}
        query = f"SELECT {aliased(columns)} FROM ({groups}) ORDER BY {listed(['interval_start', *kpi.partial_keys])}"
    name = f"partial_{kpi.id}"
    with translate_errors(kpi):
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")
    try:
        yield name
    finally:
        connection.execute(f"DROP TABLE {name}")


def results_by_sql(
    connection: duckdb.DuckDBPyConnection,
    kpi: KPI,
    length: Length,
    partials: Partials,
    starts: Collection[datetime],
    top_n: int,
    of_one_batch: bool = False,
) -> Results:
    """Return what ``merging.results_of_partials`` does, merged by DuckDB, which supports all KPIs.

    A KPI's reference is a table of the connection, as are the versions that its attributes come from. Raises
    TotalTooLarge.
    """
    with ExitStack() as stack:
        tables = [
            sql if columns is None else stack.enter_context(registered(connection, sql, columns))
            for sql, columns in _few(kpi, partials).items()
        ]
        table = tables[0] if len(tables) == 1 else f"({' UNION ALL BY NAME '.join(f'FROM {one}' for one in tables)})"
        if len(starts) > MOST_LISTED:
            moments = np.array([start.replace(tzinfo=None) for start in starts], dtype="datetime64[us]")
            stack.enter_context(registered(connection, WANTED, {"wanted": moments}))
        return _results(connection, kpi, length, table, starts, top_n, of_one_batch)


def _few(kpi: KPI, partials: Partials) -> Partials:
    """Return the partials with those in memory joined if they are many, as each takes time to be planned."""
    in_memory = [columns for columns in partials.values() if columns is not None]
    if len(in_memory) <= MOST_TABLES:
        return partials
    names = ["interval_start", *kpi.source.partial_keys, *kpi.source.partial_values]
    tables = {table: None for table, columns in partials.items() if columns is None}
    return {JOINED: joined([{name: columns[name] for name in names} for columns in in_memory]), **tables}


def _results(
    connection: duckdb.DuckDBPyConnection,
    kpi: KPI,
    length: Length,
    table: str,
    starts: Collection[datetime],
    top_n: int,
    of_one_batch: bool,
) -> Results:
    """Return the results of partials in one table."""
    floor = length.floor_sql("interval_start", starts)
    start, keys = _start_and_keys(floor, starts)
    source = f"{table} WHERE {within(min(starts), length.end(max(starts)))}"
    if len(starts) > MOST_LISTED:
        source += f" AND {floor} IN (SELECT wanted FROM {WANTED})"
    elif len(starts) > 1:
        source += f" AND {floor} IN ({', '.join(timestamp(moment) for moment in starts)})"
    # Spellings of a folded name are rows of their own in a partial, and several keys have an attribute.
    is_one = of_one_batch and length == kpi.feed.interval and not kpi.folded and not kpi.attributes
    merge = kpi.measure.merge_one if is_one else kpi.measure.merge
    groups = groups_of_partials(kpi, source, {"interval_start": start}, keys, merge)
    return results_of_groups(connection, kpi, length, groups, _totals(kpi, source, start, groups), top_n)


def results_of_groups(
    connection: duckdb.DuckDBPyConnection, kpi: KPI, length: Length, groups: str, totals: str, top_n: int
) -> Results:
    """Return a KPI's results from SQL for its groups' merged values, and from SQL for its totals.

    Both have ``interval_start``; the totals have TOTALS_COLUMNS but the last. Raises TotalTooLarge.
    """
    ranked = fetch(
        connection,
        kpi,
        f"""
        SELECT *, count(*) OVER (PARTITION BY interval_start) AS {quoted(GROUPS)},
            row_number() OVER (
                PARTITION BY interval_start ORDER BY {quoted(kpi.value)} DESC NULLS LAST, {listed(kpi.dimensions)}
            ) AS rank
        FROM ({finished_groups(kpi, groups, ["interval_start"])})
        {f"QUALIFY rank <= {int(top_n)}" if kpi.top else ""}
        ORDER BY interval_start, rank
        """,
    )
    counts = dict(zip(ranked["interval_start"].tolist(), ranked.pop(GROUPS).tolist(), strict=True))
    total_columns = fetch(connection, kpi, totals)
    total_columns["groups"] = np.array(
        [counts.get(moment, 0) for moment in total_columns["interval_start"].tolist()], dtype=np.int64
    )
    return Results(kpi, length, ranked, total_columns)


def combined_partials(kpi: KPI, length: Length, table: str, starts: Collection[datetime]) -> str:
    """Return SQL that combines the partials in a table into those of the intervals of a length at ``starts`` (UTC).

    Sums are HUGEINT here, as they may exceed 64 bits.
    """
    floor = length.floor_sql("interval_start", starts)
    moments, wanted = ", ".join(map(timestamp, sorted(starts))), within(min(starts), length.end(max(starts)))
    keys = ["interval_start", *kpi.partial_keys]
    columns = {name: quoted(name) for name in keys}
    columns |= {name: f"CAST({how}({quoted(name)}) AS HUGEINT)" for name, how in kpi.combine.items()}
    return f"""
        SELECT {aliased(columns)}
        FROM (SELECT * REPLACE ({floor} AS interval_start) FROM {table} WHERE {wanted})
        WHERE interval_start IN ({moments}) GROUP BY {listed(keys)}"""


def groups_of_partials(
    kpi: KPI, source: str, interval: Mapping[str, str], keys: Collection[str], merge: Mapping[str, str]
) -> str:
    """Return SQL for a table of a KPI's groups: the interval's columns, dimensions, merged values.

    ``source`` is SQL for its partials and ``merge`` the measure's; ``interval`` are the columns that identify the
    interval, each with its SQL over the partials, and ``keys`` are grouped by for them.
    """
    if kpi.source.folded:
        # Partials of before version 0.2 were folded differently.
        source = f"(SELECT * REPLACE ({aliased(kpi.source.folded_spellings)}) FROM {source})"
    if kpi.attributes:
        source = with_attributes(kpi, source)
    if kpi.reference:
        source = f"(SELECT * FROM {source}) JOIN {kpi.reference.table} USING ({quoted(kpi.reference.on)})"
    merged = f"""
        SELECT {aliased(interval)}, {listed(kpi.dimensions)}, {aliased(merge)}
        FROM {_windowed(kpi, source, [*keys, *map(quoted, kpi.dimensions)])}
        GROUP BY {", ".join([*keys, listed(kpi.dimensions)])} HAVING {kpi.measure.having}"""
    for dimension in kpi.folded:
        # Each group is named by its most frequent spelling among the interval's records.
        group = listed([*interval, dimension.name])
        name, spelling = quoted(dimension.name), quoted(dimension.spelling)
        named = f"""
            SELECT {group}, first({spelling} ORDER BY {SPELLED} DESC, {spelling}) AS {quoted(SHOWN)}
            FROM (
                SELECT {aliased(interval)}, {name}, {spelling}, sum({SPELLED}) AS {SPELLED}
                FROM {source} GROUP BY {", ".join([*keys, name, spelling])}
            )
            GROUP BY {group}"""
        merged = f"""
            SELECT merged.* REPLACE ({quoted(SHOWN)} AS {name})
            FROM ({merged}) AS merged JOIN ({named}) AS named USING ({group})"""
    return merged


def with_attributes(kpi: KPI, source: str) -> str:
    """Return SQL for partials with the KPI's attributes: those of the versions that are valid at their starts."""
    keys = list(dict.fromkeys((kpi.key_of(one).name, one.reference) for one in kpi.attributes))
    joins = [
        f"LEFT JOIN {versions_table(reference)} AS versions_{number} ON part.{quoted(key)} = versions_{number}.key "
        f"AND part.interval_start >= versions_{number}.valid_from "
        f"AND part.interval_start < coalesce(versions_{number}.valid_to, 'infinity'::TIMESTAMP)"
        for number, (key, reference) in enumerate(keys)
    ]
    columns = {}
    for one in kpi.attributes:
        number = keys.index((kpi.key_of(one).name, one.reference))
        columns[one.name] = f"coalesce(versions_{number}.{quoted(one.attribute)}, '')"
    return f"(SELECT part.*, {aliased(columns)} FROM (SELECT * FROM {source}) AS part {' '.join(joins)})"


def versions_table(reference: ReferenceTable) -> str:
    """Return the name of the table with a reference's versions: ``key``, ``valid_from``, ``valid_to`` and ``texts``."""
    return quoted(f"versions_of_{reference.name}")


def _windowed(kpi: KPI, source: str, group: Collection[str]) -> str:
    """Return SQL for partials with the columns that the measure adds; ``group`` is SQL for what makes a group."""
    windows = kpi.measure.windows
    if not windows:
        return source
    same_group = f"same_group AS (PARTITION BY {', '.join(group)})" if group else "same_group AS ()"
    return f"(SELECT *, {aliased(windows)} FROM {source} WINDOW {same_group})"


def finished_groups(kpi: KPI, groups: str, interval: Collection[str]) -> str:
    """Return SQL for a table of groups with the measure's further columns; ``interval`` names those of the interval."""
    finish = f", {aliased(kpi.measure.finish)}" if kpi.measure.finish else ""
    return f"SELECT *{finish} FROM ({groups}) WINDOW same_interval AS (PARTITION BY {listed(interval)})"


def _totals(kpi: KPI, source: str, start: str, groups: str) -> str:
    """Return SQL for each interval's value over all groups."""
    if not kpi.measure.adds_up:
        source = _windowed(kpi, source, [start])
        return (
            f"SELECT {start} AS interval_start, {kpi.measure.total} AS total FROM {source} GROUP BY {start} ORDER BY 1"
        )
    return f"""
        SELECT interval_start, coalesce(total, 0) AS total
        FROM (SELECT {start} AS interval_start FROM {source} GROUP BY {start})
        LEFT JOIN (SELECT interval_start, {kpi.measure.total} AS total FROM ({groups}) GROUP BY interval_start)
            USING (interval_start)
        ORDER BY interval_start"""


def _start_and_keys(start: str, starts: Collection[datetime]) -> tuple[str, list[str]]:
    """Return SQL for a row's interval start, and the GROUP BY columns for it: none if there is only one interval."""
    return (start, [start]) if len(starts) > 1 else (timestamp(next(iter(starts))), [])


def within(start: datetime, end: datetime) -> str:
    """Return SQL that is true for partials from start to end (UTC, excluded)."""
    return f"interval_start >= {timestamp(start)} AND interval_start < {timestamp(end)}"


def fetch(connection: duckdb.DuckDBPyConnection, kpi: KPI, query: str) -> dict[str, np.ndarray]:
    with translate_errors(kpi):
        return connection.execute(query).fetchnumpy()


@contextmanager
def translate_errors(kpi: KPI) -> Iterator[None]:
    """Translate DuckDB's error for a total that does not fit into 64 bits into TotalTooLarge."""
    import duckdb

    try:
        yield
    except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
        raise TotalTooLarge(f"{kpi.name}: a total {TOO_LARGE}") from error
