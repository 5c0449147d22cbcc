"""One page's SQL and ``orjson.dumps`` alone; usage: python -m benchmarks.pages.sql DATABASE SQL TIMES."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from statistics import median

import orjson


def main() -> None:
    database, query, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
    connection = sqlite3.connect(database)
    taken = []
    for _ in range(times // 10 + times):
        started = time.perf_counter()
        cursor = connection.execute(query)
        names = [column[0] for column in cursor.description]
        body = orjson.dumps([dict(zip(names, row, strict=True)) for row in cursor])
        taken.append(time.perf_counter() - started)
    json.dump({"seconds": median(taken[times // 10 :]), "answer": json.loads(body)}, sys.stdout)


if __name__ == "__main__":
    main()
