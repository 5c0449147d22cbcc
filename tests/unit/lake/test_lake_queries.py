"""Queries of the lake: what they read, what they cannot, how they are answered, and the DDL for other engines."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import datetime
from functools import partial
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import sqlglot
from django.conf import settings as project
from django.core.management import CommandError, call_command
from sqlglot import expressions

from kpis.catalog.registry import FEEDS
from kpis.lake.ddl import ATHENA_TYPES, DIALECTS, SPARK_TYPES, TRINO_TYPES, statements
from kpis.lake.tables import lake_tables
from kpis.lake.views import QueryError, answered
from kpis.store.ledger_tables import DatabaseLedgerTables
from tests.copies import made_once
from tests.twin import moment
from tests.two_hours import (
    ingest_two_hours,
    output_of,
    questions,
    rows,
    values,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_alone]


@pytest.fixture
def lake(data_dir, lake_dir, tmp_path, settings) -> Path:
    """The lake with the two hours, and rejects in two feeds."""
    settings.ARCHIVE_FEEDS = tuple(FEEDS)
    made_once("two hours", tmp_path, lambda: ingest_two_hours(data_dir))
    return lake_dir


# What is read, and what cannot be.


@pytest.mark.parametrize(
    "condition",
    [
        "year = 2021 AND month = 7 AND day = 18 AND hour = 1",
        "hour > 0",
        "hour_start = TIMESTAMP '2021-07-18 01:00:00'",
        "hour_start >= '2021-07-18 01:00' AND hour_start < '2021-07-18 02:00'",
    ],
)
def test_a_condition_on_the_hour_reads_that_hours_files_alone(lake, condition):
    for view in ("CellUniqueUsers", "CellUniqueUsers_partials", "OperatorSignal", "OperatorCallVolume", "cdr"):
        query = f"SELECT * FROM {view} WHERE {condition} ORDER BY ALL"
        plan = output_of(f"EXPLAIN ANALYZE {query}")
        kind = "records" if view in FEEDS else "partials"
        files = list((lake / kind / view.removesuffix("_partials")).rglob("*.parquet"))
        wanted = (str(sum("hour=01" in path.parts for path in files)), str(len(files)))
        assert set(re.findall(r"Scanning Files: (\d+)/(\d+)", plan)) == {wanted}, plan
        unpruned = f"SELECT * FROM {view} WHERE interval_start >= '2021-07-18 01:00' ORDER BY ALL"
        assert values(query) == values(unpruned) != []


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "FROM '/etc/hostname.csv'",
        "SELECT * FROM glob('/etc/*')",
    ],
)
def test_no_other_file_can_be_read(query):
    with pytest.raises(CommandError, match="disabled by configuration"):
        output_of(query)


def test_no_file_can_be_read_by_a_way_out_of_the_lake(lake_dir):
    (lake_dir / "partials").mkdir(parents=True)
    (lake_dir.parent / "secret.txt").write_text("secret")
    for path in (f"{lake_dir}/../secret.txt", f"{lake_dir}/partials/../../secret.txt"):
        with pytest.raises(CommandError, match="disabled by configuration"):
            output_of(f"SELECT * FROM read_text('{path}')")


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1) TO '{lake}/x.parquet'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{lake}/x.parquet'",
        "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{lake}/x.parquet'",
        "SELECT 1; COPY (SELECT 1) TO '{lake}/x.parquet'",
        "ATTACH '{lake}/x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET lock_configuration = false",
        "DROP VIEW cdr",
        "CREATE TABLE x AS SELECT 1",
        "DELETE FROM batches",
        "PRAGMA enable_profiling",
        "",
        "-- nothing",
    ],
)
def test_a_query_can_write_nothing(lake_dir, query):
    lake_dir.mkdir()
    with pytest.raises(CommandError, match="Give one SELECT"):
        output_of(query.format(lake=lake_dir))
    assert list(lake_dir.iterdir()) == []


def test_python_variables_are_not_tables():
    frame = pd.DataFrame({"a": [1]})  # noqa: F841  a name that a query could find
    with pytest.raises(CommandError, match="Table with name frame does not exist"):
        output_of("SELECT * FROM frame")


def test_a_folder_with_the_signs_of_a_pattern_is_read_as_it_is_called(lake, settings):
    settings.LAKE_DIR = lake.rename(lake.with_name("lake [1] * 'x' ?"))
    assert rows("SELECT count(*) FROM cdr") == [(5,)]


# What the command says.


def test_a_wrong_query_is_reported_in_one_message():
    with pytest.raises(CommandError, match=r'(?s)Parser Error: syntax error at or near "SELEC".*LINE 1') as raised:
        output_of("SELEC 1")
    assert raised.value.returncode == 1


def test_an_unknown_view_lists_those_there_are():
    with pytest.raises(CommandError, match=r"The views are ipflow, antenna, .*, rejects, batches"):
        output_of("SELECT * FROM nosuch JOIN cdr USING (batch)")


def test_what_goes_wrong_while_rows_are_read_is_reported_too():
    with pytest.raises(CommandError, match="Could not convert string 'x'"):
        output_of("SELECT CAST(if(i = 99999, 'x', '1') AS INTEGER) FROM range(100000) t(i)", format="csv")


def test_a_failed_answer_leaves_the_file_that_was_there(tmp_path):
    for name, format_ in (("a.csv", "csv"), ("a.parquet", "parquet")):
        (tmp_path / name).write_text("before")
        with pytest.raises(CommandError, match="Could not convert"):
            output_of(
                "SELECT CAST(if(i = 99999, 'x', '1') AS INTEGER) FROM range(100000) t(i)",
                format=format_,
                out=tmp_path / name,
            )
        assert (tmp_path / name).read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.parquet"]


def test_parquet_needs_a_file():
    with pytest.raises(CommandError, match="needs --out FILE") as raised:
        output_of("SELECT 1", format="parquet")
    assert raised.value.returncode == 2


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    for format_ in ("csv", "parquet"):
        with pytest.raises(CommandError, match="nowhere"):
            output_of("SELECT 1", format=format_, out=tmp_path / "nowhere" / "x")


ODD = """
    SELECT 7 AS n, NULL AS nothing, 1.50 AS d, 'a "b", c' AS t, TIMESTAMP '2021-07-18 00:05:00' AS at, true AS b,
        DATE '2021-07-18' AS day, [1, 2] AS l, 'nan'::DOUBLE AS nan, E'x\\ny' AS n
