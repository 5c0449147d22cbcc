"""Every feed through every door: the same records give the same tables and the same lake, whatever they come by."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command

from kpis.catalog import registry
from kpis.catalog.feeds import Feed
from kpis.catalog.file.load import parsed
from kpis.catalog.file.source import parse
from kpis.catalog.registry import FEED_FILES, FEEDS, kpis_of
from kpis.models import Batch, IntervalSummary, LakeBinding, Reject, StreamPosition, Watermark
from kpis.models.result_models import result_model
from kpis.storage import address
from network_analysis_spark import run as spark_run
from network_analysis_spark import settings as spark_settings
from network_analysis_spark.master import Master
from tests.broker import Broker
from tests.catalogs import declared
from tests.doors import BUCKET, DOORS, FOLDER, KAFKA, KINESIS, LOCAL, SPARK, Door
from tests.kinesis import Records, mended

pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed: streams are left out")
pytestmark = pytest.mark.django_db(transaction=True)

# Yesterday's midnight (UTC): Kafka keeps messages of that day.
DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
# When messages were sent, in Unix ms: on the day in UTC, or in Madrid on the day that begins just before.
NOON = int(DAY.timestamp() + 43_200) * 1000
BEFORE_MIDNIGHT = int(DAY.timestamp() - 1800) * 1000
SENT = {"probe_csv": BEFORE_MIDNIGHT, "probe_json": BEFORE_MIDNIGHT}

COLUMNS = """
day = {type = "date", optional = true, required = false}
clock = {type = "time_of_day"}
site = {type = "text"}
load = {type = "decimal", optional = true}
count = {type = "integer", minimum = 0}
"""
FORMATS = {
    # Files have what messages have not.
    "probe_csv": '{type = "csv", delimiter = ";", decimal = ",", encoding = "latin-1", comment = "#", preamble = 1}',
    "probe_json": '{type = "json_lines"}',
    "probe_parquet": '{type = "parquet"}',
}
CATALOG = "".join(
    f"""
[feeds.{name}]
description = "Probes"
files = ["{name}.*"]
format = {format}
time = {{day = "day", clock = "clock", zone = "Europe/Madrid"}}
day_in_name = '\\.(?P<year>[0-9]{{4}})-(?P<month>[0-9]{{2}})-(?P<day>[0-9]{{2}})\\.'

[feeds.{name}.columns]{COLUMNS}
[kpis.Load{number}]
id = {number}
feed = "{name}"
description = "Sites by load"
by = [{{name = "site", column = "site", ignore_case = true}}]
measure = {{type = "mean", column = "load", name = "average_load", samples = "samples", empty = "without"}}
unit = "percent"

