"""``manage.py consume_stream``: ingest the messages of a stream as they arrive, each once."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentError, ArgumentTypeError
from collections.abc import Collection, Mapping
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from kpis import pipeline
from kpis.catalog.registry import FEEDS
from kpis.engine.scratch import ScratchError
from kpis.formats.bounds import UNBOUNDED
from kpis.ingest.events import log_event
from kpis.ingest.stream_sources import StreamSource, stream_sources
from kpis.lake import LakeError
from kpis.management.engines import add_engine_argument, chosen_engine
from kpis.management.lines import event_line, one_line
from kpis.management.output import WRONG_USE, WorkCommand
from kpis.management.stopping import stopping
from kpis.plugins.registry import PluginError
from kpis.sources.directory import SourceError
from kpis.sources.messages import KAFKA
from kpis.stages.engine import EngineError
from kpis.store.errors import Overtaken, StoreError, translate_errors

GOES_ON = "What was ingested before stays; the next consumer goes on from there."


class Command(WorkCommand):
    help = (
        "Ingests the messages of a stream, such as a Kafka topic, batch by batch, and writes the KPIs of every "
        "interval that they touch. Continues at the ledger's position and runs until a signal ends it, after the "
        "current batch. Ends with 0, with 1 if it cannot continue or a message failed, with 2 for wrong use."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--feed", required=True, choices=sorted(FEEDS), help="the messages' feed")
        sources = stream_sources()
        parser.add_argument("--source", choices=sorted(sources), default=KAFKA, help="where the messages come from")
        parser.add_argument(
            "--until-idle",
            type=_seconds,
            metavar="SECONDS",
            help="end when everything is ingested and nothing arrives for this time",
        )
        add_engine_argument(parser)
        for name, source in sources.items():
            for option in source.options:
                try:
                    parser.add_argument(option.flag, type=option.convert, metavar=option.metavar, help=option.help)
                except ArgumentError:
                    reason = f"The option {option.flag} of the source {name} is there already: give it another name."
                    raise PluginError(reason) from None

    def handle(
        self, *, feed: str, source: str, until_idle: float | None, engine: str, verbosity: int, **options: Any
    ) -> None:
        if not FEEDS[feed].is_streamable:
            raise CommandError(
                f"The feed {feed} cannot come as messages: it is {FEEDS[feed].format}, and a message is one row.",
                returncode=WRONG_USE,
            )
        choice = chosen_engine(engine)
        _check_options(stream_sources(), source, choice.required(source), engine, options)
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
        try:
            with (
                stopping() as is_stopped,
                translate_errors(),
                choice.consumer(source, FEEDS[feed], options, chosen, report) as consumer,
            ):
                for event in consumer.work(until_idle, is_stopped):
                    log_event(event)
                    if isinstance(event, pipeline.Failed | pipeline.Recreated):
                        self.stderr.write(event_line(event))
                    elif verbosity:
                        self.stdout.write(event_line(event))
        except (EngineError, SourceError, Overtaken, LakeError, ScratchError, StoreError) as error:
            raise CommandError(f"{one_line(error)} {GOES_ON}") from error
        if verbosity:
            self.stdout.write(
                f"{report.files:,} batches ingested, {report.failed:,} failed, {report.records:,} records, "
                f"{report.rejects:,} rejects, {report.rollups:,} rollups, {time.monotonic() - started:.1f} s"
            )
        if report.failed:
            sys.exit(1)


def _check_options(
    sources: Mapping[str, StreamSource],
    source: str,
    required: Collection[str] | None,
    engine: str,
    options: Mapping[str, Any],
) -> None:
    """Raise CommandError if an option is missing or is for another source, or the engine cannot read the source."""
    if required is None:
        raise CommandError(f"--source {source} needs --engine local: {engine} cannot read it.", returncode=WRONG_USE)
    for other, found in sources.items():
        for option in found.options:
            if other == source and option.name in required and options[option.name] is None:
                raise CommandError(f"--source {source} needs {option.flag}.", returncode=WRONG_USE)
            if other != source and options[option.name] is not None:
                raise CommandError(f"{option.flag} is for --source {other}.", returncode=WRONG_USE)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds
