"""Spark's daemon, whose Python workers save after each task what coverage measured: at the end Spark kills them.

``make coverage`` has Spark start it in place of its own (``spark.python.daemon.module``).
"""

from __future__ import annotations

import coverage
from pyspark import daemon

work = daemon.worker


def worker(*arguments) -> int:
    """Works on a task, as Spark's own does, and saves."""
    code = work(*arguments)
    coverage.Coverage.current().save()
    return code


if __name__ == "__main__":
    daemon.worker = worker
    daemon.manager()
