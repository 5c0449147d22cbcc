"""Spark as ``--engine`` chooses it."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.conf import settings

from kpis import pipeline
from kpis.catalog.feeds import Feed
from kpis.ingest.engines import EngineChoice
from kpis.sources.messages import KAFKA
from kpis.store.binding import check_ids, lake_options
from network_analysis_spark import settings as own


class SparkChoice(EngineChoice):
    """Spark at SPARK_MASTER or SPARK_REMOTE."""

    title = "Spark"

    def open(self) -> AbstractContextManager[pipeline.Engine]:
        return self._open({})

    def _open(self, also: Mapping[str, str]) -> AbstractContextManager[pipeline.Engine]:
        """Open the engine with further settings of Spark's."""
        from network_analysis_spark.run import engine

        place = settings.LAKE_DIR, settings.MEMORY_LIMIT_MB
        return engine(*place, own.SPARK, own.SPARK_MERGE_MB * 2**20, also, **lake_options())

    def required(self, source: str) -> Collection[str] | None:
        # Spark reads a topic as a whole, without a consumer group.
        return ("bootstrap_servers", "topic") if source == KAFKA else None

    @contextmanager
    def consumer(
        self,
        source: str,
        feed: Feed,
        options: Mapping[str, Any],
        chosen: pipeline.Options,
        report: pipeline.Report,
    ) -> Iterator[Any]:
        """Open a consumer whose topic Spark reads as a whole."""
        from network_analysis_spark.consumer import SparkConsumer, spark_topic
        from network_analysis_spark.engine import kafka_settings

        connection = {**settings.KAFKA_OPTIONS, "bootstrap.servers": options["bootstrap_servers"]}
        limits = settings.STREAM_BATCH_RECORDS, settings.STREAM_BATCH_SECONDS
        with (
            self._open(kafka_settings(own.SPARK_KAFKA_JARS)) as engine,
            spark_topic(engine, feed, options["topic"], connection, *limits) as stream,
        ):
            check_ids(engine.lake.storage)
            yield SparkConsumer(stream, engine, chosen, " ".join(sys.argv[1:]), report)


SPARK = SparkChoice()
