"""``manage.py produce_sample_stream``: puts sample messages into a Kafka topic, as they would come."""

from __future__ import annotations

import time

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from kpis.management.commands.consume_stream import STREAM_FEEDS, WRONG_USE
from kpis.sample import SAMPLES
from kpis.sample.stream import seconds_of
from kpis.sources.directory import SourceError
from kpis.sources.kafka import produce


class Command(BaseCommand):
    help = (
        "Puts believable messages into a Kafka topic, so many each second, with the time of now. The same seed gives "
        "the same messages at the same time."
    )
    requires_system_checks = ()

    def add_arguments(self, parser):
        parser.add_argument("--feed", required=True, choices=STREAM_FEEDS, help="what to make")
        parser.add_argument("--bootstrap-servers", required=True, metavar="HOST:PORT,...", help="Kafka's brokers")
        parser.add_argument("--topic", required=True, help="the topic's name")
        parser.add_argument("--rate", required=True, type=int, metavar="N", help="messages a second")
        parser.add_argument("--seconds", required=True, type=int, metavar="S", help="for how long")
        parser.add_argument("--seed", type=int, default=1, metavar="N", help="0 or more (default: 1)")

    def handle(self, *, feed, bootstrap_servers, topic, rate, seconds, seed, verbosity, **options):
        for option, value, minimum in (("--rate", rate, 1), ("--seconds", seconds, 1), ("--seed", seed, 0)):
            if value < minimum:
                raise CommandError(f"{option} must be at least {minimum}, not {value}.", returncode=WRONG_USE)
        made = seconds_of(SAMPLES[feed], timezone.now(), rate, seconds, seed)
        connection = {**settings.KAFKA_OPTIONS, "bootstrap.servers": bootstrap_servers}
        began = time.monotonic()
        try:
            count = produce(connection, topic, made)
        except SourceError as error:
            raise CommandError(str(error)) from error
        if verbosity:
            taken = time.monotonic() - began
            self.stdout.write(f"{count:,} messages in {taken:.1f} s, {count / taken:,.0f} a second")
