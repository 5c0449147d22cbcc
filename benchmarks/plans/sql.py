"""The figures as SQL that DuckDB and ClickHouse both have, over the groups of five minutes (calls: of a minute).

The engines differ in how they read files into these tables: ``antennas`` (start, antenna_id, bytes), ``apps``,
``users``, ``operators`` (start, operator, records, signal, signals, precission, precissions), ``reports`` (start,
postal_code, status, records), ``cells`` (start, cell, records, signal, signals) and ``calls`` (start, county,
operator, call_type, records). ``people`` are the subscribers.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.plans.figures import FIVE_MINUTES, HOUR, MINUTE, name

MESSAGES = {"timestamp": "BIGINT", "id": "VARCHAR", "antenna_id": "VARCHAR", "bytes": "BIGINT", "app": "VARCHAR"}
LOGS = {
    "hour": "VARCHAR",
    "lat": "DECIMAL(18, 6)",
    "long": "DECIMAL(18, 6)",
    "signal": "DOUBLE",
    "network": "VARCHAR",
    "operator": "VARCHAR",
    "status": "INTEGER",
    "description": "VARCHAR",
    "speed": "DOUBLE",
    "satellites": "DOUBLE",
    "precission": "DOUBLE",
    "provider": "VARCHAR",
    "activity": "VARCHAR",
    "postal_code": "VARCHAR",
}
CALLS = dict.fromkeys(["SourcePN", "DestPN", "Location", "StartT", "EndT", "Type", "Company"], "VARCHAR")


def figures(feed: str, best: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each figure's file, and the query; ``best`` picks the spelling of most of the records."""
    for kpi, (lengths, columns, values, groups) in _QUERIES[feed].items():
        for seconds in lengths:
            value = values.split(", ")[0]
            yield (
                name(kpi, seconds),
                f"""
                SELECT begin AS start, {columns}, {values}
                FROM ({groups.format(begin=f"start - start % {seconds} AS begin", best=best)})
                ORDER BY begin, {value} DESC NULLS LAST, {columns}""",
            )


# The seconds of a KPI's lengths, its columns, its values, the first of which ranks, and the query for the groups.
Query = tuple[tuple[int, ...], str, str, str]


def _volume(table: str, column: str) -> Query:
    groups = f"SELECT {{begin}}, {column}, sum(bytes) AS total FROM {table} GROUP BY begin, {column}"
    return (FIVE_MINUTES, HOUR), column, "total", groups


def _mean(groups: str, column: str, by: str) -> Query:
    mean = f"CASE WHEN {column}s > 0 THEN {column} / {column}s END AS mean"
    averaged = f"SELECT begin, {by}, {mean}, {column}s AS samples, records - {column}s AS missing FROM ({groups})"
    return (FIVE_MINUTES, HOUR), by, "mean, samples, missing", averaged


def _folded(table: str, by: str, values: str) -> str:
    """Return SQL for one group for all spellings of an operator."""
    added = ", ".join(f"sum({value}) AS {value}" for value in values.split(", "))
    return f"""
        SELECT begin, {{best}} AS name, {by}{added}
        FROM (SELECT {{begin}}, operator, {by}{added} FROM {table} GROUP BY begin, {by}operator) AS spelled
        GROUP BY begin, {by}lower(operator)"""


_OPERATORS = _folded("operators", "", "records, signal, signals, precission, precissions")
_CELLS = """
    SELECT {begin}, cell, sum(records) AS records, sum(signal) AS signal, sum(signals) AS signals
    FROM cells GROUP BY begin, cell"""
_EXCEEDED = """
    SELECT begin, email, total, quota
    FROM (
        SELECT {begin}, email, sum(bytes) AS total FROM users JOIN people ON people.id = users.id GROUP BY begin, email
    ) AS usage JOIN (SELECT email, max(quota) AS quota FROM people GROUP BY email) AS quotas USING (email)
    WHERE total > quota"""
_CALLS = (MINUTE, FIVE_MINUTES, HOUR)
_QUERIES: dict[str, dict[str, Query]] = {
    "antenna": {
        "AntennaTrafficVolume": _volume("antennas", "antenna_id"),
        "AppTrafficVolume": _volume("apps", "app"),
        "UserTrafficVolume": _volume("users", "id"),
        "UserQuotaExceeded": ((HOUR,), "email", "total, quota", _EXCEEDED),
    },
    "coverage": {
        "OperatorSignal": _mean(_OPERATORS, "signal", "name"),
        "OperatorGPSPrecision": _mean(_OPERATORS, "precission", "name"),
        "PostalCodeStatus": (
            (FIVE_MINUTES, HOUR),
            "postal_code, status",
            "total",
            "SELECT {begin}, postal_code, status, sum(records) AS total FROM reports "
            "GROUP BY begin, postal_code, status",
        ),
        "CoverageGridSignal": _mean(_CELLS, "signal", "cell"),
    },
    "cdr": {
        "CountyCallVolume": (
            _CALLS,
            "county",
            "total",
            "SELECT {begin}, county, sum(records) AS total FROM calls GROUP BY begin, county",
        ),
        "OperatorCallVolume": (
            _CALLS,
            "name, call_type",
            "records, records / sum(records) OVER (PARTITION BY begin) AS share",
            _folded("calls", "call_type, ", "records"),
        ),
    },
}
