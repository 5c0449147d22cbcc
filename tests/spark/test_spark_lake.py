"""The lake as Spark and DuckDB find it by the statements of ``lake_ddl``: they answer what ``query_lake`` answers."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime
from decimal import Decimal

import duckdb
import pytest
from django.core.management import call_command

from tests.spark.test_spark import START, Folder, empty_tables, ingest

pytestmark = pytest.mark.django_db(transaction=True)

# Over the lake's tables, in words that all three engines know; hours are found by interval_start.
QUERIES = [
    "SELECT count(*) AS records, count(DISTINCT id) AS users, sum(bytes) AS bytes FROM antenna",
    "SELECT app, sum(bytes) AS bytes, min(timestamp) AS first FROM antenna GROUP BY app ORDER BY bytes DESC, app",
    "SELECT interval_start, count(*) AS records FROM antenna GROUP BY interval_start ORDER BY interval_start",
    "SELECT service_id, sum(sum) AS bytes FROM ServiceTrafficVolume_partials GROUP BY service_id "
    "ORDER BY bytes DESC, service_id LIMIT 5",
    "SELECT cell_id, count(DISTINCT msisdn) AS users FROM CellUniqueUsers_partials "
    "GROUP BY cell_id HAVING count(DISTINCT msisdn) > 2 ORDER BY users DESC, cell_id",
    "SELECT count(DISTINCT msisdn) AS users FROM CellUniqueUsers_partials WHERE cell_id <> 1",
    "SELECT antenna_id, sum(sum) AS bytes FROM AntennaTrafficVolume_partials GROUP BY antenna_id ORDER BY antenna_id",
    "SELECT operator, sum(micro_sum) AS micro, sum(samples) AS samples, sum(empty) AS empty "
    "FROM OperatorSignal_partials GROUP BY operator ORDER BY operator",
    "SELECT postal_code, status, sum(count) AS reports FROM PostalCodeStatus_partials "
    "GROUP BY postal_code, status ORDER BY postal_code, status",
    "SELECT grid_cell, sum(samples) AS samples FROM CoverageGridSignal_partials GROUP BY grid_cell ORDER BY grid_cell",
    "SELECT county, interval_start, sum(count) AS calls FROM CountyCallVolume_partials "
    "WHERE interval_start >= TIMESTAMP '2021-07-18 01:00:00' GROUP BY county, interval_start ORDER BY 1, 2",
    "SELECT call_type, max(interval_start) AS newest, sum(count) AS calls FROM OperatorCallVolume_partials "
    "GROUP BY call_type ORDER BY call_type",
    "SELECT reason, count(*) AS rejects FROM {rejects} GROUP BY reason ORDER BY rejects DESC, reason",
]


@pytest.fixture
def lake(data_dir, settings):
    """Two hours of all feeds, compacted and not."""
    empty_tables()
    folder = Folder(data_dir)
    folder.step_1()
    ingest(settings)
    folder.put_records("ipflow", "late", START + 600, 40)
    folder.put_records("cdr", "late", START + 600, 40)
    ingest(settings)
    return settings.LAKE_DIR


def statements(dialect: str) -> list[str]:
    out = io.StringIO()
    call_command("lake_ddl", dialect=dialect, stdout=out)
    return [one for one in out.getvalue().split(";\n") if one.strip()]


def query_lake(query: str) -> list[tuple[str, ...]]:
    out = io.StringIO()
    call_command("query_lake", query, format="csv", stdout=out)
    header, *rows = csv.reader(io.StringIO(out.getvalue()))
    return [tuple(header), *map(tuple, rows)]


def as_text(names, rows) -> list[tuple[str, ...]]:
    """An answer as query_lake writes it."""

    def text(value):
        match value:
            case None:
                return ""
            case datetime():
                return f"{value.isoformat()}Z"
            case date() | Decimal() | int() | str():
                return str(value)
        raise AssertionError(value)

    return [tuple(names), *(tuple(map(text, row)) for row in rows)]


def test_spark_and_duckdb_run_the_statements_and_answer_what_query_lake_answers(lake, spark):
    session = spark.session
    for statement in statements("spark"):
        session.sql(statement)
    try:
        with duckdb.connect() as connection:
            connection.execute(";".join(statements("duckdb")))
            session.sql("USE network_analysis")
            connection.execute("USE network_analysis")
            rejects = {
                "spark": " UNION ALL ".join(
                    f"SELECT * FROM {feed}_rejects" for feed in ("ipflow", "antenna", "coverage", "cdr")
                )
            }
            for query in QUERIES:
                wanted = query_lake(query.format(rejects="rejects"))
                assert len(wanted) > 1
                elsewhere = query.format(rejects=f"({rejects['spark']})")
                found = session.sql(elsewhere)
                assert as_text(found.columns, found.collect()) == wanted
                answer = connection.execute(elsewhere)
                assert as_text([column[0] for column in answer.description], answer.fetchall()) == wanted
            found = session.sql("SELECT hour, count(*) FROM ServiceTrafficVolume_partials GROUP BY hour ORDER BY hour")
            assert [row[0] for row in found.collect()] == ["00", "01"]
    finally:
        session.sql("USE default")
        session.sql("DROP DATABASE network_analysis CASCADE")
