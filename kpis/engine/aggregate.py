"""Records to partials, partials to results: the KPIs' arithmetic, in DuckDB, with pandas frames at its ends."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pandas as pd

from kpis.catalog.intervals import Length, to_text
from kpis.catalog.kpis import KPI, SPELLED

TOTALS_COLUMNS = ["interval_start", "total", "groups"]
TOO_LARGE = "is beyond 2^63-1, the largest number that is kept"


class TotalTooLarge(Exception):
    """A KPI's figure does not fit 64 bits; the message names the KPI."""


@dataclass(frozen=True)
class Results:
    """One KPI's finished intervals of one length.

    ``rows`` has ``interval_start`` (datetime64, UTC), ``rank``, the KPI's dimensions and its value columns;
    ``totals`` has one row an interval: ``interval_start``, ``total`` (over all groups) and ``groups`` (how many).
    """

    kpi: KPI
    length: Length
    rows: pd.DataFrame
    totals: pd.DataFrame


def partial_of_records(connection: duckdb.DuckDBPyConnection, kpi: KPI, starts: Collection[datetime]) -> pd.DataFrame:
    """A KPI's partial over the connection's table ``records``, sorted by its keys.

    ``starts`` (UTC) are the intervals that the records lie in; ``interval_start`` (datetime64, UTC) is one of
    them. Raises TotalTooLarge.
    """
    start, keys = _start_and_keys("interval_start", starts)
    keys += kpi.partial_keys.values()
    columns = {"interval_start": start} | kpi.partial_keys | kpi.partial_values
    selected = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    query = f"SELECT {selected} FROM records GROUP BY {', '.join(keys)} ORDER BY {', '.join(keys)}"
    return _fetch(connection, kpi, query)


def results_of_partials(
    connection: duckdb.DuckDBPyConnection,
    kpi: KPI,
    length: Length,
    partials: str | None,
    starts: Collection[datetime],
    top_n: int,
    of_one_batch: bool = False,
) -> Results:
    """A KPI's results for the intervals of a length that start at ``starts`` (UTC).

    ``partials`` is SQL for a table of partials or None, as ``Lake.partials`` gives it; the KPI's reference table, if
    it has one, is a table of the connection. Groups are ranked by the value, largest first, ties by the dimensions,
    ascending; a KPI that keeps only the top has ``top_n`` rows an interval. An interval without partials has no rows.
    ``of_one_batch`` says that all partials are of one batch. Raises TotalTooLarge.
    """
    if partials is None or not starts:
        columns = ["interval_start", *kpi.columns, "rank"]
        return Results(kpi, length, pd.DataFrame(columns=columns), pd.DataFrame(columns=TOTALS_COLUMNS))
    floor = f"time_bucket(INTERVAL {length.minutes} MINUTES, interval_start, TIMESTAMP '1970-01-01')"
    start, keys = _start_and_keys(floor, starts)
    first, last = min(starts), max(starts) + length.delta
    source = f"{partials} WHERE interval_start >= {_timestamp(first)} AND interval_start < {_timestamp(last)}"
    if len(starts) > 1:
        source += f" AND {floor} IN ({', '.join(_timestamp(moment) for moment in starts)})"
    merge = kpi.measure.merge_one if of_one_batch and length == kpi.feed.interval else kpi.measure.merge
    groups = groups_of_partials(kpi, source, {"interval_start": start}, keys, merge)
    dimensions = ", ".join(kpi.dimensions)
    rows = _fetch(
        connection,
        kpi,
        f"""
        SELECT *, count(*) OVER (PARTITION BY interval_start) AS groups,
            row_number() OVER (
                PARTITION BY interval_start ORDER BY {kpi.value} DESC NULLS LAST, {dimensions}
            ) AS rank
        FROM ({finished_groups(kpi, groups, ["interval_start"])})
        {f"QUALIFY rank <= {int(top_n)}" if kpi.top else ""}
        ORDER BY interval_start, rank
        """,
    )
    group_counts = rows.pop("groups").groupby(rows["interval_start"]).first()
    totals = _fetch(connection, kpi, _totals(kpi, source, start, groups))
    totals["groups"] = totals["interval_start"].map(group_counts).fillna(0).astype("int64")
    return Results(kpi, length, rows, totals)


def groups_of_partials(
    kpi: KPI, source: str, interval: Mapping[str, str], keys: Collection[str], merge: Mapping[str, str]
) -> str:
    """SQL for a table of a KPI's groups: the interval's columns, dimensions, merged values.

    ``source`` is SQL for its partials and ``merge`` the measure's; ``interval`` are the columns that tell the
    interval, each with its SQL over the partials, and ``keys`` what to group by for them.
    """
    told = ", ".join(f"{sql} AS {name}" for name, sql in interval.items())
    values = ", ".join(f"{sql} AS {name}" for name, sql in merge.items())
    if kpi.reference:
        source = f"(SELECT * FROM {source}) JOIN {kpi.reference.table} USING ({kpi.reference.on})"
    merged = f"""
        SELECT {told}, {", ".join(kpi.dimensions)}, {values} FROM {source}
        GROUP BY {", ".join([*keys, *kpi.dimensions])} HAVING {kpi.measure.having}"""
    for dimension in kpi.folded:
        # Each group goes by the name that most of the interval's records give it.
        group = ", ".join([*interval, dimension.name])
        named = f"""
            SELECT {group}, first({dimension.spelling} ORDER BY spelled DESC, {dimension.spelling}) AS shown
            FROM (
                SELECT {told}, {dimension.name}, {dimension.spelling}, sum({SPELLED}) AS spelled
                FROM {source} GROUP BY {", ".join([*keys, dimension.name, dimension.spelling])}
            )
            GROUP BY {group}"""
        merged = f"""
            SELECT merged.* REPLACE (named.shown AS {dimension.name})
            FROM ({merged}) AS merged JOIN ({named}) AS named USING ({group})"""
    return merged


def finished_groups(kpi: KPI, groups: str, interval: Collection[str]) -> str:
    """SQL for a table of groups with the measure's further columns; ``interval`` names those that tell the interval."""
    finish = "".join(f", {sql} AS {name}" for name, sql in kpi.measure.finish.items())
    return f"SELECT *{finish} FROM ({groups}) WINDOW same_interval AS (PARTITION BY {', '.join(interval)})"


def _totals(kpi: KPI, source: str, start: str, groups: str) -> str:
    """SQL for each interval's value over all groups."""
    if not kpi.measure.adds_up:
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
    """SQL for a row's interval start, and what to group by for it: nothing where there is one interval only."""
    return (start, [start]) if len(starts) > 1 else (_timestamp(next(iter(starts))), [])


def _timestamp(moment: datetime) -> str:
    return f"TIMESTAMP '{to_text(moment).rstrip('Z')}'"


def _fetch(connection: duckdb.DuckDBPyConnection, kpi: KPI, query: str) -> pd.DataFrame:
    try:
        return connection.execute(query).df()
    except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
        raise TotalTooLarge(f"{kpi.name}: a total {TOO_LARGE}") from error
