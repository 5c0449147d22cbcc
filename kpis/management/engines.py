"""The option --engine, and the engine that it chooses."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from django.conf import settings
from django.core.management.base import CommandParser

from kpis import pipeline
from kpis.store.binding import lake_options

ENGINES = ("local", "spark")


def add_engine_argument(parser: CommandParser) -> None:
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default=settings.ENGINE,
        help="what reads files and merges large intervals: this machine, or Spark at SPARK_MASTER or SPARK_REMOTE "
        f"(default: ENGINE, which is {settings.ENGINE})",
    )


def chosen_engine(
    name: str, spark_settings: Mapping[str, str] | None = None
) -> AbstractContextManager[pipeline.Engine]:
    """The engine of that name, as a context; Spark's with further settings of its own."""
    place = settings.LAKE_DIR, settings.MEMORY_LIMIT_MB
    if name == "local":
        return pipeline.engine(*place, **lake_options())
    from kpis.spark import run as cluster

    return cluster.engine(*place, settings.SPARK, settings.SPARK_MERGE_MB * 2**20, spark_settings, **lake_options())