[kpis.Sites{number}]
id = {number + 100}
feed = "{name}"
description = "Counts by their sites"
by = ["count"]
measure = {{type = "count_distinct", column = "site", name = "sites"}}
unit = "sites"
"""
    for number, (name, format) in enumerate(FORMATS.items(), 30_001)
)
# The day (empty: the file's or the message's), the time of day, the site, the load and the count, as CSV has them.
PROBES = [
    ("", "12:00:00", "Málaga", "1,5", "3"),
    (f"{DAY:%Y-%m-%d}", "12:00:01", "MÁLAGA", "2,25", "3"),
    ("", "12:06:00", "León", "", "4"),
    (f"{DAY - timedelta(days=1):%Y-%m-%d}", "23:59:59", "León", "7", "3"),
    ("", "13:00:00", "León", "7", "-1"),
    ("", "25:00:00", "León", "7", "1"),
    ("", "01:00:00", "Málaga", "0,5", "0"),
]


def second(number: int) -> datetime:
    """A second of the day: several in each of three intervals of two hours."""
    return DAY + timedelta(seconds=(36_000, 36_300, 39_600)[number % 3] + number)


def flow(number: int) -> str:
    start = int(DAY.timestamp() + (36_000, 36_300, 39_600)[number % 3]) * 1000
    return f"{start},{start + 300_000},{number % 5},{number},{number * 7},{number % 2},{number % 3}"


def message(number: int) -> str:
    ids = [f'"00000000-0000-0000-0000-{some:012d}"' for some in (number % 4, number % 3)]
    when, size = int(second(number).timestamp()), "true" if number == 7 else number
    return f'{{"timestamp": {when}, "id": {ids[0]}, "antenna_id": {ids[1]}, "bytes": {size}, "app": "é{number % 2}"}}'


def log(number: int) -> str:
    day = f"{second(number):%Y-%m-%d}" if number % 2 else ""
    place = f"41.{number % 3},0.5" if number % 4 else ","
    network = f"n,Op{number % 2},{9 if number == 7 else number % 4},,"
    return f"{day},{second(number):%H:%M:%S},{place},{number % 30},{network},0.5,4,{number},gps,,0800{number % 3}"


def call(number: int) -> str:
    start = second(number)
    kind = "FAX" if number == 7 else ("CALL", "TEXT")[number % 2]
    times = f"{start:%b %d %Y %H:%M:%S},{start + timedelta(seconds=42):%b %d %Y %H:%M:%S}"
    return f'555-0100,555-0199,"Kern, {number % 3}",{times},{kind},O{number % 2}'


def probe_json(probe: tuple[str, ...]) -> str:
    day, clock, site, load, count = probe
    values = [f'"day": "{day}"'] if day else []
    values += [f'"clock": "{clock}"', f'"site": "{site}"', f'"load": {load.replace(",", ".") or "null"}']
    values += [f'"count": {count}']
    return "{" + ", ".join(values) + "}"


ROWS: dict[str, list[str]] = {
    "ipflow": [*map(flow, range(30))],
    "antenna": [*map(message, range(30))],
    "coverage": [*map(log, range(30))],
    "cdr": [*map(call, range(30))],
    "probe_csv": [";".join(probe) for probe in PROBES],
    "probe_json": [*map(probe_json, PROBES)],
}


def files() -> dict[str, bytes]:
    """A file of each feed, whose name has the day for those rows that lack it."""
    found = {}
    for name, lines in ROWS.items():
        feed = FEEDS[name]
        text = "\n".join([feed.of_messages.header_line.decode().rstrip("\n"), *lines, ""]).lstrip("\n")
        if name == "probe_csv":
            text = f"made by hand\n# on purpose\n{text}"
        found[f"{name}{'' if name in FORMATS else '_data'}.{DAY:%Y-%m-%d}.a{feed.endings[0]}"] = text.encode(
            feed.format.encoding
        )
    rows = [
        (day or None, clock, site, load.replace(",", ".") or None, count) for day, clock, site, load, count in PROBES
    ]
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE probes (day DATE, clock VARCHAR, site VARCHAR, load DOUBLE, count INTEGER)")
        connection.executemany("INSERT INTO probes VALUES (?, ?, ?, ?, ?)", rows)
        sink = io.BytesIO()
        pq.write_table(connection.sql("FROM probes").to_arrow_table(), sink)
    return found | {f"probe_parquet.{DAY:%Y-%m-%d}.a.parquet": sink.getvalue()}


@pytest.fixture(autouse=True)
def catalog(settings, monkeypatch) -> Iterator[None]:
    """The declared feeds, here and on the executors; all feeds' records are archived."""
    source = parse(CATALOG.encode(), Path("doors.toml"))
    found = parsed([source], FEEDS, registry.KPIS.values())
    monkeypatch.setattr(registry, "SOURCES", [source])
    settings.FEED_FILES = FEED_FILES | {pattern: one.name for one in found.feeds.values() for pattern in one.file_names}
    settings.ARCHIVE_FEEDS = frozenset({*FEEDS, *found.feeds})
    settings.STREAM_BATCH_SECONDS = 0.5
    with declared(feeds=found.feeds.values(), kpis=found.kpis.values()):
        yield


