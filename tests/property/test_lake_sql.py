"""SQL over the lake: its views give what the tables and the records give, read what they must, and nothing else."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import sqlglot
from django.conf import settings as project
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant, run_state_machine_as_test
from sqlglot import expressions

from kpis.catalog.registry import FEEDS, KPIS
from kpis.lake.ddl import ATHENA_TYPES, DIALECTS, SPARK_TYPES, TRINO_TYPES, statements
from kpis.lake.tables import lake_tables
from kpis.lake.views import QueryError, answered, view_names
from kpis.models import Batch, LakeFile, QuotaChange, Subscriber
from kpis.reference.subscribers import put_subscribers
from kpis.store.ledger_tables import DatabaseLedgerTables
from tests import twin
from tests.copies import made_once
from tests.effort import times
from tests.factories import make_user
from tests.property.test_histories import Histories
from tests.twin import Call, Flow, Log, Message, expected, file_text, moment, stored, uuid

pytestmark = pytest.mark.django_db(transaction=True)

START = 1626566400  # 2021-07-18T00:00:00Z
HOUR = 3600
SUBSCRIBERS = {4: ("ana@example.com", 50), 5: ("bo@example.com", 10**9)}

# Two hours of four feeds. By hour: cell 7 has users {1, 2} and {1, 2}, cell 8 {1} and {3}, cell 9 {} and {3}.
FLOWS = [
    Flow(START, 1, 100, 10, service=1, cell=7),
    Flow(START, 2, 100, 10, service=2, cell=7),
    Flow(START + 300, 1, 5, 5, service=1, cell=8),
    Flow(START + HOUR, 1, 1, 0, service=3, cell=7),
    Flow(START + HOUR, 2, 1, 0, service=3, cell=7),
    Flow(START + HOUR, 3, 1, 0, service=3, cell=8),
    Flow(START + HOUR + 300, 3, 1, 0, service=3, cell=9),
]
MESSAGES = [
    Message(START + 1, device=4, antenna=1, bytes=40, app="SKYPE"),
    Message(START + 301, device=4, antenna=1, bytes=20, app="SKYPE"),
    Message(START + 2, device=5, antenna=2, bytes=7, app="TELEGRAM"),
    Message(START + HOUR, device=4, antenna=2, bytes=3, app="TELEGRAM"),
]
LOGS = [
    Log(START, "Orange", "4", 0, "10.5", "08001"),
    Log(START + 1, "ORANGE", "2", 1, "", "08001", "-0.01", "-180"),
    Log(START + 2, "ORANGE", "", 0, "1", "", "", ""),
    Log(START + HOUR, "orange", "2.5", 0, "1", "250236.0"),
    Log(START + HOUR, "Movistar", "9", 0, "1", "250236"),
    Log(START + HOUR + 300, "Movistar", "-2", 3, "1", "250236"),
]
CALLS = [
    Call(START, "Kern", "O2", "CALL"),
    Call(START + 59, "Kern", "o2", "CALL"),
    Call(START + 59, "Inyo", "O2", "CALL"),
    Call(START + 60, "Kern", "Vodafone", "TEXT"),
    Call(START + HOUR, "Kern", "Vodafone", "TEXT"),
]
FILES = {
    "ipflow_data.a.csv": FLOWS[:4],
    "ipflow_data.b.csv": FLOWS[4:],
    "antenna_data.a.jsonl": MESSAGES,
    "coverage_data.a.csv": LOGS,
}
FILES["cdr_data.a.csv"] = CALLS
WATERMARK = START + 2 * HOUR
# No KPI's interval has so many groups.
ALL = 10**6


@pytest.fixture
def lake(data_dir, lake_dir, tmp_path, settings) -> Path:
    """The lake with the two hours above, and rejects in two feeds."""
    settings.ARCHIVE_FEEDS = tuple(FEEDS)
    made_once(__name__, tmp_path, lambda: ingest_all(data_dir))
    return lake_dir


def ingest_all(folder: Path) -> None:
    put_subscribers(
        Subscriber(id=uuid(device), name=email, email=email, quota=quota)
        for device, (email, quota) in SUBSCRIBERS.items()
    )
    for name, records in FILES.items():
        write(folder, name, records)
    with (folder / "ipflow_data.a.csv").open("a") as file:
        file.write(
            f"{START * 1000},{START * 1000 + 300000},x,1,1,1,1\n{START * 1000},{START * 1000 + 300000},0,1,1,1,1\n"
        )
    with (folder / "antenna_data.a.jsonl").open("a") as file:
        file.write("[]\n")
    update()


def write(folder: Path, name: str, records) -> None:
    (folder / name).write_text(file_text(records))


def update(**options) -> None:
    out = io.StringIO()
    options = {"rollup_open_hours": True} | options
    call_command("update_network_stats", stdout=out, stderr=out, **options)


def output_of(query: str, **options) -> str:
    """What the command says."""
    out = io.StringIO()
    call_command("query_lake", query, stdout=out, **options)
    return out.getvalue()


def rows(query: str) -> list[tuple]:
    """A query's rows, as the command's JSON has them."""
    return [tuple(row.values()) for row in json.loads(output_of(query, format="json"))]


def values(query: str) -> list[tuple]:
    """A query's rows, without the command."""
    with answered(query, project.LAKE_DIR, DatabaseLedgerTables()) as answer:
        return list(answer.rows)


def described(view: str) -> list[tuple]:
    return [(name, type_) for name, type_, *_ in rows(f"DESCRIBE {view}")]


def figures(kpi: twin.TwinKPI) -> dict[datetime, list[tuple]]:
    """What a KPI's view says of its shortest intervals: their groups, largest first, ranked."""
    name = KPIS[kpi.id].name
    found = defaultdict(list)
    length = timedelta(seconds=min(twin.SECONDS[interval] for interval in kpi.intervals))
    value = KPIS[kpi.id].value
    dimensions = ", ".join(KPIS[kpi.id].dimensions)
    query = f"""
        SELECT interval_start, interval_end, {", ".join(kpi.columns)} FROM {name}
        ORDER BY interval_start, {value} DESC NULLS LAST, {dimensions}"""
    for start, end, *columns in values(query):
        assert end - start == length
        found[start].append((len(found[start]) + 1, *map(twin.rounded, columns)))
    return found


def of_shortest(kpi: twin.TwinKPI, computed: dict) -> dict[datetime, list[tuple]]:
    """Of the rows that the twin or the tables give, a KPI's for its shortest intervals, by their starts."""
    shortest = min(kpi.intervals, key=lambda interval: twin.SECONDS[interval])
    return {
        start.replace(tzinfo=None): found
        for (id_, interval, start), found in computed.items()
        if (id_, interval) == (kpi.id, shortest)
    }


# What the views hold.


def test_a_kpis_view_has_the_twins_figures_of_all_groups(lake):
    wanted, _ = expected(FILES, WATERMARK, top_n=ALL, subscribers=SUBSCRIBERS)
    for kpi in twin.KPIS:
        assert figures(kpi) == of_shortest(kpi, wanted) != {}, KPIS[kpi.id].name


def test_a_kpis_view_goes_beyond_the_top_of_its_table(data_dir):
    write(data_dir, "ipflow_data.a.csv", [Flow(START, 1, service, 0, service, cell=7) for service in range(1, 31)])
    update()
    assert rows("SELECT count(*), sum(total_bytes) FROM ServiceTrafficVolume") == [(30, 465)]


def test_partials_keep_distinct_users_exact_over_any_span(lake):
    by_hour = (
        "SELECT hour_start, cell_id, count(DISTINCT msisdn) FROM CellUniqueUsers_partials GROUP BY ALL ORDER BY ALL"
    )
    midnight, one = "2021-07-18T00:00:00Z", "2021-07-18T01:00:00Z"
    assert rows(by_hour) == [(midnight, 7, 2), (midnight, 8, 1), (one, 7, 2), (one, 8, 1), (one, 9, 1)]


def test_a_feeds_view_has_its_records(lake):
    flows = rows(
        "SELECT interval_start_timestamp, msisdn, bytes_uplink, bytes_downlink, service_id, cell_id FROM ipflow"
    )
    assert Counter(flows) == Counter(
        (flow.start * 1000, flow.msisdn, flow.uplink, flow.downlink, flow.service, flow.cell) for flow in FLOWS
    )
    messages = rows("SELECT timestamp, id, antenna_id, bytes, app FROM antenna")
    assert Counter(messages) == Counter(
        (one.start, uuid(one.device), uuid(one.antenna), one.bytes, one.app) for one in MESSAGES
    )
    logs = rows("SELECT date, coverage_hour, operator, signal, status, precission, postal_code FROM coverage")
    assert Counter(logs) == Counter(
        (
            f"{moment(log.start):%Y-%m-%d}",
            f"{moment(log.start):%H:%M:%S}",
            log.operator,
            float(log.signal) if log.signal else None,
            log.status,
            float(log.precision) if log.precision else None,
            log.postal_code.removesuffix(".0") or None,
        )
        for log in LOGS
    )
    calls = rows("SELECT StartT, Location, Company, Type FROM cdr")
    assert Counter(calls) == Counter(
        (f"{moment(one.start):%Y-%m-%dT%H:%M:%SZ}", one.county, one.operator, one.call_type) for one in CALLS
    )


def test_rejects_name_their_file_and_line(lake):
    found = rows('SELECT feed, file_name, line, "column", reason, text FROM rejects ORDER BY ALL')
    assert [row[:5] for row in found] == [
        ("antenna", "antenna_data.a.jsonl", 5, "", "is JSON, but not an object"),
        ("ipflow", "ipflow_data.a.csv", 6, "msisdn", "is not a whole number"),
        ("ipflow", "ipflow_data.a.csv", 7, "msisdn", "is less than 1"),
    ]
    assert found[0][5] == "[]"


def test_batches_are_the_ledger(lake, data_dir):
    (data_dir / "cdr_data.b.csv").write_text("rubbish")
    with pytest.raises(SystemExit):
        update()
    assert rows("SELECT feed, name, status, records, rejects FROM batches ORDER BY name") == [
        ("antenna", "antenna_data.a.jsonl", "in", 4, 1),
        ("cdr", "cdr_data.a.csv", "in", 5, 0),
        ("cdr", "cdr_data.b.csv", "failed", 0, 1),
        ("coverage", "coverage_data.a.csv", "in", 6, 0),
        ("ipflow", "ipflow_data.a.csv", "in", 4, 2),
        ("ipflow", "ipflow_data.b.csv", "in", 3, 0),
    ]


def test_views_of_nothing_are_empty_with_the_types_of_full_ones(lake):
    full = {view: described(view) for view in view_names()}
    LakeFile.objects.all().delete()
    for view in view_names():
        assert described(view) == full[view]
    for view in set(view_names()) - {"batches", "UserQuotaExceeded"}:
        assert rows(f"SELECT count(*) FROM {view}") == [(0,)]


def test_quotas_are_those_that_were_in_force(lake):
    hour = [("2021-07-18T00:00:00Z", "2021-07-18T01:00:00Z", "ana@example.com", 60, 50)]
    query = "SELECT interval_start, interval_end, email, usage, quota FROM UserQuotaExceeded"
    assert rows(query) == hour
    put_subscribers([Subscriber(id=uuid(4), name="ana", email="ana@example.com", quota=1)])
    assert QuotaChange.objects.count() == 3
    assert rows(query) == hour


# What counts.


def test_only_batches_that_the_ledger_counts_are_in(lake):
    queries = [f"SELECT * EXCLUDE (hour_start) FROM {view} ORDER BY ALL" for view in view_names() if view != "batches"]
    before = [rows(query) for query in queries]
    for path in [*lake.rglob("*.parquet")]:
        foreign = path.with_name("0123456789abcdef01234567.parquet")
        duckdb.sql(f"SELECT * REPLACE ('0123456789abcdef01234567' AS batch) FROM '{path}'").write_parquet(str(foreign))
    assert [rows(query) for query in queries] == before


