"""A Spark session: started, checked and stopped."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kpis import extras
from kpis.stages.engine import EngineError
from network_analysis_spark.master import Master

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LOG4J = """
rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex
"""


class SparkError(EngineError):
    """Spark cannot be used, or failed; the message gives the reason, and what to do if that is known."""


def check(master: Master | None) -> None:
    """Raise SparkError if it is known beforehand that Spark cannot be used."""
    if master is None:
        raise SparkError("The engine spark needs SPARK_MASTER, such as local[*] or spark://host:7077, or SPARK_REMOTE.")
    if not extras.is_installed("spark"):
        raise SparkError(extras.missing("spark", "The engine spark needs"))
    java = os.environ.get("JAVA_HOME")
    if not shutil.which(f"{java}/bin/java" if java else "java") and not master.is_remote:
        where = f"in JAVA_HOME={java}" if java else "on the path"
        raise SparkError(
            f"The engine spark needs Java, which is not {where}. Install Java 17 (Debian's openjdk-17-jre-headless)."
        )


def new_session(master: Master, scratch: Path, settings: dict[str, str], log: Path) -> SparkSession:
    """Start a session at a master; raises SparkError with the cause from Java's output in ``log``."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("network-analysis")
    if master.is_remote:
        builder = builder.remote(master.url)
    else:
        if master.url.startswith("local"):
            # Its executors are of this machine, and import what this process does.
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        log_settings = scratch / "log4j2.properties"
        log_settings.write_text(LOG4J)
        builder = builder.master(master.url)
        settings = {
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={log_settings}",
            "spark.local.dir": str(scratch),
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.warehouse.dir": str(scratch / "warehouse"),
            **settings,
        }
    for name, value in settings.items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
    except (PySparkException, Py4JError, OSError, RuntimeError) as error:
        cause = _last_error(log) or reason(error)
        raise SparkError(f"Cannot start Spark at {master.url}: {cause}.") from error
    return session


def stop_session(session: SparkSession) -> None:
    """Stop a session, and keep this process's handler of SIGINT."""
    with signals_kept():
        session.stop()


@contextmanager
def signals_kept() -> Iterator[None]:
    """Restore this process's handler of SIGINT at the end, as Spark replaces it."""
    is_main = threading.current_thread() is threading.main_thread()
    former = signal.getsignal(signal.SIGINT)
    yield
    if is_main:
        signal.signal(signal.SIGINT, former)


@contextmanager
def said_to(log: Path) -> Iterator[None]:
    """Redirect the standard error of processes that are started meanwhile to a file."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with log.open("ab") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def reason(error: BaseException) -> str:
    """Return the message of Spark's error as one line: the last line of an executor's error, the first of Java's."""
    text = str(getattr(error, "java_exception", None) or error).strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    raised = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception", "Lost")) and ":" in line]
    cause = (raised[-1] if "Traceback" in text and raised else lines[0] if lines else type(error).__name__)[:500]
    return cause.rstrip(".")


def _last_error(log: Path) -> str:
    """Return the first error in Java's output."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    for line in lines:
        if "Exception" in line and ": " in line:
            return line.partition("Exception: ")[2].strip().rstrip(".") or line.strip().rstrip(".")
    return ""