@pytest.fixture
def engine(request, settings, monkeypatch) -> str:
    """An engine; Spark's sessions are the one that all tests share."""
    if request.param == SPARK:
        session = request.getfixturevalue("spark")
        monkeypatch.setattr(spark_run, "spark", lambda *_: nullcontext(session))
        monkeypatch.setattr(spark_settings, "SPARK", Master("local[2]"))
        jars = os.path.join(os.environ.get("TEST_KAFKA_JARS", ""), "spark")
        monkeypatch.setattr(spark_settings, "SPARK_KAFKA_JARS", jars)
    return request.param


def run(*arguments: str) -> str:
    """Run a command, which fails no file; return what it says on standard error."""
    err = io.StringIO()
    call_command(*arguments, stdout=io.StringIO(), stderr=err)
    return err.getvalue()


def from_folder(engine: str, settings, _: Callable) -> None:
    settings.DATA_DIR.mkdir()
    for name, content in files().items():
        (settings.DATA_DIR / name).write_bytes(content)
    assert run("update_network_stats", "--rollup-open-hours", f"--engine={engine}") == ""


def from_bucket(engine: str, settings, fixture: Callable) -> None:
    bucket = fixture("cloud").bucket()
    settings.DATA_DIR = address(f"s3://{bucket.name}/in")
    for name, content in files().items():
        bucket.put_object(Key=f"in/{name}", Body=content)
    assert run("update_network_stats", "--rollup-open-hours", f"--engine={engine}") == ""


def from_kafka(engine: str, _: object, fixture: Callable) -> None:
    broker: Broker = fixture("kafka")
    for name, lines in ROWS.items():
        topic, half = f"{name}-{uuid.uuid4().hex[:8]}", len(lines) // 2
        broker.make(topic)
        broker.put(topic, lines[:half], timestamp=SENT.get(name, NOON))
        # Those of CSV name their columns from now on.
        for place, line in enumerate(lines[half:]):
            named = with_header(FEEDS[name], line, place)
            broker.put(topic, [named[1]], timestamp=SENT.get(name, NOON), headers=named[0], first=half + place)
        options = [f"--bootstrap-servers={broker.servers}", f"--topic={topic}", "--until-idle=0.5"]
        options += ["--group=doors"] if engine == LOCAL else []
        assert run("consume_stream", f"--feed={name}", f"--engine={engine}", *options) == ""


def with_header(feed: Feed, line: str, number: int) -> tuple[dict[str, str], str]:
    """A row of CSV with its columns in another order, and the header that names them; any other row as it is."""
    if feed.format.has_keys or '"' in line:
        return {}, line
    delimiter = feed.format.delimiter
    names, values = [*feed.column_names, "more"], [*line.split(delimiter), "x"]
    turned = number % len(names)
    header = delimiter.join(names[turned:] + names[:turned]).upper()
    return {"columns": header, "other": "x"}, delimiter.join(values[turned:] + values[:turned])


def from_kinesis(engine: str, _: object, fixture: Callable) -> None:
    with mended():
        for name, lines in ROWS.items():
            records = Records(fixture("cloud"), f"{name}-{uuid.uuid4().hex[:8]}")
            records.put(lines, arrived=SENT.get(name, NOON) / 1000)
            options = [f"--stream={records.name}", "--until-idle=0.5"]
            assert run("consume_stream", "--source=kinesis", f"--feed={name}", f"--engine={engine}", *options) == ""


BY = {FOLDER: from_folder, BUCKET: from_bucket, KAFKA: from_kafka, KINESIS: from_kinesis}
# What tells of batches and moments, not of records. Streams close intervals by the clock, files by later files.
BESIDE = {"id", "state", "batches", "revision", "reason", "first_computed_at", "updated_at"}
BESIDE |= {"previous_total", "previous_mean", "previous_updated_at"}


def found_of(feed: Feed, lake: Path) -> dict:
    """What the database and the lake have of a feed, batches aside."""
    batches = Batch.objects.filter(feed=feed.name)
    kpis = kpis_of(feed)
    found: dict = {
        "status": set(batches.values_list("status", flat=True)),
        "counts": [sum(some) for some in zip(*batches.values_list("lines", "records", "rejects"), strict=True)],
        "rejects": sorted(Reject.objects.filter(batch__feed=feed.name).values_list("column", "reason", "text")),
        "summaries": rows_of(IntervalSummary.objects.filter(kpi__in=[kpi.id for kpi in kpis])),
    }
    with duckdb.connect() as connection:

        def rows_in(folder: str, select: str) -> list[tuple]:
            files = f"read_parquet('{lake}/{folder}/**/*.parquet', hive_partitioning = false)"
            return sorted(connection.execute(f"SELECT {select} FROM {files} GROUP BY ALL").fetchall(), key=repr)

        for kpi in kpis:
            found[kpi.name] = rows_of(result_model(kpi).objects.all())
            if kpi.source is kpi:
                keys = [f'"{key}"' for key in ("interval_start", *kpi.partial_keys)]
                sums = [f'sum("{value}")' for value in kpi.partial_values]
                found[f"{kpi.name}'s partials"] = rows_in(f"partials/{kpi.name}", ", ".join(keys + sums))
        found["records"] = rows_in(f"records/{feed.name}", "* EXCLUDE batch, count(*)")
        found["lake's rejects"] = rows_in(f"rejects/{feed.name}", '"column", reason, text, count(*)')
    return found


def rows_of(rows) -> list[tuple]:
    return sorted(
        (tuple((name, value) for name, value in row.items() if name not in BESIDE) for row in rows.values()), key=repr
    )


@contextmanager
def emptied(settings, folder: Path) -> Iterator[None]:
    """A data folder and a lake of its own, and at the end no rows."""
    settings.DATA_DIR, settings.LAKE_DIR = folder / "data", folder / "lake"
    folder.mkdir()
    yield
    ledger = [IntervalSummary, Batch, StreamPosition, Watermark, LakeBinding]
    for model in [*map(result_model, registry.KPIS.values()), *ledger]:
        model.objects.all().delete()


# What a run over a folder on this machine gives, by feed.
EXPECTED: dict[str, dict] = {}


@pytest.fixture
def expected(settings, tmp_path) -> dict[str, dict]:
    if not EXPECTED:
        with emptied(settings, tmp_path / "expected"):
            from_folder(LOCAL, settings, lambda _: None)
            EXPECTED.update({name: found_of(FEEDS[name], settings.LAKE_DIR) for name in (*ROWS, "probe_parquet")})
    return EXPECTED


OPEN = [door for door in DOORS if not door.because]
WAYS = [pytest.param(*way, id="-".join(way)) for way in dict.fromkeys((door.engine, door.source) for door in OPEN)]


@pytest.mark.parametrize(("engine", "source"), WAYS, indirect=["engine"])
def test_what_goes_gives_the_same_tables_and_lake(expected, engine, source, settings, tmp_path, request):
    with emptied(settings, tmp_path / "place"):
        BY[source](engine, settings, request.getfixturevalue)
        for door in OPEN:
            if (door.source, door.engine) == (source, engine):
                assert found_of(FEEDS[door.feed], settings.LAKE_DIR) == expected[door.feed], str(door)


def test_what_is_expected_has_records_and_rejects_of_each_feed(expected):
    assert {name: found["counts"] for name, found in expected.items()} == {
        "ipflow": [30, 24, 6],
        "antenna": [30, 29, 1],
        "coverage": [30, 29, 1],
        "cdr": [30, 29, 1],
        "probe_csv": [7, 5, 2],
        "probe_json": [7, 5, 2],
        "probe_parquet": [7, 5, 2],
    }
    assert expected["probe_csv"]["records"] == expected["probe_json"]["records"] == expected["probe_parquet"]["records"]


@pytest.mark.parametrize("door", [door for door in DOORS if door.because], ids=str)
def test_what_does_not_go_says_so(door: Door):
    where = {
        KAFKA: ["--bootstrap-servers=127.0.0.1:1", "--topic=none", *(["--group=none"] if door.engine == LOCAL else [])],
        KINESIS: ["--source=kinesis", "--stream=none"],
    }
    with pytest.raises(CommandError) as caught:
        call_command("consume_stream", f"--feed={door.feed}", f"--engine={door.engine}", *where[door.source])
    assert door.because in str(caught.value)
    assert caught.value.returncode == 2
