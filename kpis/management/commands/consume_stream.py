"""``manage.py consume_stream``: takes a Kafka topic's messages in as they come, each once."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentTypeError

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from kpis import pipeline
from kpis.catalog.feeds import ANTENNA, CDR, FEEDS
from kpis.consumer import Consumer
from kpis.engine.scratch import ScratchError
from kpis.events import log_event
from kpis.lake import LakeError
from kpis.management.commands.update_network_stats import event_line, one_line, stopping
from kpis.sources.directory import SourceError
from kpis.sources.kafka import Limits, Topic
from kpis.store import DatabaseLedger, Overtaken, StoreError, telling

WRONG_USE = 2
GOES_ON = "What was taken in before stays; the next consumer goes on from there."
STREAM_FEEDS = (ANTENNA.name, CDR.name)


class Command(BaseCommand):
    help = (
        "Takes a Kafka topic's messages in, batch by batch, and writes the KPIs of every interval they touch. Goes on "
        "from where the ledger is, and works until a signal ends it, after the batch in hand. Processes with the same "
        "group share the topic's partitions. Ends with 0, with 1 when it cannot go on or a message failed, with 2 for "
        "wrong use."
    )
    requires_system_checks = ()

    def add_arguments(self, parser):
        parser.add_argument("--feed", required=True, choices=STREAM_FEEDS, help="what the messages are")
        parser.add_argument("--bootstrap-servers", required=True, metavar="HOST:PORT,...", help="Kafka's brokers")
        parser.add_argument("--topic", required=True, help="the topic's name")
        parser.add_argument("--group", required=True, help="the consumer group, which shares the partitions out")
        parser.add_argument(
            "--until-idle", type=_seconds, metavar="SECONDS", help="end when all is in and nothing came for so long"
        )

    def handle(self, *, feed, bootstrap_servers, topic, group, until_idle, verbosity, **options):
        chosen = pipeline.Options(
            top_n=settings.TOP_N,
            # A stream is not the wrong file, however many of its messages are rejects.
            max_reject_ratio=1,
            archive_feeds=settings.ARCHIVE_FEEDS,
            allowed_lateness=settings.ALLOWED_LATENESS,
        )
        limits = Limits(settings.STREAM_BATCH_RECORDS, settings.STREAM_BATCH_MB * 2**20, settings.STREAM_BATCH_SECONDS)
        report = pipeline.Report()
        started = time.monotonic()
        try:
            with (
                stopping() as is_stopped,
                telling(),
                pipeline.engine(settings.LAKE_DIR, settings.MEMORY_LIMIT_MB) as engine,
                Topic(
                    FEEDS[feed],
                    topic,
                    group,
                    {**settings.KAFKA_OPTIONS, "bootstrap.servers": bootstrap_servers},
                    limits,
                    lambda: DatabaseLedger().next_offsets(FEEDS[feed], topic),
                    engine.scratch,
                ) as source,
            ):
                consumer = Consumer(source, engine, chosen, " ".join(sys.argv[1:]), report)
                for event in consumer.work(until_idle, is_stopped):
                    log_event(event)
                    if isinstance(event, pipeline.Failed):
                        self.stderr.write(event_line(event))
                    elif verbosity:
                        self.stdout.write(event_line(event))
        except (SourceError, Overtaken, LakeError, ScratchError, StoreError) as error:
            raise CommandError(f"{one_line(error)} {GOES_ON}") from error
        if verbosity:
            self.stdout.write(
                f"{report.files:,} batches in, {report.failed:,} failed, {report.records:,} records, "
                f"{report.rejects:,} rejects, {report.rollups:,} rollups, {time.monotonic() - started:.1f} s"
            )
        if report.failed:
            sys.exit(1)


def _seconds(text):
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds
