"""Columns, feeds and KPIs may be named by words of SQL, and as columns that the project's own tables have."""

from __future__ import annotations

import io
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import pytest
from django.core.management import call_command

from kpis import pipeline
from kpis.catalog import columns
from kpis.catalog.dimensions import Dimension, GridCell
from kpis.catalog.feeds import Column, Feed, Range, check_range, unix_moment
from kpis.catalog.formats import CSV, JSONLines
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.catalog.kpis import KPI
from kpis.catalog.measures import Count, CountDistinct, Mean, Sum
from kpis.live.window import Window
from kpis.models import Batch, IntervalSummary, LakeFile, LiveCount, LiveFeed
from kpis.models.result_models import group_of, result_model
from kpis.query.figure_sql import figure_sql
from kpis.sources.positions import Position
from kpis.sources.spool import Spool
from kpis.stages import read
from kpis.stages.prepare import prepare
from kpis.store.ledger import DatabaseLedger
from tests.catalogs import declared
from tests.factories import make_run
from tests.twin import moment
from tests.unit.management.test_update_network_stats import START, update

pytestmark = pytest.mark.django_db(transaction=True)

SELECT = Feed(
    name="select",
    description="Orders: of a table",
    format=CSV(),
    file_names=("select_*.csv",),
    endings=(".csv",),
    columns=(
        Column("order", columns.Integer()),
        Column("group", columns.Text(optional=True, longest=20)),
        Column("where", columns.Text(longest=20)),
        Column("sum", columns.Integer(), "bytes"),
        Column("count", columns.Integer(), "bytes"),
        Column("end", columns.Decimal(optional=True), "ms"),
        Column("interval_start", columns.Integer()),
        Column("batch", columns.Text(longest=20)),
        Column("hour", columns.Integer()),
        Column("hour_start", columns.Integer()),
        Column("records", columns.Integer()),
        Column("plain", columns.Integer()),
        Column("lacks_day", columns.Integer()),
        Column("batch_number", columns.Integer()),
        Column("select_batch", columns.Integer()),
        Column("left", columns.Decimal(optional=True, minimum=-90, maximum=90)),
        Column("right", columns.Decimal(optional=True, minimum=-180, maximum=180)),
    ),
    checks=(check_range("sum", "is more than the order", Range(less="count", least=-(10**6))),),
    moment=unix_moment("order", 1),
    interval=FIVE_MINUTES,
)
LENGTHS = (FIVE_MINUTES, ONE_HOUR)


def kpi(id: int, name: str, by: tuple[Dimension, ...], measure, **options) -> KPI:
    return KPI(
        id=id, name=name, description=name, feed=SELECT, by=by, measure=measure, unit="u", lengths=LENGTHS, **options
    )


TABLE = kpi(
    1001,
    "Table",
    (Dimension("group", "group", folded=True), Dimension("join", "where")),
    Sum("limit", columns=("sum", "count")),
)
SHARE = kpi(1002, "Order", (Dimension("union", "batch"),), Count("all", share="distinct"))
USERS = kpi(1003, "Having", (Dimension("with", "interval_start"),), CountDistinct("values", column="records"), top=True)
MEAN = kpi(1004, "Case", (Dimension("then", "hour"),), Mean("else", column="end", samples="on", empty="using"))
PLACE = kpi(1005, "Cross", (GridCell("natural", "left", longitude="right"),), Sum("offset", columns=("plain",)))
NUMBERS = kpi(1006, "Groups", (Dimension("shown", "batch_number"),), Sum("groups", columns=("hour_start",)))
KPIS = [TABLE, SHARE, USERS, MEAN, PLACE, NUMBERS]


def rows(seed: int, start: int, count: int) -> list[dict]:
    some = Random(seed)  # noqa: S311
    return [
        {
            "order": start + some.randrange(300),
            "group": some.choice(["", "Where", "WHERE", "from"]),
            "where": some.choice(["a", "b"]),
            "sum": some.randrange(1000),
            "count": some.randrange(10),
            "end": some.choice(["", "1.5", "2.25", "-3"]),
            "interval_start": some.randrange(4),
            "batch": some.choice(["x", "y"]),
            "hour": some.randrange(24),
            "hour_start": some.randrange(9),
            "records": some.randrange(5),
            "plain": some.randrange(100),
            "lacks_day": 1,
            "batch_number": some.randrange(3),
            "select_batch": 5,
            "left": some.choice(["", "34.06"]),
            "right": "-118.2",
        }
        for _ in range(count)
    ]


def text(records: list[dict]) -> str:
    names = [column.name for column in SELECT.columns]
    return "\n".join([",".join(names), *(",".join(str(record[name]) for name in names) for record in records), ""])


def average(records: list[dict]) -> tuple:
    found = [float(record["end"]) for record in records if record["end"]]
    return (sum(found) / len(found) if found else None, len(found), len(records) - len(found))


def added(*names: str) -> Callable[[list[dict]], tuple]:
    return lambda records: (sum(record[name] for record in records for name in names),)


@dataclass(frozen=True)
class Twin:
    """A KPI in plain Python: the key of a record's group, and a group's values."""

    key: Callable[[dict], tuple]
    values: Callable[[list[dict]], tuple]


TWINS = {
    1001: Twin(lambda one: (one["group"].lower(), one["where"]), added("sum", "count")),
    1002: Twin(lambda one: (one["batch"],), lambda records: (len(records),)),
    1003: Twin(lambda one: (one["interval_start"],), lambda records: (len({one["records"] for one in records}),)),
    1004: Twin(lambda one: (one["hour"],), average),
    1005: Twin(lambda one: ("34.05,-118.20" if one["left"] else "",), added("plain")),
    1006: Twin(lambda one: (one["batch_number"],), added("hour_start")),
}


def expected(records: list[dict], length) -> dict:
    """The groups' values, by KPI, start and group: of shares and spellings without these."""
    found: dict = defaultdict(list)
    for one in records:
        for number, twin in TWINS.items():
            start = one["order"] - one["order"] % (length.minutes * 60)
            found[number, moment(start), twin.key(one)].append(one)
    return {key: TWINS[key[0]].values(some) for key, some in found.items()}


def stored(length) -> dict:
    found = {}
    for one in KPIS:
        values = one.measure.values[:1] if one is SHARE else one.measure.values
        for row in result_model(one).objects.filter(interval=length.code).values():
            group = tuple(row[f"{name}_folded" if name == "group" else name] for name in one.dimensions)
            found[one.id, row["interval_start_timestamp"], group] = tuple(row[name] for name in values)
    return found


def query(sql: str) -> list[dict]:
    out = io.StringIO()
    call_command("query_lake", sql, format="json", stdout=out)
    return json.loads(out.getvalue())


@pytest.fixture
def feed(settings):
    settings.FEED_FILES = {"select_*.csv": "select"}
    settings.ARCHIVE_FEEDS = ["select"]
    with declared(feeds=[SELECT], kpis=KPIS):
        yield


@pytest.fixture
def ingest(tmp_path):
    """Takes batches of messages in, one after the other, of the same feed as JSON."""
    streamed = replace(SELECT, format=JSONLines())
    kpis = [replace(one, feed=streamed) for one in KPIS]
    with declared(feeds=[streamed], kpis=kpis), pipeline.engine(tmp_path / "lake") as engine:
        ledger, options = DatabaseLedger(make_run()), pipeline.Options(archive_feeds=frozenset({"select"}))

        def ingest(records: list[dict], first: int) -> None:
            spool = Spool(streamed, tmp_path / f"messages-{first}")
            values = [{name: _as_json(name, value) for name, value in record.items()} for record in records]
            spool.add(range(first, first + len(records)), [json.dumps(value).encode() for value in values])
            batch = spool.messages("orders", 3, Position.of_topic(first) if first else None)
            with prepare(batch, engine, options) as one:
                (event, *_) = pipeline.run_prepared([one], ledger, engine, options)
            assert event.entry.records == len(records)

        yield ingest


def _as_json(name: str, value: int | str) -> int | str:
    return value if isinstance(SELECT.column(name).type, columns.Integer) else str(value)


@pytest.fixture(params=["scanned", "in bulk"])
def reader(request, monkeypatch):
    if request.param == "in bulk":
        monkeypatch.setattr(read, "can_scan", lambda *_: False)


FIRST, SECOND = rows(1, START, 200), rows(2, START + 300, 150)
# What closes the hour, and has its own.
LAST = rows(3, START + 3600, 50)


def put(data_dir, name: str, records: list[dict]) -> None:
    (data_dir / f"select_{name}.csv").write_text(text(records))


def assert_lake_has(records: list[dict]) -> None:
    """The views and the SQL of figures give what the tables have of the first hour."""
    for one in KPIS:
        value, *_ = one.measure.values
        in_lake = {
            (row["interval_start"], *(str(row[name]).lower() for name in one.dimensions)): row[value]
            for row in query(f"SELECT * FROM \"{one.name}\" WHERE hour_start = TIMESTAMP '2021-07-18 00:00:00'")
        }
        in_tables = {
            (f"{start:%Y-%m-%dT%H:%M:%SZ}", *map(str, group)): values[0]
            for (number, start, group), values in expected(records, FIVE_MINUTES).items()
            if number == one.id
        }
        assert in_lake == in_tables
        hour = ONE_HOUR.at(moment(START))
        for row in result_model(one).objects.filter(interval=ONE_HOUR.code)[:2]:
            (found,) = query(figure_sql(one, hour, group_of(row)))
            assert found[value] == getattr(row, value)
        (total,) = query(figure_sql(one, hour))
        summary = IntervalSummary.objects.get(kpi=one.id, interval=ONE_HOUR.code)
        assert total[one.total_column] == getattr(summary, one.total_column)


def test_they_give_exact_figures_in_tables_and_lake(data_dir, feed, reader, monkeypatch):
    monkeypatch.setattr("kpis.engine.array_results.MOST_ROWS", 0)
    for name, records in (("a", FIRST[:120]), ("b", FIRST[120:]), ("c", SECOND), ("d", LAST)):
        put(data_dir, name, records)
    assert "4 files ingested, 0 failed" in update()
    hour, records = [*FIRST, *SECOND], [*FIRST, *SECOND, *LAST]
    assert stored(FIVE_MINUTES) == expected(records, FIVE_MINUTES)
    assert stored(ONE_HOUR) == expected(hour, ONE_HOUR)
    shares = result_model(SHARE).objects.filter(interval=ONE_HOUR.code).values_list("union", "distinct")
    assert dict(shares) == {name: sum(one["batch"] == name for one in hour) / len(hour) for name in "xy"}
    spelled = Counter(one["group"] for one in hour if one["group"].lower() == "where")
    names = result_model(TABLE).objects.filter(interval=ONE_HOUR.code, group_folded="where").values_list("group")
    assert {*names} == {(min(spelled, key=lambda name: (-spelled[name], name)),)}
    assert_lake_has(hour)

    (archived,) = query('SELECT * FROM "select" ORDER BY "order" LIMIT 1')
    assert archived["order"] == min(one["order"] for one in records)
    # Columns that the table of records has besides, and so the one whose name one of them would get.
    assert {"select_interval_start", "select_select_batch", "select_batch", "select_hour"} <= {*archived}
    assert query('SELECT sum("select_interval_start") AS "sum", count(*) AS "count" FROM "select"') == [
        {"sum": sum(one["interval_start"] for one in records), "count": len(records)}
    ]

    # Late and replaced records are merged with the lake's, which is compacted then.
    late = rows(4, START + 600, 30)
    put(data_dir, "d", LAST[:10])
    put(data_dir, "late", late)
    assert "2 files ingested" in update()
    assert stored(FIVE_MINUTES) == expected([*hour, *LAST[:10], *late], FIVE_MINUTES)
    assert stored(ONE_HOUR) == expected([*hour, *late], ONE_HOUR)
    compacted = LakeFile.objects.filter(name__startswith="compacted-", interval_start_timestamp=moment(START))
    assert compacted.count() == len(KPIS)
    assert_lake_has([*hour, *late])


def test_partials_are_rebuilt_from_their_archived_records(data_dir, feed, reader, tmp_path):
    put(data_dir, "a", FIRST)
    put(data_dir, "d", LAST)
    update()
    for path in [*data_dir.iterdir(), *(tmp_path / "lake" / "partials").rglob("*.parquet")]:
        path.unlink()
    out = io.StringIO()
    call_command("repair_lake", stdout=out)
    assert "from its archived records" in out.getvalue()
    assert_lake_has(FIRST)


def test_a_streams_recent_records_are_counted_for_the_live_page(ingest, reader, client):
    now = int(time.time()) - 20
    records = [one | {"order": now - number % 3} for number, one in enumerate(rows(7, START, 60))]
    ingest(records, 0)
    counted = LiveCount.objects.filter(feed="select", length=LiveCount.Length.SECOND)
    assert {int(one.start_timestamp.timestamp()): one.groups for one in counted} == {
        second: {"select_group": dict(Counter(one["group"] for one in records if one["order"] == second))}
        for second in (now, now - 1, now - 2)
    }
    window = Window()
    window.read()
    (series,) = [counts for dimension, counts in window.window()["counts"].items() if dimension == "select_group"]
    assert sum(count or 0 for counts in series.values() for count in counts) == 60
    page = client.get("/live/").content.decode()
    assert 'data-feed="select" data-dimension="select_group"' in page
    assert client.get("/live/select_group.json").status_code == 200


def test_a_feed_that_the_catalog_has_no_more_is_left_out_of_the_live_page(ingest):
    LiveFeed.objects.create(feed="gone", revision=1, committed_at=moment(START), delay=1)
    LiveFeed.objects.create(feed="select", revision=1, committed_at=moment(START), delay=1)
    start = moment(int(time.time()) - 5)
    LiveCount.objects.create(feed="select", length=1, start_timestamp=start, groups={"gone": {"a": 1}}, revision=1)
    window = Window()
    assert window.read()
    assert "gone" not in window.window()["feeds"]
    assert window.frame()["counts"] == {}


def test_a_streams_batches_add_up(ingest, reader):
    records = FIRST + rows(5, START, 60) + rows(6, START + 60, 40)
    for first in range(0, len(records), 100):
        ingest(records[first : first + 100], first)
    assert stored(FIVE_MINUTES) == expected(records, FIVE_MINUTES)
    assert Batch.objects.filter(feed="select").count() == 3
