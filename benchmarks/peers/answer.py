"""The arguments and the answer of every peer.

Usage: python -m benchmarks.peers.NAME [--rejects FILE] FILE...

Each FILE holds the IP flows of one five-minute interval, so that a script may read one after the other. The answer, as
JSON on standard output: for five minutes and for the hour, start of the interval (Unix ms) to its top 10 services by
bytes and top 10 cells by unique users, each a list of [id, value], ties by the id.

Without --rejects a script may assume that every row is a record. With it, it checks every row by the feed's rules and
writes the others to that FILE, as CSV: the file's name, the line's number or nothing, the reason, and the line's text
or nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable

FIVE_MINUTES = 300_000
HOUR = 3_600_000
TOP = 10
LISTS = (("five_minutes", "services"), ("five_minutes", "cells"), ("hours", "services"), ("hours", "cells"))


def arguments() -> tuple[list[str], str | None]:
    """Return the files, and the file for rejects."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rejects")
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    return options.files, options.rejects


def write(tables: Iterable[Iterable[tuple[int, int, int]]]) -> None:
    """Write the answer: in the order of LISTS, each list's rows (start, id, value), as they are ranked."""
    answer: dict[str, dict[int, dict[str, list]]] = {"five_minutes": {}, "hours": {}}
    for (kind, name), rows in zip(LISTS, tables, strict=True):
        for start, group, value in rows:
            answer[kind].setdefault(start, {"services": [], "cells": []})[name].append([group, value])
    json.dump(answer, sys.stdout)
