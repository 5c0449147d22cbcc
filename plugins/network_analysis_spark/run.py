"""A run on Spark: executors prepare files, as this machine would, and merge large partials.

An executor reads its files and reduces them by the same code as a run without a cluster, and writes what the lake keeps
of them into the lake's staging. The driver, which alone writes the ledger, then puts a group's files into place and
commits it, one group after the other. So files must be where all executors see them: in a shared folder, or in object
storage. An executor that is lost, or a driver that is killed, leaves only what the next run removes.
"""

from __future__ import annotations

import json
import uuid
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import cache
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from kpis import pipeline
from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import Length
from kpis.catalog.kpis import KPI
from kpis.catalog.measures import CountDistinct
from kpis.catalog.sql import aliased, quoted
from kpis.engine.aggregate import Partials, results_by_sql, results_of_groups
from kpis.engine.results import Results
from kpis.lake import STAGING, PartialFile, Verify
from kpis.pipeline import Engine, Options, Planned
from kpis.sources.messages import decode_messages
from kpis.sources.places import encode_file
from kpis.sources.positions import Origin, Position
from kpis.stages.prepared import Prepared
from kpis.storage import Address, address
from network_analysis_spark.encoding import decode_prepared, encode_declared, encode_options, encode_partials
from network_analysis_spark.engine import COUNT, START, MicroBatches, Source, Spark, spark
from network_analysis_spark.executor import ERRORS, prepare_micro_batch, prepare_task, read_partials
from network_analysis_spark.master import Master
from network_analysis_spark.packing import packed
from network_analysis_spark.session import SparkError, check

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

# The number of concurrent jobs: while the driver ingests the files of one, the executors have the next.
JOBS = 2
TASKS_A_CORE = 2
# Larger partials are merged by the cluster. Below, which is about as many pairs as ``engine.merge`` holds in memory,
# this machine takes a fortieth of the time.
MERGE_BYTES = 256 * 2**20
# The bytes of partials per task.
PART_BYTES = 8 * 2**20
SPARK_TYPES = {
    "VARCHAR": "STRING",
    "INTEGER": "INT",
    "BIGINT": "BIGINT",
    "TIMESTAMP": "TIMESTAMP_NTZ",
    "DATE": "DATE",
    "BOOLEAN": "BOOLEAN",
    "DECIMAL(18,6)": "DECIMAL(18,6)",
}


@contextmanager
def engine(
    lake_dir: Address,
    memory_limit_mb: int,
    master: Master | None,
    merge_bytes: int = MERGE_BYTES,
    settings: Mapping[str, str] | None = None,
    verify: Verify = Verify.ALWAYS,
    synced: bool = True,
) -> Iterator[Engine]:
    """Open the pipeline's engine with a cluster at a master; each task of an executor may use the memory limit too.

    Spark is started when it is first needed, which then raises SparkError; but it is checked here that it can be used.
    Raises what ``pipeline.engine`` raises.
    """
    check(master)
    with pipeline.engine(lake_dir, memory_limit_mb, verify, synced) as made, ExitStack() as stack:
        place = {
            "lake": str(address(str(lake_dir))),
            "memory_limit_mb": memory_limit_mb,
            "verify": str(verify),
            "synced": synced,
        }
        start = cache(lambda: stack.enter_context(spark(master, made.scratch, settings)))
        yield replace(made, cluster=SparkCluster(start, place, merge_bytes))


@dataclass(frozen=True)
class Part:
    """The part of a micro-batch to prepare: by partition, ``positions`` are those of the ledger.

    ``origins`` are the origins of the partitions' messages, ``origin`` that of other partitions. ``ranges`` selects
    some partitions, each from one offset to another (excluded). Messages from before ``earliest`` (UTC) are rejects.
    """

    earliest: datetime
    positions: Mapping[int, Position]
    origin: Origin = field(default_factory=Origin)
    origins: Mapping[int, Origin] = field(default_factory=dict)
    ranges: Mapping[int, tuple[int, int]] = field(default_factory=dict)

    def is_in_up_to(self, partition: int) -> int:
        """Return the offset up to which a partition's messages are ingested."""
        position = self.positions.get(partition)
        return 0 if position is None else position.next_in(self.origins.get(partition, self.origin))


class SparkCluster:
    """The cluster of an engine; see ``pipeline.Cluster`` for what its methods guarantee."""

    def __init__(self, start: Callable[[], Spark], place: Mapping[str, Any], merge_bytes: int = MERGE_BYTES):
        self._start, self._place, self._merge_bytes = start, place, merge_bytes

    @property
    def spark(self) -> Spark:
        return self._start()

    @contextmanager
    def prepare(
        self, planned: Iterable[Planned], engine: Engine, options: Options
    ) -> Iterator[Iterator[tuple[Planned, Prepared]]]:
        with _folder(engine) as folder:
            common = {**self._place, "folder": folder, "options": encode_options(options)}
            with closing(self._prepared(planned, common)) as prepared:
                yield prepared

    def _prepared(self, planned: Iterable[Planned], common: Mapping[str, Any]) -> Generator[tuple[Planned, Prepared]]:
        """Yield the planned files, each prepared, in their order."""
        tasks = packed(planned, lambda one: one[0].size)
        with ThreadPoolExecutor(JOBS, thread_name_prefix="spark") as threads:
            jobs: deque[tuple[list[list[Planned]], Future[list[str]]]] = deque()
            try:
                while True:
                    while len(jobs) < JOBS and (some := list(islice(tasks, TASKS_A_CORE * self.spark.cores))):
                        texts = [
                            json.dumps({**common, "files": [encode_file(file) for file, _, _ in task]}) for task in some
                        ]
                        jobs.append((some, threads.submit(self.spark.run, prepare_task, texts)))
                    if not jobs:
                        return
                    some, job = jobs.popleft()
                    for task, answer in zip(some, job.result(), strict=True):
                        for one, encoded in zip(task, _answered(answer), strict=True):
                            yield one, decode_prepared(encoded, one[0])
            finally:
                if jobs:
                    self.spark.cancel()
                threads.shutdown(wait=True, cancel_futures=True)

    def merges(self, kpi: KPI, size: int) -> bool:
        # Attributes hold from one of the feed's intervals to the next, which the cluster adds up to longer ones.
        return (
            size > self._merge_bytes
            and not kpi.attributes
            and not (isinstance(kpi.measure, CountDistinct) and (kpi.folded or kpi.reference))
        )

    def results(
        self,
        engine: Engine,
        kpi: KPI,
        length: Length,
        files: Mapping[PurePosixPath, PartialFile],
        starts: Collection[datetime],
        top_n: int,
    ) -> Results:
        try:
            return self._results(engine, kpi, length, files, starts, top_n)
        except SparkError:
            # An executor's error about a damaged file does not name the file.
            engine.lake.check(files)
            raise

    def _results(
        self,
        engine: Engine,
        kpi: KPI,
        length: Length,
        files: Mapping[PurePosixPath, PartialFile],
        starts: Collection[datetime],
        top_n: int,
    ) -> Results:
        self.spark.spread(max(self.spark.cores, sum(file.size for file in files.values()) // PART_BYTES))
        table = self.table(kpi.source, length, files, starts)
        if isinstance(kpi.measure, CountDistinct):
            groups, totals = self.spark.distinct_counts(table, [START, *kpi.dimensions], kpi.measure.column)
            count = quoted(COUNT)
            with _registered(engine, groups=groups, totals=totals):
                return results_of_groups(
                    engine.connection,
                    kpi,
                    length,
                    f"SELECT * EXCLUDE ({count}), {count} AS {quoted(kpi.value)} FROM cluster_groups",
                    f"SELECT {START}, {count} AS total FROM cluster_totals ORDER BY {START}",
                    top_n,
                )
        merged = self.spark.combined(table, [START, *kpi.source.partial_keys], kpi.source.combine)
        with _registered(engine, merged=merged):
            casts = aliased({name: f"{quoted(name)}::HUGEINT" for name in kpi.source.partial_values})
            partials: Partials = {f"(SELECT * REPLACE ({casts}) FROM cluster_merged)": None}
            return results_by_sql(engine.connection, kpi, length, partials, starts, top_n)

    def stream(self, engine: Engine, connection: Mapping[str, str], source: Source) -> MicroBatches:
        """Read a Kafka topic in micro-batches."""
        return self.spark.stream(connection, source, engine.scratch / "checkpoint")

    @contextmanager
    def prepare_messages(
        self, frame: DataFrame, feed: Feed, topic: str, part: Part, engine: Engine, options: Options
    ) -> Iterator[Iterator[Prepared]]:
        """Give a prepared batch for each partition's messages that are not ingested yet, in the partitions' order.

        Nothing is read before the first is asked for. Their files are in the lake's staging until the end. A batch that
        fails as a whole may be asked for in halves, see ``Part``.
        """
        stream = {
            **self._place,
            "options": encode_options(options),
            "feed": feed.name,
            "topic": topic,
            "earliest": part.earliest.isoformat(),
            "positions": {one: asdict(position) for one, position in part.positions.items()},
            "origin": asdict(part.origin),
            "origins": {one: asdict(origin) for one, origin in part.origins.items()},
            "ranges": part.ranges or {one: [part.is_in_up_to(one), None] for one in part.positions},
            "only": bool(part.ranges),
        }
        with _folder(engine) as folder:
            yield self._messages(frame, feed, {**stream, "folder": folder})

    def _messages(self, frame: DataFrame, feed: Feed, stream: Mapping[str, Any]) -> Iterator[Prepared]:
        """Yield what the executors prepare once the first is asked for."""
        found = [
            one
            for answer in self.spark.answers(frame, prepare_micro_batch, json.dumps(stream))
            for one in _answered(answer)
        ]
        for one in sorted(found, key=lambda answer: answer["messages"]["partition"]):
            yield decode_prepared(one, decode_messages(feed, one["messages"]))

    def table(
        self, kpi: KPI, length: Length, files: Mapping[PurePosixPath, PartialFile], starts: Collection[datetime]
    ) -> DataFrame:
        """Return Spark's table of what ``read_partials`` yields of the files."""
        types = _partial_types(kpi)
        common = {
            **self._place,
            **encode_declared(),
            "kpi": kpi.id,
            "length": length.code,
            "columns": list(types),
            "starts": [start.isoformat() for start in starts],
        }
        tasks = [
            json.dumps({**common, "files": [encode_partials(path, file) for path, file in some]})
            for some in packed(files.items(), lambda one: one[1].size)
        ]
        return self.spark.table(read_partials, tasks, types)


@contextmanager
def _folder(engine: Engine) -> Iterator[str]:
    """Give a new folder of the lake's staging for what executors write, and remove what is left in it."""
    folder = STAGING / f"spark-{uuid.uuid4().hex}"
    try:
        yield str(folder)
    finally:
        engine.lake.discard(folder)


@contextmanager
def _registered(engine: Engine, **tables: pa.Table) -> Iterator[None]:
    for name, table in tables.items():
        engine.connection.register(f"cluster_{name}", table)
    try:
        yield
    finally:
        for name in tables:
            engine.connection.unregister(f"cluster_{name}")


def _partial_types(kpi: KPI) -> dict[str, str]:
    """Return the columns of a KPI's combined partials, with their types in Spark."""
    from kpis.lake.tables import partials_table

    types = {column.name: SPARK_TYPES[column.type] for column in partials_table(kpi).columns if column.name != "batch"}
    return types | dict.fromkeys(kpi.partial_values, "DECIMAL(38,0)")


def _answered(answer: str) -> list[dict[str, Any]]:
    """Return an executor's answer for each file of a task; raises its error."""
    decoded = json.loads(answer)
    if "error" in decoded:
        raise ERRORS[decoded["error"]](decoded["reason"])
    return decoded["prepared"]