"""


def test_a_table_is_aligned():
    assert output_of("SELECT i AS number, 'x' || i AS name, NULL AS nothing FROM range(9, 11) t(i)") == (
        "number  name  nothing\n     9  x9\n    10  x10\n(2 rows)\n"
    )
    assert output_of("SELECT 1 AS a WHERE false") == "a\n(0 rows)\n"
    assert output_of("SELECT E'\\x1b[2J' AS a") == "a\n\\x1b[2J\n(1 row)\n"


def test_csv_is_plain():
    text = output_of(ODD, format="csv")
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["n", "nothing", "d", "t", "at", "b", "day", "l", "nan", "n"],
        ["7", "", "1.50", 'a "b", c', "2021-07-18T00:05:00Z", "true", "2021-07-18", "[1, 2]", "nan", "x\ny"],
    ]


def test_json_is_an_array_with_moments_in_utc():
    assert json.loads(output_of(ODD, format="json")) == [
        {
            "n": 7,
            "nothing": None,
            "d": 1.5,
            "t": 'a "b", c',
            "at": "2021-07-18T00:05:00Z",
            "b": True,
            "day": "2021-07-18",
            "l": [1, 2],
            "nan": None,
            "n_1": "x\ny",
        }
    ]
    assert json.loads(output_of("SELECT 1 WHERE false", format="json")) == []
    assert json.loads(output_of("SELECT i FROM range(3) t(i)", format="json")) == [{"i": 0}, {"i": 1}, {"i": 2}]


def test_parquet_keeps_the_types(lake, tmp_path):
    output_of(
        "SELECT app, hour_start, total_bytes FROM AppTrafficVolume ORDER BY ALL", format="parquet", out=tmp_path / "a"
    )
    found = duckdb.read_parquet(str(tmp_path / "a"))
    assert [str(type_) for type_ in found.types] == ["VARCHAR", "TIMESTAMP", "BIGINT"]
    assert found.fetchall()[0] == ("SKYPE", datetime(2021, 7, 18), 20)  # noqa: DTZ001


def test_rows_come_before_the_last_is_computed():
    with answered("SELECT i FROM range(1000000000000) t(i)", project.LAKE_DIR, DatabaseLedgerTables()) as answer:
        assert [next(answer.rows) for _ in range(3)] == [(0,), (1,), (2,)]


# The questions of the guide.


ANSWERS = {
    "The cells with the most users of a day": [(7, 2), (8, 2), (9, 1)],
    "Bytes per app and hour": [
        ("2021-07-18T00:00:00Z", "SKYPE", 60),
        ("2021-07-18T00:00:00Z", "TELEGRAM", 7),
        ("2021-07-18T01:00:00Z", "TELEGRAM", 3),
    ],
    "One user's hourly usage": [("2021-07-18T00:00:00Z", 60), ("2021-07-18T01:00:00Z", 3)],
    "The worst signal per operator, as its lowest average of five minutes, and when that was": [
        ("Movistar", -2.0, 1, "2021-07-18T01:05:00Z"),
        ("orange", 2.5, 1, "2021-07-18T01:00:00Z"),
    ],
    "Rejects by reason": [
        ("antenna", "", "is JSON, but not an object", 1, 1),
        ("ipflow", "msisdn", "is less than 1", 1, 1),
        ("ipflow", "msisdn", "is not a whole number", 1, 1),
    ],
}


def test_the_guides_questions_have_their_answers(lake):
    assert {question: rows(query) for question, query in questions().items()} == ANSWERS


# The same lake in other engines.


def ddl(dialect: str, **options) -> str:
    out = io.StringIO()
    call_command("lake_ddl", dialect=dialect, stdout=out, **options)
    return out.getvalue()


def test_duckdb_takes_its_statements_and_finds_the_rows(lake):
    with duckdb.connect() as connection:
        connection.execute(ddl("duckdb"))
        query = partial(connection.execute)
        assert query("SELECT count(*) FROM network_analysis.ipflow").fetchall() == [(7,)]
        assert query("SELECT sum(sum) FROM network_analysis.AppTrafficVolume_partials WHERE hour = 1").fetchall() == [
            (3,)
        ]
        assert query("SELECT count(*) FROM network_analysis.ipflow_rejects").fetchall() == [(2,)]
        assert query("SELECT count(*) FROM network_analysis.cdr_rejects").fetchall() == [(0,)]
        query("USE network_analysis")
        for table in lake_tables():
            # The types are those of the files, where there are any.
            found = [(name, type_) for name, type_, *_ in query(f'DESCRIBE "{table.name}"').fetchall()]
            folders = [(folder, "INTEGER") for folder in ("year", "month", "day", "hour")]
            columns = [(column.name, column.type) for column in table.columns]
            assert found == [*columns, *folders, ("hour_start", "TIMESTAMP")]
        comments = dict(
            query("SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'coverage'").fetchall()
        )
        assert (comments["hour"], comments["network"]) == (None, None)
        assert comments["signal"] == (
            "ASU; -5 to 97; unknown: empty, -1, 99, 255, 2147483647 "
            "(3GPP TS 27.007 8.5 and 8.69, TS 25.133 9.1.1.3, Android CellSignalStrength)"
        )


@pytest.mark.parametrize(
    ("dialect", "types", "folder"),
    [("athena", ATHENA_TYPES, "int"), ("spark", SPARK_TYPES, "string"), ("trino", TRINO_TYPES, "varchar")],
)
def test_every_column_has_its_type_unit_and_folders_there(dialect, types, folder):
    parsed = parsed_by(dialect, ddl(dialect, location="s3://bucket/lake"))
    created = [one for one in parsed if isinstance(one, expressions.Create) and one.kind == "TABLE"]
    tables = lake_tables()
    # Athena's statements that create are Hive's.
    spoken = "hive" if dialect == "athena" else dialect
    assert len(created) == len(tables) == 19
    for create, table in zip(created, tables, strict=True):
        assert create.this.this.db == "network_analysis"
        assert create.this.this.name.lower() == table.name.lower()
        columns = list(create.this.find_all(expressions.ColumnDef))
        ddl_columns = [(column.name.lower(), column.kind.sql(spoken).lower(), unit_of(column)) for column in columns]
        wanted = [
            (column.name.lower(), types[column.type].lower().replace(",", ", "), column.unit)
            for column in table.columns
        ]
        folders = [(name, folder, "") for name in ("year", "month", "day", "hour")]
        if dialect == "athena":
            partitioned = create.find(expressions.PartitionedByProperty)
            ddl_columns += [
                (column.name, column.kind.sql(spoken).lower(), "")
                for column in partitioned.find_all(expressions.ColumnDef)
            ]
        assert ddl_columns == wanted + folders
        assert f"s3://bucket/lake/{table.folder}/" in create.sql(dialect)


def parsed_by(dialect: str, text: str) -> list[expressions.Expression]:
    # What finds the folders is no SQL that the parser knows.
    text = re.sub(r"^(CALL|MSCK) .*;$", "", text, flags=re.MULTILINE)
    return [one for one in sqlglot.parse(text, dialect=dialect) if one]


def unit_of(column: expressions.ColumnDef) -> str:
    comment = column.find(expressions.CommentColumnConstraint)
    return comment.this.name if comment else ""


def test_athena_finds_folders_whose_numbers_have_zeros():
    text = ddl("athena", location="s3://bucket/lake/")
    for folder, digits in {"year": 4, "month": 2, "day": 2, "hour": 2}.items():
        assert text.count(f"'projection.{folder}.digits' = '{digits}'") == 19
    place = "s3://bucket/lake/records/cdr/year=${year}/month=${month}/day=${day}/hour=${hour}/"
    assert f"'storage.location.template' = '{place}'" in text


def test_spark_and_trino_find_the_folders_that_there_are():
    tables = lake_tables()
    spark = ddl("spark", location="s3a://bucket/lake")
    trino = ddl("trino", location="s3://bucket/lake")
    for table in tables:
        assert f"MSCK REPAIR TABLE network_analysis.`{table.name}`;" in spark
        assert f"CALL system.sync_partition_metadata('network_analysis', '{table.name.lower()}', 'FULL');" in trino
    assert trino.count("partitioned_by = ARRAY['year', 'month', 'day', 'hour']") == len(tables)


def test_the_location_is_the_lake_by_default(lake):
    assert f"LOCATION 'file://{lake}/records/cdr/'" in ddl("spark")
    assert f"external_location = 'file://{lake}/records/cdr/'" in ddl("trino")
    with pytest.raises(CommandError, match="Athena needs --location") as raised:
        ddl("athena")
    assert raised.value.returncode == 2


def test_quotes_and_backslashes_in_a_location_end_no_text():
    for dialect in ("athena", "spark", "trino"):
        text = "".join(statements(DIALECTS[dialect], "s3://b/it's \\ here"))
        places = {one.name for create in parsed_by(dialect, text) for one in create.find_all(expressions.Literal)}
        assert "s3://b/it's \\ here/records/cdr/" in places, dialect


def test_an_error_of_the_query_is_a_query_error():
    with pytest.raises(QueryError), answered("SELECT nosuch", project.LAKE_DIR, DatabaseLedgerTables()):
        pass


TYPED = {
    "now() = now()": "true",
    "TIMESTAMPTZ '2021-07-18 02:00:00+02'": "2021-07-18T00:00:00Z",
    "TIMESTAMPTZ '2021-07-18 02:00:00+02' AT TIME ZONE 'UTC'": "2021-07-18T00:00:00Z",
    "to_timestamp(1626566400.25)": "2021-07-18T00:00:00.25Z",
    "TIMESTAMP_NS '2021-07-18 00:00:00.123456789'": "2021-07-18T00:00:00.123456789Z",
    "TIMESTAMP_S '2021-07-18 00:00:01'": "2021-07-18T00:00:01Z",
    "'infinity'::TIMESTAMPTZ": "infinity",
    "'-infinity'::TIMESTAMP": "-infinity",
    "'infinity'::DATE": "infinity",
    "'200000-01-01'::TIMESTAMP": "200000-01-01T00:00:00Z",
    "DATE '2021-07-18'": "2021-07-18",
    "TIME '00:05:00'": "00:05:00",
    "INTERVAL 3 MONTHS": "3 months",
    "INTERVAL '1 day 02:03:04.5'": "1 day 02:03:04.5",
    "170141183460469231731687303715884105727::HUGEINT": "170141183460469231731687303715884105727",
    "'\\xAA\\x00'::BLOB": "aa00",
    "NULL": "",
    "NULL::TIMESTAMPTZ": "",
    "'inf'::DOUBLE": "inf",
    "[to_timestamp(0), NULL]": '["1970-01-01T00:00:00Z", null]',
    "array_value(to_timestamp(0))": '["1970-01-01T00:00:00Z"]',
    "{'at': to_timestamp(0), 'of \"it\"': [INTERVAL 2 MONTHS]}": (
        '{"at": "1970-01-01T00:00:00Z", "of \\"it\\"": ["2 months"]}'
    ),
    "map([to_timestamp(0)], [DATE 'infinity'])": '{"1970-01-01T00:00:00Z": "infinity"}',
    "map([[1]], [to_timestamp(0)])": '{"key": [[1]], "value": ["1970-01-01T00:00:00Z"]}',
    "union_value(k := to_timestamp(0))": "1970-01-01 00:00:00+00",
    "'a'::ENUM('a', 'b')": "a",
    "'00000000-0000-0000-0000-000000000004'::UUID": "00000000-0000-0000-0000-000000000004",
}


def test_every_type_is_answered_in_every_format(tmp_path):
    query = f"SELECT {', '.join(TYPED)} -- all of them"
    wanted = list(TYPED.values())
    [_, row] = csv.reader(io.StringIO(output_of(query, format="csv"), newline=""))
    assert row == wanted
    table = output_of(query).splitlines()
    assert len(table) == 3
    assert all(text in table[1] for text in wanted)
    [answer] = json.loads(output_of(query, format="json"))
    texts = {name: value for name, value in zip(TYPED, answer.values(), strict=True) if isinstance(value, str)}
    assert texts == {name: TYPED[name] for name in texts}
    assert texts.keys() >= {name for name in TYPED if "TIMESTAMP" in name or "INTERVAL 3" in name} - {
        "NULL::TIMESTAMPTZ"
    }
    without = [text for text in TYPED if not text.startswith(("'infinity'::DATE", "union", "'200000", "170141"))]
    path = tmp_path / "x.parquet"
    output_of(f"SELECT {', '.join(without)} -- all that Parquet has", format="parquet", out=path)
    assert len(duckdb.sql(f"FROM '{path}'").columns) == len(without)


def test_now_is_answered_in_every_format(tmp_path):
    for format_ in ("table", "csv", "json"):
        assert re.search(r"20\d\d-\d\d-\d\dT[0-9:.]+Z", output_of("SELECT now()", format=format_)), format_
    output_of("SELECT now() AS moment", format="parquet", out=tmp_path / "now.parquet")
    assert duckdb.sql(f"SELECT moment > TIMESTAMPTZ '2021-01-01' FROM '{tmp_path}/now.parquet'").fetchall() == [(True,)]
    assert values("SELECT to_timestamp(0)") == [(moment(0).replace(tzinfo=None),)]


FAILS_LATE = "SELECT to_timestamp(CAST(if(i = 99999, 'x', '1') AS INTEGER)) AS at FROM range(100000) t(i)"


def test_an_answer_that_fails_leaves_nothing_open():
    out = io.StringIO()
    with pytest.raises(CommandError, match="Could not convert"):
        call_command("query_lake", "SELECT CAST('x' || now() AS INTEGER)", format="json", stdout=out)
    assert out.getvalue() == ""
    with pytest.raises(CommandError, match="Could not convert"):
        call_command("query_lake", FAILS_LATE, format="json", stdout=out)
    assert out.getvalue() == "" or json.loads(out.getvalue())[0] == {"at": "1970-01-01T00:00:01Z"}
