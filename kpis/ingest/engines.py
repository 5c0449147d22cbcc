"""The engines that ``--engine`` can choose: this machine, and those of plug-ins."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

from django.conf import settings

from kpis import pipeline
from kpis.catalog.feeds import Feed
from kpis.plugins import registry
from kpis.store.binding import check_ids, lake_options

LOCAL = "local"


class EngineChoice(ABC):
    """An engine, with the settings that it works by. ``title`` names it in help texts."""

    title: ClassVar[str]

    @abstractmethod
    def open(self) -> AbstractContextManager[pipeline.Engine]:
        """Open the engine over LAKE_DIR; raises EngineError, and what ``pipeline.engine`` raises."""

    @abstractmethod
    def required(self, source: str) -> Collection[str] | None:
        """Return the names of the options that it needs to consume a source's streams; None if it cannot."""

    @abstractmethod
    def consumer(
        self,
        source: str,
        feed: Feed,
        options: Mapping[str, Any],
        chosen: pipeline.Options,
        report: pipeline.Report,
    ) -> AbstractContextManager[Any]:
        """Open the consumer of the stream that a source's options name, a ``BaseConsumer``; raises SourceError."""


class LocalEngine(EngineChoice):
    """This machine."""

    title = "this machine"

    def open(self) -> AbstractContextManager[pipeline.Engine]:
        return pipeline.engine(settings.LAKE_DIR, settings.MEMORY_LIMIT_MB, **lake_options())

    def required(self, source: str) -> Collection[str] | None:
        from kpis.ingest.stream_sources import stream_sources

        return [option.name for option in stream_sources()[source].options if option.required]

    @contextmanager
    def consumer(
        self,
        source: str,
        feed: Feed,
        options: Mapping[str, Any],
        chosen: pipeline.Options,
        report: pipeline.Report,
    ) -> Iterator[Any]:
        """Open a consumer that shares the stream with other processes."""
        from kpis.ingest.consumer import Consumer
        from kpis.ingest.stream_sources import Opening, stream_sources
        from kpis.sources.stream import Limits

        limits = Limits(settings.STREAM_BATCH_RECORDS, settings.STREAM_BATCH_MB * 2**20, settings.STREAM_BATCH_SECONDS)
        with self.open() as engine:
            opening = Opening(feed, source, options, limits, engine.scratch)
            with stream_sources()[source].open(opening) as stream:
                check_ids(engine.lake.storage)
                yield Consumer(stream, engine, chosen, " ".join(sys.argv[1:]), report)


def engine_names() -> tuple[str, ...]:
    """Return the names of all engines."""
    return (LOCAL, *registry.added("engines"))


def engine_choice(name: str) -> EngineChoice:
    """Return the engine of a name; raises PluginError."""
    if name == LOCAL:
        return LocalEngine()
    made: EngineChoice = registry.resolve(registry.added("engines")[name])
    return made
