"""Every page of the console on thirty days of results, five million rows: how fast, and how many bytes.

``console.py [NAME]`` fills the database of ``DATABASE_URL`` (by default a new SQLite file), which must be empty, and
asks for each page and chart as a browser does, as a user with all permissions. It ends with 1 if an answer takes
longer than 300 ms or has more than 1 MB. Figures are made up; a group's value falls with its rank. With NAME only the
addresses that contain it are asked for, and a database that is filled already is taken as it is.
"""
# Django has to be set up before its models are imported.
# ruff: noqa: E402

from __future__ import annotations

import os
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "network_analysis.settings")
os.environ.setdefault("SECRET_KEY", "for-measurements-alone-0123456789-abcdefghijklmnopqrstuvwxyz")
os.environ.setdefault("DATABASE_URL", f"sqlite:///{tempfile.mkdtemp(prefix='console-')}/db.sqlite3")
os.environ["ANONYMOUS_RATE"] = os.environ["USER_RATE"] = "off"

import django

django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, reset_queries
from django.db.backends.utils import CursorWrapper
from django.db.models import IntegerField
from django.test import Client
from django.test.utils import CaptureQueriesContext, setup_test_environment
from django.utils.http import urlencode

from kpis.catalog.builtin.cdr import COUNTY_CALL_VOLUME
from kpis.catalog.builtin.coverage import COVERAGE_GRID_SIGNAL
from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR, Length
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import FEEDS, KPIS, kpis_of
from kpis.models import Batch, BatchInterval, IntervalSummary, Region, Reject, Run, Watermark
from kpis.models.fields import column
from kpis.models.result_models import group_of, result_model

DAYS = 30
END = datetime(2021, 8, 1, tzinfo=UTC)
START = END - timedelta(days=DAYS)
MOST_SECONDS, MOST_BYTES = 0.3, 1_000_000
GROUPS = {1: 10, 2: 10, 3: 50, 4: 20, 5: 25, 6: 8, 7: 5, 8: 5, 9: 60, 10: 58, 11: 10, 12: 120}
# Each has four rejects; every fifth was replaced.
BATCHES_WITH_REJECTS = 1000


def fill() -> int:
    """Write the results and summaries of all KPIs; return the number of result rows."""
    rows = 0
    with connection.cursor() as cursor:
        for kpi in KPIS.values():
            _make_groups(cursor, kpi)
            for length in kpi.lengths:
                _make_times(cursor, length)
                rows += _fill(cursor, kpi, length)
    for feed in FEEDS.values():
        Watermark.objects.create(feed=feed.name, newest_interval_end=END)
        _fill_ledger(feed)
    return rows


