"""A stream that comes in, written into the database of DATABASE_URL as a consumer does after each batch.

`python -m tests.browser.stream` puts an hour of sample calls and messages in, as the live page counts them; with
`--go-on` it puts in each second that follows instead, and says a line when the first is in.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import count

import django

HOUR = 3600
RATES = {"cdr": 2000, "antenna": 300}
DIMENSIONS = {"cdr": {"county": "Location", "operator": "Company"}, "antenna": {"app": "app"}}
SEED = 1


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "network_analysis.settings")
    django.setup()
    from django.utils import timezone

    from kpis.engine.live import LiveCounts
    from kpis.live.counts import add_live_counts
    from kpis.models import StreamConsumer
    from kpis.sample.stream import SampleStream

    streams = {feed: SampleStream(feed, rate, SEED, disturbed=feed == "cdr") for feed, rate in RATES.items()}

    def put(seconds: range) -> None:
        for feed, stream in streams.items():
            counted = [(second, stream.columns(second)) for second in seconds]
            groups = {
                dimension: [
                    (second, name, number)
                    for second, columns in counted
                    for name, number in Counter(columns[column]).items()
                ]
                for dimension, column in DIMENSIONS[feed].items()
            }
            add_live_counts(feed, LiveCounts(groups, datetime.fromtimestamp(seconds[-1], UTC)), timezone.now())
        for number, (feed, rate) in enumerate(RATES.items()):
            values = {"feed": feed, "topic": feed, "lag": rate, "reported_at": timezone.now()}
            StreamConsumer.objects.update_or_create(values, host="localhost", process=number)

    second = int(time.time())
    if "--go-on" not in sys.argv:
        put(range(second - HOUR, second))
        return
    for number in count(second):
        put(range(number, number + 1))
        if number == second:
            sys.stdout.write("in\n")
            sys.stdout.flush()
        time.sleep(max(0.0, number + 1 - time.time()))


if __name__ == "__main__":
    main()
