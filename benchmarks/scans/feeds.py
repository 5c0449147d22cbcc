"""This project's scanner on a feed's files, one after the other; usage: python -m benchmarks.scans.feeds FEED FILE...

Its seconds are the CPU seconds of all its threads together.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from kpis.catalog.registry import FEEDS, partial_kpis
from kpis.engine.scanner import scan


def main() -> None:
    feed, paths = FEEDS[sys.argv[1]], [Path(path) for path in sys.argv[2:]]
    started, records = time.process_time(), 0
    for path in paths:
        day = feed.date_in(path.name)
        scanned = scan(path, feed, partial_kpis(feed), defaults={"date": day} if day else {})
        if scanned is None or scanned.rejects:
            raise SystemExit(f"The scanner declined {path}, or lines of it.")
        records += scanned.reading.records
    json.dump({"seconds": time.process_time() - started, "records": records}, sys.stdout)


if __name__ == "__main__":
    main()
