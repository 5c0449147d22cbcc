"""Apache Spark: a session, tasks for its executors, and sums and distinct counts that it merges.

PySpark is imported only here, and only if a session is asked for. Executors run functions of this package, which they
get as a zip; see ``network_analysis_spark.run``. A task is text, and so is its answer.
"""

from __future__ import annotations

import json
import logging
import queue
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kpis import extras
from kpis.catalog.measures import Combine
from kpis.sources.headed_rows import COLUMNS_KEY
from network_analysis_spark.code import write_zip
from network_analysis_spark.master import Master
from network_analysis_spark.session import (
    SparkError,
    check,
    new_session,
    reason,
    said_to,
    signals_kept,
    stop_session,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

# One row per group and interval.
START = "interval_start"
# The column that counts values: no dimension has a space in its name.
COUNT = "number of values"
# The number of parallel tasks for a cluster that does not report how many cores it has.
DEFAULT_CORES = 64
ARRIVED = "CASE WHEN timestampType = 1 THEN unix_millis(timestamp) END AS arrived"
COLUMNS = f"try_element_at(filter(headers, one -> one.key = '{COLUMNS_KEY}'), -1).value AS columns"
KAFKA_SOURCE = "org.apache.spark:spark-sql-kafka-0-10_2.13"

# Runs on an executor: returns the answer to a task.
Work = Callable[[str], str]
# Runs on an executor: yields the batches of columns that a task reads.
Read = Callable[[str], "Iterator[pa.RecordBatch]"]
# Runs on an executor: answers a task for messages in batches of partition, offset, value, time of arrival by the
# broker's clock (Unix ms, or NULL), own time with its kind, and the header that names the columns (or NULL).
Take = Callable[["Iterator[pa.RecordBatch]", str], Iterator[str]]


@dataclass(frozen=True)
class Source:
    """A topic that is read from ``starts``, offsets by partition, in micro-batches of limited messages and seconds."""

    topic: str
    starts: Mapping[int, int]
    most_messages: int
    seconds: float


class Spark:
    """A session, which any thread may use to run tasks."""

    def __init__(self, session: SparkSession, is_remote: bool):
        self.session, self._is_remote = session, is_remote

    @property
    def cores(self) -> int:
        """The number of tasks that run at once, as far as the cluster reports it."""
        if not self._is_remote:
            return max(1, self.session.sparkContext.defaultParallelism)
        return int(self.session.conf.get("spark.default.parallelism", None) or DEFAULT_CORES)

    def run(self, work: Work, tasks: Sequence[str]) -> list[str]:
        """Return the answers of ``work``, which must be importable, to the tasks, in order. Raises SparkError."""
        with self.translate_errors():
            return [row.answer for row in self._tasks(_working(work, tasks), len(tasks), "answer string").collect()]

    def cancel(self) -> None:
        """Cancel the running jobs; threads that wait for one get SparkError."""
        with self.translate_errors():
            if self._is_remote:
                self.session.interruptAll()
            else:
                self.session.sparkContext.cancelAllJobs()

    def table(self, read: Read, tasks: Sequence[str], columns: Mapping[str, str]) -> DataFrame:
        """Return what ``read`` yields of all tasks as a table of columns, each with its type in Spark."""
        schema = ", ".join(f"`{name}` {type_}" for name, type_ in columns.items())
        return self._tasks(_reading(read, tasks), len(tasks), schema)

    def _tasks(self, work: Any, count: int, schema: str) -> DataFrame:
        return self.session.range(0, count, 1, count).mapInArrow(work, schema)

    def spread(self, parts: int) -> None:
        """Set the number of parts into which tables are divided when they are grouped."""
        with self.translate_errors():
            self.session.conf.set("spark.sql.shuffle.partitions", str(parts))

    def combined(self, table: DataFrame, keys: Sequence[str], columns: Mapping[str, Combine]) -> pa.Table:
        """Return columns combined for each combination of the keys, as decimals of 38 digits. Raises SparkError."""
        from pyspark.sql import functions as F  # noqa: N812  as everybody calls it

        aggregates = {Combine.SUM: F.sum, Combine.LEAST: F.min, Combine.MOST: F.max}
        found = [
            aggregates[how](F.col(name).cast("decimal(38,0)")).cast("decimal(38,0)").alias(name)
            for name, how in columns.items()
        ]
        with self.translate_errors():
            return table.groupBy(*keys).agg(*found).toArrow()

    def distinct_counts(self, table: DataFrame, keys: Sequence[str], value: str) -> tuple[pa.Table, pa.Table]:
        """Count the different values of each combination of the keys, and of each interval; both as COUNT.

        First each pair of a key and a value is found once, which divides a key that has half of all values among all
        tasks, and then these are counted. Raises SparkError.
        """
        from pyspark.sql import functions as F  # noqa: N812  as everybody calls it

        with self.translate_errors():
            pairs = self.pairs(table, keys, value).persist()
            try:
                groups = pairs.groupBy(*keys).agg(F.count(value).alias(COUNT)).toArrow()
                different = pairs.select(START, value).distinct()
                totals = different.groupBy(START).agg(F.count(value).alias(COUNT)).toArrow()
            finally:
                pairs.unpersist()
        return groups, totals

    def pairs(self, table: DataFrame, keys: Sequence[str], value: str) -> DataFrame:
        """Return each pair of the keys and a value once."""
        return table.select(*keys, value).distinct()

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Translate Spark's errors into SparkError."""
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException

        try:
            yield
        except (PySparkException, Py4JError, OSError) as error:
            raise SparkError(f"Spark gave up: {reason(error)}.") from error

    def stream(self, connection: Mapping[str, str], source: Source, checkpoint: Path) -> MicroBatches:
        """Read a Kafka topic in micro-batches; ``connection`` has options of Kafka's Java client. Raises SparkError."""
        if self._is_remote:
            raise SparkError("Streams need SPARK_MASTER: with SPARK_REMOTE the ledger is out of reach of the stream.")
        options = {f"kafka.{name}": value for name, value in connection.items()} | {
            "kafka.isolation.level": "read_committed",
            "includeHeaders": "true",
            "subscribe": source.topic,
            "startingOffsets": json.dumps({source.topic: {str(one): at for one, at in source.starts.items()}}),
            "maxOffsetsPerTrigger": str(source.most_messages),
        }
        with self.translate_errors():
            frame = self.session.readStream.format("kafka").options(**options).load()
        columns = ("partition", "offset", "value", ARRIVED, "timestamp", "timestampType", COLUMNS)
        return MicroBatches(self, frame.selectExpr(*columns), source, checkpoint)

    def answers(self, frame: DataFrame, take: Take, task: str) -> list[str]:
        """Return the answers of ``take``, which must be importable, to a micro-batch's messages, one per task."""
        with self.translate_errors():
            return [row.answer for row in frame.mapInArrow(_taking(take, task), "answer string").collect()]


class MicroBatches:
    """A stream's micro-batches, passed one at a time to the polling thread, which acknowledges each before the next.

    Spark's checkpoint is not used: the stream starts at the given offsets.
    """

    def __init__(self, spark: Spark, frame: DataFrame, source: Source, checkpoint: Path):
        self._spark = spark
        self._offered: queue.Queue[DataFrame] = queue.Queue(1)
        self._acknowledged: queue.Queue[bool] = queue.Queue(1)
        with spark.translate_errors():
            spark.session.conf.set("spark.sql.streaming.noDataProgressEventInterval", "500ms")
            self._query = (
                frame.writeStream.foreachBatch(self._offer)
                .option("checkpointLocation", f"file://{checkpoint}")
                .trigger(processingTime=f"{source.seconds} seconds")
                .start()
            )

    def _offer(self, frame: DataFrame, _: int) -> None:
        """Called by Spark in its own thread, which waits until the micro-batch is acknowledged."""
        self._offered.put(frame)
        if not self._acknowledged.get():
            raise InterruptedError("stopped")

    def poll(self, seconds: float) -> DataFrame | None:
        """Return the micro-batch that waits to be acknowledged, or None; raises SparkError if the stream has ended."""
        try:
            return self._offered.get(timeout=seconds)
        except queue.Empty:
            with self._spark.translate_errors():
                if self._query.isActive:
                    return None
                error = self._query.exception()
            raise SparkError(f"Spark gave the stream up: {reason(error) if error else 'it ended'}.") from None

    def acknowledge(self) -> None:
        """Mark the micro-batch as ingested."""
        self._acknowledged.put(True)

    def lag(self) -> int | None:
        """Return how many messages there were beyond the newest micro-batch when Spark last looked; None if unknown."""
        with self._spark.translate_errors():
            progress = self._query.lastProgress
        if progress is None:
            return None
        (source,) = progress["sources"]
        ends = [source[name] or {} for name in ("latestOffset", "endOffset")]
        latest, end = (sum(sum(parts.values()) for parts in _parsed(one).values()) for one in ends)
        return max(0, latest - end)

    def is_waiting(self) -> bool:
        """Return True if Spark found nothing new and waits for messages."""
        with self._spark.translate_errors():
            progress, status = self._query.lastProgress, self._query.status
        return (
            progress is not None
            and progress["numInputRows"] == 0
            and not status["isDataAvailable"]
            and self._offered.empty()
            and self.lag() == 0
        )

    def close(self) -> None:
        """End the stream; a micro-batch that is not acknowledged is dropped."""
        self._acknowledged.put(False)
        with suppress(SparkError), self._spark.translate_errors():
            self._query.stop()


def _parsed(offsets: Any) -> dict[str, dict[str, int]]:
    return json.loads(offsets) if isinstance(offsets, str) else offsets


def _working(work: Work, tasks: Sequence[str]) -> Any:
    def worked(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield pa.RecordBatch.from_pydict({"answer": [work(tasks[number])]})

    return worked


def _reading(read: Read, tasks: Sequence[str]) -> Any:
    def found(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield from read(tasks[number])

    return found


def _taking(take: Take, task: str) -> Any:
    def taken(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for answer in take(batches, task):
            yield pa.RecordBatch.from_pydict({"answer": [answer]})

    return taken


def kafka_settings(jars: str) -> dict[str, str]:
    """Return Spark's settings for reading Kafka: with the jars in a folder, or else fetched by Maven.

    Raises SparkError if the folder has no jars.
    """
    if not jars:
        if not extras.is_installed("spark"):
            return {}
        return {"spark.jars.packages": f"{KAFKA_SOURCE}:{metadata.version('pyspark')}"}
    found = sorted(Path(jars).absolute().glob("*.jar"))
    if not found:
        raise SparkError(f"SPARK_KAFKA_JARS names {jars}, where there are no jars.")
    return {"spark.jars": ",".join(map(str, found))}


@contextmanager
def spark(master: Master | None, scratch: Path, settings: Mapping[str, str] | None = None) -> Iterator[Spark]:
    """Start a session at a master, whose executors have this package's code; raises SparkError.

    The output of Spark's Java process goes into a file in the scratch folder, not to standard error. ``settings`` are
    additional settings of Spark's.
    """
    check(master)
    # It warns about pandas, which is not used here.
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    # Its client logs every connection that it closes.
    logging.getLogger("py4j").setLevel(logging.WARNING)
    assert master is not None  # noqa: S101  what check says
    log, code = scratch / "spark.log", scratch / "kpis.zip"
    write_zip(code)
    with ExitStack() as stack:
        stack.enter_context(signals_kept())
        with said_to(log):
            session = new_session(master, scratch, {**(settings or {})}, log)
        stack.callback(stop_session, session)
        made = Spark(session, master.is_remote)
        with made.translate_errors():
            if master.is_remote:
                session.addArtifacts(str(code), pyfile=True)
            else:
                session.sparkContext.addPyFile(str(code))
        yield made