def test_a_file_that_fails_when_it_changes_takes_its_figures_along(lake, data_dir):
    (data_dir / "cdr_data.a.csv").write_text("rubbish\n" * 3)
    with pytest.raises(SystemExit):
        update()
    assert rows("SELECT count(*) FROM cdr") == rows("SELECT count(*) FROM OperatorCallVolume") == [(0,)]


def test_a_compaction_that_broke_off_counts_nothing_twice(lake):
    query = "SELECT app, sum(total_bytes) FROM AppTrafficVolume GROUP BY ALL ORDER BY ALL"
    before = rows(query)
    for path in [*(lake / "partials" / "AppTrafficVolume").rglob("*.parquet")]:
        shutil.copy(path, path.with_name("compacted-x.0123456789abcdef.parquet"))
    assert rows(query) == before == [("SKYPE", 60), ("TELEGRAM", 10)]


def test_an_interval_with_a_batch_older_than_the_kpi_has_no_figures_of_it(lake):
    Batch.objects.filter(name="ipflow_data.a.csv").update(kpis="1")
    assert {start for (start,) in rows("SELECT interval_start FROM CellUniqueUsers")} == {"2021-07-18T01:05:00Z"}
    assert len(rows("SELECT * FROM ServiceTrafficVolume")) == 5


def test_views_agree_with_the_tables_at_every_point_of_any_history(tmp_path, settings):
    settings.DATA_DIR, settings.LAKE_DIR = tmp_path / "history" / "data", tmp_path / "history" / "lake"
    Watched.folder = tmp_path / "history"
    run_state_machine_as_test(Watched, settings=TRIED)


class Watched(Histories):
    """Histories after each step of which, and so after each death too, the views say what the tables say."""

    @invariant()
    def views_and_tables_agree(self):
        tables, _ = stored()
        for kpi in twin.KPIS:
            found = {start: groups[: 10 if kpi.top else ALL] for start, groups in figures(kpi).items()}
            assert found == of_shortest(kpi, tables)


TRIED = settings(
    max_examples=times("LAKE_HISTORIES", 3, 30), stateful_step_count=5, suppress_health_check=list(HealthCheck)
)


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


def test_a_ledger_that_cannot_be_read_is_reported(monkeypatch):
    monkeypatch.setattr(Batch._meta, "db_table", "nosuch")
    with pytest.raises(CommandError, match=r"The ledger cannot be read: .*nosuch"):
        output_of("SELECT * FROM batches")


# The questions of the guide.


def questions() -> dict[str, str]:
    """The queries of the guide, by the sentence before each."""
    page = (project.BASE_DIR / "docs" / "how-to" / "query-lake.md").read_text()
    return {title.strip(): query for title, query in re.findall(r"([^\n]+):\n\n```sql\n(.*?)```", page, re.DOTALL)}


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


def api(client, kpi: int, **filters) -> list[dict]:
    client.force_login(make_user("view_personal", name=f"analyst {kpi} {filters}"))
    response = client.get(f"/api/KPIs/{kpi}/", {"interval": 2, **filters})
    assert response.status_code == 200
    return response.json()


def test_the_answers_are_the_apis_where_both_can_answer(lake, client):
    asked = questions()
    cells = asked["The cells with the most users of a day"].replace("day = 18", "day = 18 AND hour = 1")
    assert rows(cells) == [
        (row["cell_id"], row["number_of_unique_users"])
        for row in api(client, 2, interval_start_timestamp__gte="2021-07-18T01:00:00Z")
    ]
    assert rows(asked["Bytes per app and hour"]) == [
        (row["interval_start_timestamp"], row["app"], row["total_bytes"]) for row in api(client, 4)
    ]
    assert rows(asked["One user's hourly usage"]) == [
        (row["interval_start_timestamp"], row["total_bytes"]) for row in api(client, 5, user_id=uuid(4))
    ]


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
