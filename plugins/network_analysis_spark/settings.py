"""The settings of Spark."""

from __future__ import annotations

import re

from django.core.exceptions import ImproperlyConfigured

from network_analysis.environment import Group
from network_analysis_spark.master import Master


def master_of(url: str, remote: str) -> Master | None:
    """Return Spark's address of one of two variables; None if neither is set."""
    if url and remote:
        raise ImproperlyConfigured("SPARK_MASTER and SPARK_REMOTE are both set; set only one of them.")
    if remote:
        return Master(remote, is_remote=True)
    return Master(url) if url else None


def connect_address(value: str) -> str:
    """Return a Spark Connect server's address; raises ValueError for another."""
    if not re.fullmatch(r"sc://\S+", value):
        raise ValueError
    return value


spark = Group("Spark")
SPARK = master_of(
    spark.text("SPARK_MASTER", accepts="like local[*] or spark://host:7077", help="Spark's master."),
    spark.value(
        "SPARK_REMOTE",
        "",
        connect_address,
        "like sc://host:15002",
        help="A Spark Connect server, instead of a master.",
    ),
)
SPARK_KAFKA_JARS = spark.text(
    "SPARK_KAFKA_JARS", accepts="a folder", help="The jars of Spark's Kafka source; without it Maven fetches them."
)
SPARK_MERGE_MB = spark.integer(
    "SPARK_MERGE_MB",
    256,
    minimum=0,
    help="Spark merges an interval of a KPI whose partials have at least this size.",
    unit="MB",
)
