"""Whichever engine takes files in, here or on Spark: the same tables and the same lake, to the byte.

``KILLS=2`` kills the driver at two moments, not at one.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from django.db.models import Model

from kpis import pipeline
from kpis.catalog.builtin.ipflow import CELL_UNIQUE_USERS
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.catalog.registry import KPIS
from kpis.models import (
    Batch,
    BatchInterval,
    DueCompaction,
    DueRollup,
    IntervalSummary,
    LakeBinding,
    LakeFile,
    Reject,
    Subscriber,
    Watermark,
)
from kpis.models.result_models import RESULT_MODELS, result_model
from kpis.reference.subscribers import put_subscribers
from kpis.sources.places import found_in
from kpis.store.ledger import DatabaseLedger
from network_analysis_spark.code import write_zip
from network_analysis_spark.engine import Spark
from network_analysis_spark.run import SparkCluster
from tests.clusters import JAVA, need_spark
from tests.corpus import CASES
from tests.effort import times
from tests.factories import make_run
from tests.processes import PATIENCE, Ended, end_of, killed
from tests.twin import Call, Flow, Log, Message, Record, expected, file_text, moment, stored, uuid

pytestmark = pytest.mark.django_db(transaction=True)

START = 1626566400  # 2021-07-18T00:00:00Z
TABLES = [
    *RESULT_MODELS.values(),
    IntervalSummary,
    Batch,
    BatchInterval,
    Reject,
    DueRollup,
    DueCompaction,
    LakeFile,
    Watermark,
]
# What differs between two runs that did the same.
OF_THE_MOMENT = {"id", "run", "ingested_at", "updated_at", "previous_updated_at", "first_computed_at", "mark"}
SUBSCRIBERS = {1: ("ana@example.com", 900), 2: ("ana@example.com", 100), 3: ("bo@example.com", 0)}
NEVER = 2**60
KILLS = times("KILLS", 1, 2)


def ingest(settings, spark: Spark | None = None, merge_bytes: int = NEVER, rebuild: tuple | None = None) -> list:
    """A run over the data folder, or a rebuild: here, or on Spark, which merges from so many bytes on."""
    duplicates = pipeline.Duplicates(settings.DUPLICATES)
    options = pipeline.Options(
        archive_feeds=frozenset({"antenna"}), duplicates=duplicates, group_batches=settings.GROUP_FILES
    )
    with pipeline.engine(settings.LAKE_DIR) as engine:
        if spark:
            place = {"lake": str(settings.LAKE_DIR), "memory_limit_mb": 300, "verify": "always", "synced": True}
            engine = replace(engine, cluster=SparkCluster(lambda: spark, place, merge_bytes))
        ledger = DatabaseLedger(make_run())
        if rebuild:
            return list(pipeline.rebuild(*rebuild, ledger, engine, options))
        found = found_in(settings.DATA_DIR, known=pipeline.known_to(ledger))
        return list(pipeline.run(pipeline.plan(found, ledger, options), ledger, engine, options))


def tables() -> dict[str, list[str]]:
    return {model.__name__: rows_of(model) for model in TABLES}


def rows_of(model: type[Model]) -> list[str]:
    fields = [field for field in model._meta.fields if field.name not in OF_THE_MOMENT]
    columns = ["batch__name" if field.name == "batch" else field.name for field in fields]
    return sorted(map(repr, model.objects.values_list(*columns)))


def lake(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.parquet")}


def empty_tables() -> None:
    for model in [LakeBinding, *reversed(TABLES)]:
        model.objects.all().delete()
    put_subscribers(
        Subscriber(id=uuid(device), name=email, email=email, quota=quota)
        for device, (email, quota) in SUBSCRIBERS.items()
    )


def records(feed: str, start: int, number: int, seed: str) -> list[Record]:
    """Records of five minutes and, every seventh, of the next five."""
    draw = random.Random(seed)  # noqa: S311
    found: list[Record] = []
    for i in range(number):
        at = start + 300 * (i % 7 == 6)
        if feed == "ipflow":
            cell = draw.choice([1, draw.randrange(2, 30)])
            flow = Flow(
                at, draw.randrange(1, 90), draw.randrange(10**6), draw.randrange(10**9), draw.randrange(14), cell
            )
            found.append(flow)
            continue
        at += draw.randrange(300)
        if feed == "antenna":
            app = draw.choice(["SKYPE", "é", "WhatsApp"])
            found.append(Message(at, draw.randrange(1, 7), draw.randrange(4), draw.randrange(10**3), app))
        elif feed == "coverage":
            operator = draw.choice(["Movistar", "movistar", "Ελλάς", "ΕΛΛΆΣ", ""])
            signal = draw.choice(["", "3", "5.5", "-4.25", "0.000001", "99", "2147483647"])
            place = draw.choice([("41.67089", "0.53407"), ("", ""), ("0.0", "0"), ("41.65", "-0.05")])
            found.append(Log(at, operator, signal, draw.randrange(4), "51.5", draw.choice(["", "08001.0"]), *place))
        else:
            operator = draw.choice(["Vodafone", "VODAFONE", "O2", "Straße", "STRASSE"])
            found.append(Call(at, draw.choice(["Kern", "Los Angeles"]), operator, draw.choice(["CALL", "TEXT"])))
    return found


def name_of(feed: str, name: str) -> str:
    return f"{feed}_data.{name}.{'jsonl' if feed == 'antenna' else 'csv'}"


class Folder:
    """A data folder whose files change in steps; ``good`` are the records of what it holds."""

    def __init__(self, folder: Path):
        self._folder, self._clock = folder, 10**18
        self.good: dict[str, list[Record]] = {}

    def put(self, name: str, found: list[Record] | None, text: str) -> None:
        self.good.pop(name, None)
        if found:
            self.good[name] = found
        path = self._folder / name
        path.write_text(text)
        self._clock += 10**9
        os.utime(path, ns=(self._clock, self._clock))

    def put_records(self, feed: str, name: str, start: int, number: int, seed: str = "") -> None:
        found = records(feed, start, number, f"{feed} {name} {seed}")
        # Two rows that are no records, of which one is a reject of the form and one of the feed.
        self.put(name_of(feed, name), found, file_text(found) + 'rubbish\n1,2,3,4,5,6,"7\n')

    def step_1(self) -> None:
        """An hour and more of all feeds, and what is no file of its feed."""
        for feed in ("ipflow", "antenna", "coverage", "cdr"):
            for i in (0, 5, 11, 13):
                self.put_records(feed, f"{i:02}", START + 300 * i, 80)
            self.put(name_of(feed, "empty"), None, "")
            self.put(name_of(feed, "rubbish"), None, "no,header\n" * 3)

    def step_2(self) -> None:
        """Late files, files of the next hour that close this one, replaced ones, and one with a new time alone."""
        for feed in ("ipflow", "antenna", "coverage", "cdr"):
            self.put_records(feed, "late", START + 300 * 5, 60)
            self.put_records(feed, "24", START + 300 * 24, 30)
            self.put_records(feed, "05", START + 300 * 6, 50, "replaced")
            self.put(name_of(feed, "11"), None, "rubbish\n" * 9)
            same = name_of(feed, "00")
            self.put(same, self.good[same], (self._folder / same).read_text())

    def step_3(self) -> None:
        """Nothing new: the hours that have closed are put together."""


def history(settings, base: Path, engines: list[Callable[[], list] | None]) -> tuple[dict, dict, list]:
    """The tables, lake and events after the steps, each ingested by an engine."""
    settings.DATA_DIR, settings.LAKE_DIR = base / "data", base / "lake"
    settings.DATA_DIR.mkdir(parents=True)
    empty_tables()
    folder, reported = Folder(settings.DATA_DIR), []
    for step, engine in zip((folder.step_1, folder.step_2, folder.step_3), engines, strict=True):
        step()
        events = engine() if engine else ingest(settings)
        # Times and inodes are those of each history's own files.
        reported.append([re.sub(r"mark='[^']*'", "", str(event)) for event in events])
    watermarks = {Flow: START + 300 * 26, Message: START + 300 * 26, Log: START + 300 * 26}
    newest = max(one.start for found in folder.good.values() for one in found if isinstance(one, Call))
    watermarks[Call] = newest - newest % 60 + 60
    assert stored() == expected(folder.good, watermarks, subscribers=SUBSCRIBERS)
    return tables(), lake(settings.LAKE_DIR), reported


@pytest.mark.usefixtures("each_alone")
def test_spark_and_runs_that_mix_engines_leave_what_this_machine_leaves(tmp_path, settings, spark):
    def on_spark(merge_bytes: int = NEVER):
        return lambda: ingest(settings, spark, merge_bytes)

    here = history(settings, tmp_path / "here", [None, None, None])
    there = history(settings, tmp_path / "there", [on_spark(), on_spark(), on_spark()])
    mixed = history(settings, tmp_path / "mixed", [None, on_spark(), None])
    for other in (there, mixed):
        assert other[0] == here[0]
        assert sorted(other[1]) == sorted(here[1])
        assert other[1] == here[1]
    assert len(here[1]) > 50
    assert any("compacted-" in name for name in here[1])
    assert there[2] == [
        [one.replace(str(tmp_path / "here"), str(tmp_path / "there")) for one in step] for step in here[2]
    ]


def test_every_bad_and_odd_file_gets_on_spark_what_it_deserves(data_dir, settings, spark):
    # Many of them have the same content.
    settings.DUPLICATES = "count"
    for case in CASES:
        (data_dir / case.file_name).write_bytes(case.content)
    reported = ingest(settings, spark)
    assert len(reported) >= len(CASES)
    found = {}
    for batch in Batch.objects.all():
        rejects = tuple(batch.first_rejects.values_list("line", "column", "reason"))
        found[batch.name] = batch.status, batch.reason, batch.lines, batch.records, batch.rejects, rejects
    for case in CASES:
        rejects = len(case.rejects)
        wanted = ("in", "", len(case.flows) + rejects, len(case.flows), rejects, case.rejects)
        if case.reason:
            wanted = ("failed", case.reason, case.lines, 0, rejects, case.rejects)
        assert found[case.file_name] == wanted, case.name


def test_what_spark_merges_is_what_this_machine_merges(data_dir, settings, spark, monkeypatch):
    empty_tables()
    folder = Folder(data_dir)
    folder.step_1()
    folder.step_2()
    ingest(settings)
    before = tables()
    # Twice: all from the batches' own files, and one KPI of each feed from those of the hour together.
    for _ in range(2):
        for kpi in KPIS.values():
            result_model(kpi).objects.all().delete()
        ingest(settings, spark, merge_bytes=-1, rebuild=(moment(START), moment(START + 3600)))
        hour = {"interval_start_timestamp__gte": moment(START), "interval_end_timestamp__lte": moment(START + 3600)}
        for kpi in KPIS.values():
            model = result_model(kpi)
            kept = [row for row in before[model.__name__] if "2021, 7, 18, 0," in row]
            assert rows_of(model) == kept, kpi.name
            assert model.objects.filter(**hour).count() == len(kept) > 0
        ingest(settings)
        monkeypatch.setattr(SparkCluster, "merges", lambda self, kpi, size: kpi.id in (2, 4, 7, 10))


@pytest.mark.usefixtures("each_alone")
def test_a_damaged_partial_stops_only_the_intervals_that_need_it_on_spark_too(data_dir, settings, spark):
    for name, start in (("a", START), ("b", START + 300), ("c", START + 3600)):
        (data_dir / f"ipflow_data.{name}.csv").write_text(file_text([Flow(start, 1, 1, 0, 7, 5)]))
    ingest(settings)
    key = Batch.objects.get(name="ipflow_data.a.csv").key
    (damaged,) = settings.LAKE_DIR.glob(f"partials/CellUniqueUsers/**/{key}*.parquet")
    content = damaged.read_bytes()
    damaged.write_bytes(content[:50] + bytes(8) + content[58:])
    (data_dir / "ipflow_data.late.csv").write_text(file_text([Flow(START, 2, 1, 0, 7, 5)]))
    reported = [event for event in ingest(settings, spark, merge_bytes=-1) if not isinstance(event, pipeline.RolledUp)]
    assert [type(event) for event in reported] == [pipeline.Ingested, pipeline.Failed, pipeline.Failed]
    assert [event.what for event in reported[1:]] == [
        "ipflow, 5 minutes from 2021-07-18T00:00:00Z",
        "ipflow, 1 hour from 2021-07-18T00:00:00Z",
    ]
    assert all(f"The lake's file {damaged} is damaged" in event.reason for event in reported[1:])
    incomplete = IntervalSummary.objects.filter(state="incomplete")
    assert list(incomplete.values_list("kpi", "interval", "total")) == [(2, 1, 1), (2, 2, 1)]
    assert IntervalSummary.objects.get(kpi=1, interval=2, interval_start_timestamp=moment(START)).total == 3
    damaged.write_bytes(content)
    assert not [event for event in ingest(settings, spark, merge_bytes=-1) if isinstance(event, pipeline.Failed)]
    assert IntervalSummary.objects.get(kpi=2, interval=2, interval_start_timestamp=moment(START)).total == 2


def test_a_total_beyond_64_bits_is_reported_by_spark_too(data_dir, settings, spark):
    for user, name in enumerate("ab", 1):
        (data_dir / f"ipflow_data.{name}.csv").write_text(file_text([Flow(START, user, 2**62, 0, 7, 5)]))
    reported = [event.reason for event in ingest(settings, spark, merge_bytes=-1) if isinstance(event, pipeline.Failed)]
    assert reported == ["ServiceTrafficVolume: a total is beyond 2^63-1, the largest number that is kept"]
    assert Batch.objects.get(status="in").name == "ipflow_data.a.csv"


@pytest.mark.usefixtures("each_alone")
def test_a_cell_with_half_of_all_users_is_spread_over_all_tasks(data_dir, settings, spark, monkeypatch):
    monkeypatch.setattr("network_analysis_spark.packing.TASK_BYTES", 1000)
    draw = random.Random(1)  # noqa: S311
    flows = [Flow(START, number, 1, 1, 1, 1 if number % 2 else draw.randrange(2, 400)) for number in range(1, 40_001)]
    for part in range(4):
        some = flows[part * 9_000 : part * 9_000 + 13_000]
        (data_dir / f"ipflow_data.{part}.csv").write_text(file_text(some))
    ingest(settings)
    place = {"lake": str(settings.LAKE_DIR), "memory_limit_mb": 300, "verify": "always", "synced": True}
    with pipeline.engine(settings.LAKE_DIR) as engine:
        hour = ONE_HOUR.floor(moment(START))
        keys = set(Batch.objects.values_list("key", flat=True))
        files = engine.lake.files(CELL_UNIQUE_USERS, {hour: keys}, DatabaseLedger().files)
        cluster = SparkCluster(lambda: spark, place, -1)
        for length in (FIVE_MINUTES, ONE_HOUR):
            results = cluster.results(engine, CELL_UNIQUE_USERS, length, files, [hour], 10)
            assert (results.rows["cell_id"][0], results.rows["number_of_unique_users"][0]) == (1, 20_000)
            assert results.totals["total"].tolist() == [40_000]
            assert results.totals["groups"].tolist() == [len({flow.cell for flow in flows})]
        # As they are grouped, no part has much more than its share.
        from pyspark.sql import functions

        spark.spread(4)
        spark.session.conf.set("spark.sql.adaptive.enabled", "false")
        table = cluster.table(CELL_UNIQUE_USERS, ONE_HOUR, files, [hour])
        pairs = spark.pairs(table, ["interval_start", "cell_id"], "msisdn")
        parts = pairs.groupBy(functions.spark_partition_id()).count().collect()
        spark.session.conf.unset("spark.sql.adaptive.enabled")
        assert len(parts) == 4
        assert max(part["count"] for part in parts) < 1.1 * 40_000 / 4


def test_small_files_go_together_and_large_ones_alone(data_dir, settings, spark, monkeypatch):
    monkeypatch.setattr("network_analysis_spark.packing.TASK_BYTES", 1000)
    sizes = {}
    for number, rows in enumerate((1, 1, 1, 60, 1, 1)):
        flows = [Flow(START + 300 * number, 1 + row, 1, 1, 1, 1) for row in range(rows)]
        (data_dir / f"ipflow_data.{number}.csv").write_text(file_text(flows))
        sizes[number] = rows
    jobs = []
    run = spark.run
    monkeypatch.setattr(spark, "run", lambda work, tasks: jobs.append(list(tasks)) or run(work, tasks))
    ingest(settings, spark)
    assert [[task.count('"feed"') for task in job] for job in jobs] == [[3, 1, 2]]
    assert Batch.objects.filter(status="in").count() == 6


def test_many_files_of_one_interval_are_committed_in_one_group(data_dir, settings, spark, monkeypatch):
    files = {f"ipflow_data.{number}.csv": [Flow(START, 1 + number, 1, 1, 1, 1)] for number in range(200)}
    for name, flows in files.items():
        (data_dir / name).write_text(file_text(flows))
    batches = []
    commit = DatabaseLedger.commit
    monkeypatch.setattr(
        DatabaseLedger, "commit", lambda self, change: batches.append(len(change.batches)) or commit(self, change)
    )
    ingest(settings, spark)
    assert batches == [200]
    assert stored() == expected(files, START + 300)


def test_the_zip_has_what_executors_need_and_the_same_bytes_each_time(tmp_path):
    import subprocess
    import sys

    first, second = write_zip(tmp_path / "a" / "kpis.zip"), write_zip(tmp_path / "b.zip")
    assert first.read_bytes() == second.read_bytes()
    code = (
        "import sys; sys.modules['django'] = None\n"
        "import network_analysis_spark.run, kpis.engine.compiled as compiled\n"
        "print(network_analysis_spark.run.__file__, compiled.library() is not None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(first)}, cwd=tmp_path, capture_output=True, text=True
    )
    from kpis.engine.compiled import library

    assert done.stdout.split() == [f"{first}/network_analysis_spark/run.py", str(library() is not None)], done.stderr


@pytest.mark.parametrize(
    ("name", "packages"),
    [
        ("executed_probes", ["executed_probes"]),
        # In another package, and in folders without __init__.py.
        ("executed_by.others.probes", ["executed_by", "executed_by/others", "executed_by/others/probes"]),
        ("bare_probes", []),
        ("bare_by.others", ["bare_by/others"]),
    ],
)
def test_executors_get_the_plug_ins_and_their_feeds(tmp_path, monkeypatch, name, packages):
    import json
    import subprocess
    import sys

    from kpis.catalog import registry as catalog
    from kpis.pipeline import Options
    from kpis.plugins import registry
    from network_analysis_spark.encoding import encode_options

    package = tmp_path.joinpath(*name.split("."))
    package.mkdir(parents=True)
    for one in packages:
        (tmp_path / one / "__init__.py").touch()
    (package / "plugin.py").write_text(
        "from kpis.plugins.plugin import Plugin\n"
        "PLUGIN = Plugin(name='probes', description='', hooks=1, catalog_files=('probes.toml',))\n"
    )
    (package / "probes.toml").write_text(
        '[feeds.probe]\ndescription = "Probes"\nfiles = ["probe_*.csv"]\nformat = {type = "csv"}\n'
        'time = {column = "at"}\ncolumns = {at = {type = "time", format = "unix_s"}}\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "PLUGINS", dict(registry.PLUGINS))
    monkeypatch.setattr("network_analysis_spark.encoding.PLUGINS", registry.PLUGINS)
    registry.load([name])
    (file,) = registry.catalog_files()
    monkeypatch.setattr(catalog, "declared_texts", lambda: [(str(file), file.read_text())])
    code = (
        "import json, sys; sys.modules['django'] = None\n"
        "from network_analysis_spark.encoding import decode_options\n"
        "from kpis.catalog.registry import FEEDS\n"
        "decode_options(json.loads(sys.argv[1]))\n"
        f"import {name}.plugin as plugin\n"
        "print(plugin.__file__, 'probe' in FEEDS)"
    )
    options = json.dumps(encode_options(Options()))
    packed = write_zip(tmp_path / "elsewhere" / "kpis.zip")
    done = subprocess.run(
        [sys.executable, "-c", code, options],
        env={"PYTHONPATH": str(packed)},
        cwd=tmp_path / "elsewhere",
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [f"{packed}/{name.replace('.', '/')}/plugin.py", "True"], done.stderr


# Real commands, each with a Spark of its own.

ON_SPARK = {"ENGINE": "spark", "JDK_JAVA_OPTIONS": JAVA}


def flows_of(numbers: Iterable[int], rows: int) -> dict[str, list[Flow]]:
    return {f"ipflow_data.{i:02}.csv": records("ipflow", START + 300 * i, rows, str(i)) for i in numbers}


def test_a_driver_that_is_killed_leaves_nothing_half_done_and_the_next_one_ends_exact(place):
    """With an executor in a process of its own."""
    need_spark()
    files = flows_of([*range(3), 12], 300)
    place.put(files)
    on_cluster = ON_SPARK | {"SPARK_MASTER": "local-cluster[1,2,1024]", "SPARK_MERGE_MB": "0", "GROUP_FILES": "2"}
    # When some of the files are in, and while executors are at work.
    for until in (lambda: len(place.known()) > 0, lambda: any(place.lake.glob("staging/spark-*/*/*/*")))[:KILLS]:
        process = place.start(**on_cluster)
        deadline = time.monotonic() + PATIENCE
        while not until() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        assert killed(process).code == -9
        assert any(place.lake.glob("staging/spark-*"))
        assert len(place.known()) < len(files)
    ended = place.run(**on_cluster)
    assert (ended.code, ended.err) == (0, "")
    assert place.stored() == expected(files, START + 300 * 14)
    assert [path for path in place.lake_files() if path.parts[0] == "staging"] == []
    alone, compacted = place.keys_in_lake()
    assert alone | compacted == place.keys()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "The engine spark needs SPARK_MASTER, such as local[*] or spark://host:7077, or SPARK_REMOTE."),
        ({"SPARK_MASTER": "local[2]", "JAVA_HOME": "/nowhere"}, "needs Java, which is not in JAVA_HOME=/nowhere."),
        ({"SPARK_MASTER": "nonsense"}, "Cannot start Spark at nonsense: Master must "),
        ({"SPARK_MASTER": "local", "SPARK_REMOTE": "sc://host"}, "SPARK_MASTER and SPARK_REMOTE are both set"),
    ],
)
def test_a_spark_that_cannot_be_used_is_one_clear_line(place, variables, said):
    need_spark()
    place.put(flows_of([0], 3))
    ended: Ended = end_of(place.start(**{**ON_SPARK, **variables}))
    assert ended.code == 1
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert place.known() == {}
