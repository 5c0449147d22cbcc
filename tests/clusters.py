"""A Spark of this machine, for the tests that share it: real Java, with executors' Python processes of its own."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from network_analysis_spark.engine import Spark, kafka_settings, spark
from network_analysis_spark.master import Master
from tests.services import program

# What Java compiles for speed costs more time than a test has use for; and few rows need few parts.
JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xms64m -Xmx768m"


def absent() -> str:
    """Why there is no Spark here, or nothing."""
    if importlib.util.find_spec("pyspark") is None:
        return "needs PySpark (make setup EXTRAS=spark)"
    return "" if program("java") else "needs Java (Debian's package openjdk-17-jre-headless)"


def need_spark() -> None:
    """Leaves the test out where there is no Spark; with REQUIRE_SERVICES=1 fails it."""
    if absent():
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(f"REQUIRE_SERVICES=1, but it {absent()}")
        pytest.skip(absent())


@contextmanager
def running_spark() -> Iterator[Spark]:
    """A session at ``local[2]``."""
    need_spark()
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="spark-") as folder:
        patch.setenv("JDK_JAVA_OPTIONS", JAVA)
        jars = os.environ.get("TEST_KAFKA_JARS", "")
        settings = kafka_settings(os.path.join(jars, "spark")) if jars else None
        with spark(Master("local[2]"), Path(folder), settings) as session:
            yield session