def _fill_ledger(feed: Feed) -> None:
    """Write a batch for every five minutes, the newest with rejects, and intervals that they changed."""
    run = Run.objects.create(started_at=START, command="update_network_stats", host="probe", process=1)
    starts = [START + number * FIVE_MINUTES.delta for number in range(DAYS * 1440 // FIVE_MINUTES.minutes)]
    batches = []
    for number, start in enumerate(starts):
        bad = number >= len(starts) - BATCHES_WITH_REJECTS
        values = {"lines": 1004, "records": 1000, "rejects": 4} if bad else {"lines": 1000, "records": 1000}
        revision = 2 if bad and number % 5 == 0 else 1
        name = f"{feed.name}_data.{start:%Y-%m-%dT%H%M}.csv"
        batches.append(
            Batch(feed=feed.name, name=name, status="in", size=1, modified_ns=1, revision=revision, run=run,
                  ingested_at=start + ONE_HOUR.delta, **values)
        )  # fmt: skip
    Batch.objects.bulk_create(batches, batch_size=1000)
    steps = range(0, FIVE_MINUTES.minutes, feed.interval.minutes)
    BatchInterval.objects.bulk_create(
        (
            BatchInterval(
                batch=batch, interval_start_timestamp=start + step * timedelta(minutes=1), records=1000 // len(steps)
            )
            for batch, start in zip(batches, starts, strict=True)
            for step in steps
        ),
        batch_size=1000,
    )
    Reject.objects.bulk_create(
        (
            Reject(batch=batch, line=line, column=feed.columns[line % 3].name, reason="is empty", text="x" * 100)
            for batch in batches[-BATCHES_WITH_REJECTS:]
            for line in range(2, 6)
        ),
        batch_size=1000,
    )
    kpis = [kpi.id for kpi in kpis_of(feed)]
    newest = IntervalSummary.objects.filter(kpi__in=kpis, interval_start_timestamp__gte=END - timedelta(days=3))
    newest.update(revision=2, previous_total=1, previous_mean=1.0, previous_updated_at=START)


def _make_times(cursor: CursorWrapper, length: Length) -> None:
    """Create a temporary table with the numbered intervals of the length."""
    kind = IntervalSummary._meta.get_field("interval_start_timestamp").db_type(connection)
    cursor.execute("DROP TABLE IF EXISTS times")
    cursor.execute(f"CREATE TEMPORARY TABLE times (step integer, begun {kind}, ended {kind})")
    moment = connection.ops.adapt_datetimefield_value
    starts = length.starts(START, START + timedelta(days=DAYS))
    rows = [(step, moment(start), moment(length.end(start))) for step, start in enumerate(starts)]
    cursor.executemany("INSERT INTO times VALUES (%s, %s, %s)", rows)


def _make_groups(cursor: CursorWrapper, kpi: KPI) -> None:
    """Create a temporary table with the KPI's groups by rank."""
    fields = {name: column(result_model(kpi), name) for name in kpi.dimensions}
    columns = ", ".join(f"{name} {field.db_type(connection)}" for name, field in fields.items())
    cursor.execute("DROP TABLE IF EXISTS groups_")
    cursor.execute(f"CREATE TEMPORARY TABLE groups_ (place integer, {columns})")
    rows = []
    for rank in range(1, GROUPS[kpi.id] + 1):
        texts = _place(kpi, rank) or [
            rank if isinstance(field, IntegerField) else f"G{rank:03d}" if (field.max_length or 0) > 4 else "CALL"
            for field in fields.values()
        ]
        rows.append((rank, *texts))
    cursor.executemany(f"INSERT INTO groups_ VALUES ({', '.join(['%s'] * (1 + len(fields)))})", rows)


def _place(kpi: KPI, rank: int) -> list[int | str]:
    """Return the name of a group that the map has a place for, in a list; an empty list for other KPIs."""
    if kpi == COVERAGE_GRID_SIGNAL:
        return [f"{33 + rank * 5 % 800 / 100:.2f},{-122 + rank % 40 / 20:.2f}"]
    return [Region.objects.all()[rank - 1].name] if kpi == COUNTY_CALL_VOLUME else []


def _fill(cursor: CursorWrapper, kpi: KPI, length: Length) -> int:
    number = GROUPS[kpi.id]
    wave = "(step * 31 % 997)"
    value = f"(({number + 1} - place) * 1000 + {wave})"
    total = f"({1000 * number * (number + 1) // 2} + {number} * {wave})"
    scale = " / 1000.0" if kpi.measure.is_fraction else ""
    others = {"quota": "10", "market_share": f"{value} * 1.0 / {total}"}
    values = {name: others.get(name, "7") for name in kpi.measure.values[1:]}
    columns = {
        "interval_start_timestamp": "begun",
        "interval_end_timestamp": "ended",
        f"{connection.ops.quote_name('interval')}": str(length.code),
        f"{connection.ops.quote_name('rank')}": "place",
        **{name: name for name in kpi.dimensions},
        f"{connection.ops.quote_name(kpi.value)}": value + scale,
        **{connection.ops.quote_name(name): text for name, text in values.items()},
    }
    _insert(cursor, result_model(kpi)._meta.db_table, columns, "times CROSS JOIN groups_")
    count = cursor.rowcount
    quoted = connection.ops.quote_name
    summary = {
        "kpi": str(kpi.id),
        "interval_start_timestamp": "begun",
        "interval_end_timestamp": "ended",
        quoted("interval"): str(length.code),
        "mean" if kpi.measure.is_fraction else "total": f"{total} / {1000.0 * number}"
        if kpi.measure.is_fraction
        else total,
        quoted("groups"): str(number),
        "records": "1000",
        "batches": "1",
        "first_computed_at": "ended",
        "revision": "1",
        quoted("state"): "'final'",
        "updated_at": "ended",
    }
    _insert(cursor, IntervalSummary._meta.db_table, summary, "times")
    return count


def _insert(cursor: CursorWrapper, table: str, columns: dict[str, str], source: str) -> None:
    cursor.execute(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns.values())} FROM {source}")


def addresses() -> list[str]:
    """Yield every page and the parts that it loads, with a day, all thirty days, a group, and other intervals."""
    found = ["/", "/standouts/", "/operators/"]
    day = "from=2021-07-31T00:00Z&to=2021-08-01T00:00Z"
    month = "from=2021-07-02T00:00Z&to=2021-08-01T00:00Z"
    found += [f"/operators/?{month}"]
    for kpi_id, kinds in ((11, ("stacked", "shares")), (7, ("average",)), (8, ("average",))):
        found += [f"/operators/{kpi_id}/{kind}.json?{span}" for kind in kinds for span in (day, month)]
    for layer in ("calls", "signal"):
        for span in (day, month):
            for code in (1, 2):
                query = f"{span}&interval={code}"
                found += [f"/map/?layer={layer}&{query}&step=5", f"/map/{layer}.json?{query}"]
    found += ["/map/?layer=signal&region=06037", f"/quotas/?{day}", f"/quotas/?{month}", f"/quotas/hours.json?{month}"]
    found += [f"/quotas/?{month}&subscribers_sort=-hours&hours_sort=-excess&hours_page=50"]
    week = "from=2021-07-25T01:01Z&to=2021-08-01T01:01Z"
    found += ["/quality/", f"/quality/?{week}", f"/quality/?{week}&show=rejects&batches_sort=-rejects&revised_page=99"]
    for kpi in KPIS.values():
        figure = f"/explain/?kpi={kpi.id}&interval={kpi.lengths[-1].code}&start=2021-07-31T12:00Z"
        found += [figure, f"{figure}&{urlencode(_a_group(kpi))}"]
    for kpi in KPIS.values():
        group = "&".join(f"{name}={value}" for name, value in _a_group(kpi).items())
        for span in (day, month):
            for length in kpi.lengths:
                for of in ("", f"&{group}"):
                    query = f"{span}&interval={length.code}{of}"
                    found += [f"/kpis/{kpi.id}/?{query}", f"/kpis/{kpi.id}/series.json?{query}"]
        found += [
            f"/kpis/{kpi.id}/",
            f"/kpis/{kpi.id}/top.json?{month}",
            f"/kpis/{kpi.id}/groups/?search=1&{month}",
            f"/kpis/{kpi.id}/?{month}&times_sort={'mean' if kpi.measure.is_fraction else '-total'}&times_page=100",
            f"/kpis/{kpi.id}/?{month}&groups_sort={kpi.dimensions[0]}",
        ]
    return found


def _a_group(kpi: KPI) -> dict[str, int | str]:
    row = result_model(kpi).objects.order_by("interval_start_timestamp", "interval", "rank")[0]
    return group_of(row)


def measure(name: str) -> int:
    """Request each address three times and print its best time; return 1 if one is too slow or too large."""
    user = User.objects.get_or_create(username="reader", is_staff=True, is_superuser=True)[0]
    client = Client()
    client.force_login(user)
    bad = 0
    for address in (address for address in addresses() if name in address):
        taken = []
        for _ in range(3):
            # Its list of queries has an end, after which it would see none.
            reset_queries()
            with CaptureQueriesContext(connection) as queries:
                started = time.perf_counter()
                response = client.get(address)
                size = len(response.content)
                taken.append(time.perf_counter() - started)
        wrong = response.status_code != 200 or min(taken) > MOST_SECONDS or size > MOST_BYTES
        bad += wrong
        print(
            f"{1000 * min(taken):6.0f} ms {size / 1000:7.1f} kB {len(queries):3} queries  {response.status_code} "
            f"{address}{'  <-- too much' if wrong else ''}",
            flush=True,
        )
    print(f"{bad} of them take longer than {MOST_SECONDS:g} s, send more than {MOST_BYTES:,} bytes, or fail")
    return bool(bad)


def main() -> int:
    setup_test_environment()
    call_command("migrate", verbosity=0)
    if not Watermark.objects.exists():
        started = time.perf_counter()
        rows = fill()
        print(f"{rows:,} result rows written in {time.perf_counter() - started:.0f} s", flush=True)
    return measure(sys.argv[1] if len(sys.argv) > 1 else "")


if __name__ == "__main__":
    sys.exit(main())
