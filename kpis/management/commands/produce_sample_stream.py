"""``manage.py produce_sample_stream``: produce sample messages to a Kafka topic at a realistic pace."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from kpis.management.output import WRONG_USE, WorkCommand
from kpis.management.stopping import stopping
from kpis.sample.stream import DISTURBED, STREAMS, SampleStream
from kpis.sources.directory import SourceError
from kpis.sources.kafka_producer import produce


class Command(WorkCommand):
    help = (
        "Produces realistic messages to a Kafka topic at a fixed rate, with the current time, and reports their "
        "number at the end. The same seed gives the same messages at the same time."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--feed", required=True, choices=STREAMS, help="the feed")
        parser.add_argument("--bootstrap-servers", required=True, metavar="HOST:PORT,...", help="Kafka's brokers")
        parser.add_argument("--topic", required=True, help="the topic's name")
        parser.add_argument("--rate", required=True, type=int, metavar="N", help="messages a second")
        parser.add_argument(
            "--seconds", type=int, metavar="S", help="seconds to run (default: until a signal ends it, such as Ctrl-C)"
        )
        parser.add_argument("--seed", type=int, default=1, metavar="N", help="0 or more (default: 1)")
        parser.add_argument(
            "--disturb",
            action="store_true",
            help="in one of every five minutes a county is silent, or has three times its calls (cdr)",
        )

    def handle(
        self,
        *,
        feed: str,
        bootstrap_servers: str,
        topic: str,
        rate: int,
        seconds: int | None,
        seed: int,
        disturb: bool,
        verbosity: int,
        **options: Any,
    ) -> None:
        for option, value, minimum in (("--rate", rate, 1), ("--seconds", seconds, 1), ("--seed", seed, 0)):
            if value is not None and value < minimum:
                raise CommandError(f"{option} must be at least {minimum}, not {value}.", returncode=WRONG_USE)
        if disturb and feed not in DISTURBED:
            raise CommandError(f"--disturb goes with the feed {', '.join(DISTURBED)}.", returncode=WRONG_USE)
        connection = {**settings.KAFKA_OPTIONS, "bootstrap.servers": bootstrap_servers}
        stream = SampleStream(feed, rate, seed, disturb)
        try:
            with stopping() as is_stopped:
                count, taken = produce(connection, topic, stream.messages, seconds, is_stopped)
        except SourceError as error:
            raise CommandError(str(error)) from error
        if verbosity:
            a_second = f", {count / taken:,.0f} a second" if count else ""
            self.stdout.write(f"{count:,} messages in {max(0, taken):.1f} s{a_second}")
