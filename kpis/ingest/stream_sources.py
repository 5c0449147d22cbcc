"""The sources of streams: what ``consume_stream --source`` can read, each with its options on the command line."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings

from kpis.catalog.feeds import Feed
from kpis.plugins import registry
from kpis.sources.batch import Step
from kpis.sources.kafka import Topic
from kpis.sources.messages import KAFKA
from kpis.sources.positions import Position, by_number
from kpis.sources.stream import Limits, Stream
from kpis.store.ledger import DatabaseLedger


@dataclass(frozen=True)
class Option:
    """An option of a source on the command line: ``name`` is ``bootstrap_servers`` for ``--bootstrap-servers``.

    ``convert`` makes its value of its text, and raises argparse's ArgumentTypeError.
    """

    name: str
    help: str
    metavar: str | None = None
    convert: Callable[[str], Any] = str
    required: bool = True

    @property
    def flag(self) -> str:
        """The option as it is written: ``--bootstrap-servers``."""
        return f"--{self.name.replace('_', '-')}"


@dataclass(frozen=True)
class Opening:
    """What a source opens a stream with.

    ``options`` has the source's options, and None for those that are not given. ``limits`` are those of a batch, and
    messages that are not ingested yet are spooled in ``folder``.
    """

    feed: Feed
    source: str
    options: Mapping[str, Any]
    limits: Limits
    folder: Path

    def positions(self, stream: str) -> dict[str, Position]:
        """Return the ledger's position in each partition of a stream; those without any are left out."""
        return DatabaseLedger().positions(self.feed, self.source, stream)

    def advance(self, step: Step) -> bool:
        """Write the position after a step that gives no records; False if the ledger's is not the one before it."""
        return DatabaseLedger().advance(self.feed, step)


class StreamSource(ABC):
    """A kind of stream. ``title`` names it in help texts: "a Kafka topic"."""

    title: ClassVar[str]
    options: ClassVar[tuple[Option, ...]]

    @abstractmethod
    def open(self, opening: Opening) -> AbstractContextManager[Stream[Any]]:
        """Open the stream that the options name; raises SourceError."""


class KafkaSource(StreamSource):
    """A topic of Kafka."""

    title = "a Kafka topic"
    options = (
        Option("bootstrap_servers", "Kafka's brokers", metavar="HOST:PORT,..."),
        Option("topic", "the topic's name"),
        Option(
            "group",
            "the consumer group: processes of one group share the topic's partitions; not used with Spark",
        ),
    )

    def open(self, opening: Opening) -> AbstractContextManager[Stream[Any]]:
        options = opening.options
        return Topic(
            opening.feed,
            options["topic"],
            options["group"],
            {**settings.KAFKA_OPTIONS, "bootstrap.servers": options["bootstrap_servers"]},
            opening.limits,
            lambda: by_number(opening.positions(options["topic"])),
            opening.folder,
        )


def stream_sources() -> dict[str, StreamSource]:
    """Return all sources, by name: Kafka and those of plug-ins; raises PluginError."""
    plugged = {name: registry.resolve(place) for name, place in registry.added("sources").items()}
    return {KAFKA: KafkaSource(), **plugged}
