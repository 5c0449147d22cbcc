"""``manage.py consume_stream``: ingest the messages of a Kafka topic or Kinesis stream as they arrive, each once."""

from __future__ import annotations

import re
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from kpis import extras, pipeline
from kpis.catalog.feeds import Feed
from kpis.catalog.registry import FEEDS, stream_feeds
from kpis.engine.scratch import ScratchError
from kpis.formats.bounds import UNBOUNDED
from kpis.ingest.consumer import Consumer
from kpis.ingest.events import log_event
from kpis.lake import LakeError
from kpis.management.engines import add_engine_argument, chosen_engine
from kpis.management.lines import event_line, one_line
from kpis.management.output import WRONG_USE, WorkCommand
from kpis.management.stopping import stopping
from kpis.sources.directory import SourceError
from kpis.sources.kafka import Topic
from kpis.sources.messages import KAFKA, KINESIS
from kpis.sources.positions import by_number
from kpis.sources.stream import Limits, Stream
from kpis.spark.engine import kafka_settings
from kpis.spark.session import SparkError
from kpis.store.binding import check_ids, lake_options
from kpis.store.errors import Overtaken, StoreError, translate_errors
from kpis.store.ledger import DatabaseLedger

if TYPE_CHECKING:
    from kpis.ingest.spark_consumer import SparkConsumer

GOES_ON = "What was ingested before stays; the next consumer goes on from there."
# The options that each source requires, and those that it also accepts.
SOURCES = {KAFKA: ("bootstrap_servers", "topic", "group"), KINESIS: ("stream",)}
WHAT_GOES_WITH = SOURCES | {KINESIS: ("stream", "shards")}


class Command(WorkCommand):
    help = (
        "Ingests the messages of a Kafka topic or a Kinesis stream, batch by batch, and writes the KPIs of every "
        "interval that they touch. Continues at the ledger's position and runs until a signal ends it, after the "
        "current batch. Ends with 0, with 1 if it cannot continue or a message failed, with 2 for wrong use."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--feed", required=True, choices=stream_feeds(), help="the messages' feed")
        parser.add_argument("--source", choices=sorted(SOURCES), default=KAFKA, help="where the messages come from")
        parser.add_argument("--bootstrap-servers", metavar="HOST:PORT,...", help="Kafka's brokers")
        parser.add_argument("--topic", help="the topic's name")
        parser.add_argument(
            "--group",
            help="the consumer group: processes of one group share the topic's partitions; not used with Spark",
        )
        parser.add_argument("--stream", help="the Kinesis stream's name")
        parser.add_argument(
            "--shards",
            type=_share,
            metavar="K/N",
            help="the share of the shards that this process reads: the K-th of N (default: 1/1)",
        )
        parser.add_argument(
            "--until-idle",
            type=_seconds,
            metavar="SECONDS",
            help="end when everything is ingested and nothing arrives for this time",
        )
        add_engine_argument(parser)

    def handle(
        self, *, feed: str, source: str, until_idle: float | None, engine: str, verbosity: int, **options: Any
    ) -> None:
        if engine == "spark" and source != KAFKA:
            raise CommandError(f"--source {source} needs --engine local: Spark reads Kafka.", returncode=WRONG_USE)
        for name in SOURCES[source] if engine == "local" else ("bootstrap_servers", "topic"):
            if options[name] is None:
                raise CommandError(f"--source {source} needs {_flag(name)}.", returncode=WRONG_USE)
        for other, names in WHAT_GOES_WITH.items():
            for name in names if other != source else ():
                if options[name] is not None:
                    raise CommandError(f"{_flag(name)} is for --source {other}.", returncode=WRONG_USE)
        chosen = pipeline.Options(
            top_n=settings.TOP_N,
            # A topic with many rejects is not a wrong file: no share of rejects fails it.
            max_reject_ratio=1,
            bounds=UNBOUNDED,
            archive_feeds=settings.ARCHIVE_FEEDS,
            allowed_lateness=settings.ALLOWED_LATENESS,
            max_clock_ahead=settings.MAX_CLOCK_AHEAD,
        )
        report = pipeline.Report()
        started = time.monotonic()
        consume = spark_consumer if engine == "spark" else local_consumer
        try:
            with (
                stopping() as is_stopped,
                translate_errors(),
                consume(source, FEEDS[feed], options, chosen, report) as consumer,
            ):
                for event in consumer.work(until_idle, is_stopped):
                    log_event(event)
                    if isinstance(event, pipeline.Failed | pipeline.Recreated):
                        self.stderr.write(event_line(event))
                    elif verbosity:
                        self.stdout.write(event_line(event))
        except (SourceError, Overtaken, LakeError, ScratchError, SparkError, StoreError) as error:
            raise CommandError(f"{one_line(error)} {GOES_ON}") from error
        if verbosity:
            self.stdout.write(
                f"{report.files:,} batches ingested, {report.failed:,} failed, {report.records:,} records, "
                f"{report.rejects:,} rejects, {report.rollups:,} rollups, {time.monotonic() - started:.1f} s"
            )
        if report.failed:
            sys.exit(1)


@contextmanager
def local_consumer(
    source: str, feed: Feed, options: Mapping[str, Any], chosen: pipeline.Options, report: pipeline.Report
) -> Iterator[Consumer]:
    """Open a consumer that shares the stream with other processes."""
    with (
        pipeline.engine(settings.LAKE_DIR, settings.MEMORY_LIMIT_MB, **lake_options()) as engine,
        _opened(source, feed, engine.scratch, options) as stream,
    ):
        check_ids(engine.lake.storage)
        yield Consumer(stream, engine, chosen, " ".join(sys.argv[1:]), report)


@contextmanager
def spark_consumer(
    source: str, feed: Feed, options: Mapping[str, Any], chosen: pipeline.Options, report: pipeline.Report
) -> Iterator[SparkConsumer]:
    """Open a consumer whose topic Spark reads as a whole."""
    from kpis.ingest.spark_consumer import SparkConsumer, spark_topic

    connection = {**settings.KAFKA_OPTIONS, "bootstrap.servers": options["bootstrap_servers"]}
    limits = settings.STREAM_BATCH_RECORDS, settings.STREAM_BATCH_SECONDS
    with (
        chosen_engine("spark", kafka_settings(settings.SPARK_KAFKA_JARS)) as engine,
        spark_topic(engine, feed, options["topic"], connection, *limits) as stream,
    ):
        check_ids(engine.lake.storage)
        yield SparkConsumer(stream, engine, chosen, " ".join(sys.argv[1:]), report)


def _opened(source: str, feed: Feed, folder: Path, options: Mapping[str, Any]) -> AbstractContextManager[Stream]:
    """Open the stream that the options name, with its spools in ``folder``; raises SourceError."""
    limits = Limits(settings.STREAM_BATCH_RECORDS, settings.STREAM_BATCH_MB * 2**20, settings.STREAM_BATCH_SECONDS)
    if source == KAFKA:
        topic, connection = options["topic"], {"bootstrap.servers": options["bootstrap_servers"]}
        return Topic(
            feed,
            topic,
            options["group"],
            {**settings.KAFKA_OPTIONS, **connection},
            limits,
            lambda: by_number(DatabaseLedger().positions(feed, source, topic)),
            folder,
        )
    try:
        from kpis.sources.kinesis import KinesisStream
        from kpis.sources.kinesis_shards import Share
    except ImportError as error:
        raise SourceError(extras.missing("aws", "Streams from Kinesis need", error)) from error
    name = options["stream"]
    return KinesisStream(
        feed,
        name,
        Share(*(options["shards"] or (1, 1))),
        limits,
        lambda: DatabaseLedger().positions(feed, source, name),
        lambda step: DatabaseLedger().advance(feed, step),
        folder,
    )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _share(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9][0-9]{0,3})/([1-9][0-9]{0,3})", text)
    if not found or int(found[1]) > int(found[2]):
        raise ArgumentTypeError(f"{text!r} is not a share such as 1/2 or 2/2")
    return int(found[1]), int(found[2])


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds
