"""The benchmarks by their names, in the order in which they run."""

from benchmarks.suite.day import day
from benchmarks.suite.feeds import OTHERS, feed_benchmark
from benchmarks.suite.files import many, scattered, split
from benchmarks.suite.hours import few_users, hour, ipflow, many_cells, users
from benchmarks.suite.pages import pages
from benchmarks.suite.rejects import rejects
from benchmarks.suite.scan import scan, scans
from benchmarks.suite.tick import start, tick

BENCHMARKS = {
    "hour": hour,
    "ipflow": ipflow,
    **{name: feed_benchmark(name) for name in OTHERS},
    "scan": scan,
    "scans": scans,
    "rejects": rejects,
    "few-users": few_users,
    "many-cells": many_cells,
    "users": users,
    "day": day,
    "split": split,
    "many": many,
    "scattered": scattered,
    "start": start,
    "tick": tick,
    "pages": pages,
}
