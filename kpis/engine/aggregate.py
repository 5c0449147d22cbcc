"""Records to partials, partials to results: the KPIs' arithmetic, in DuckDB, with pandas frames at its ends."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pandas as pd

from kpis.catalog.intervals import Length, to_text
from kpis.catalog.kpis import KPI

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


def partial_columns(kpi: KPI) -> list[str]:
    """The columns of a KPI's partial, keys first: ``interval_start``, dimensions, the measure's own."""
    return ["interval_start", *kpi.dimensions, *kpi.measure.partial_keys, *kpi.measure.partial]


def partial_of_records(connection: duckdb.DuckDBPyConnection, kpi: KPI, starts: Collection[datetime]) -> pd.DataFrame:
    """A KPI's partial over the connection's table ``records``, sorted by its keys.

    ``starts`` (UTC) are the intervals that the records lie in; ``interval_start`` (datetime64, UTC) is one of
    them. Raises TotalTooLarge.
    """
    start, keys = _start_and_keys("interval_start", starts)
    keys = [*keys, *kpi.dimensions, *kpi.measure.partial_keys]
    columns = [f"{start} AS interval_start", *kpi.dimensions, *kpi.measure.partial_keys]
    columns += [f"{sql} AS {name}" for name, sql in kpi.measure.partial.items()]
    query = f"SELECT {', '.join(columns)} FROM records GROUP BY {', '.join(keys)} ORDER BY {', '.join(keys)}"
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

    ``partials`` is SQL for a table of partials or None, as ``Lake.partials`` gives it. Groups are ranked by the
    value, largest first, ties by the dimensions, ascending; a KPI that keeps only the top has ``top_n`` rows an
    interval. An interval without partials has no rows. ``of_one_batch`` says that all partials are of one batch.
    Raises TotalTooLarge.
    """
    if partials is None or not starts:
        columns = ["interval_start", "rank", *kpi.dimensions, *kpi.measure.merge]
        return Results(kpi, length, pd.DataFrame(columns=columns), pd.DataFrame(columns=TOTALS_COLUMNS))
    dimensions = ", ".join(kpi.dimensions)
    floor = f"time_bucket(INTERVAL {length.minutes} MINUTES, interval_start, TIMESTAMP '1970-01-01')"
    start, keys = _start_and_keys(floor, starts)
    first, last = min(starts), max(starts) + length.delta
    source = f"{partials} WHERE interval_start >= {_timestamp(first)} AND interval_start < {_timestamp(last)}"
    if len(starts) > 1:
        source += f" AND {floor} IN ({', '.join(_timestamp(moment) for moment in starts)})"
    merge = kpi.measure.merge_one if of_one_batch and length == kpi.feed.interval else kpi.measure.merge
    values = ", ".join(f"{sql} AS {name}" for name, sql in merge.items())
    rows = _fetch(
        connection,
        kpi,
        f"""
        SELECT start AS interval_start, {dimensions}, {", ".join(kpi.measure.merge)},
            row_number() OVER (PARTITION BY start ORDER BY {kpi.value} DESC, {dimensions}) AS rank,
            count(*) OVER (PARTITION BY start) AS groups
        FROM (
            SELECT {start} AS start, {dimensions}, {values} FROM {source}
            GROUP BY {", ".join([*keys, *kpi.dimensions])}
        )
        {f"QUALIFY rank <= {int(top_n)}" if kpi.top else ""}
        ORDER BY start, rank
        """,
    )
    totals = _fetch(
        connection,
        kpi,
        f"SELECT {start} AS interval_start, {kpi.measure.total} AS total FROM {source} GROUP BY {start} ORDER BY 1",
    )
    groups = rows.pop("groups").groupby(rows["interval_start"]).first()
    totals["groups"] = totals["interval_start"].map(groups)
    return Results(kpi, length, rows, totals)


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
