"""Days, weeks and months equal a plain-Python twin in five zones over both clock changes, distinct users included."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command

from kpis.models import DueRollup, IntervalSummary
from kpis.models.result_models import result_model
from tests.measures import percentiles
from tests.visits import KPIS, visits, write

# Lord Howe sets its clocks by half an hour, Havana at midnight forward and to midnight back, Beirut at midnight and
# to 23:00 back.
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Beirut")
FIGURES = {
    1001: lambda records: [sum(one[4] for one in records)],
    1002: lambda records: [len({one[2] for one in records})],
    1003: lambda records: [len({one[3] for one in records})],
    1004: lambda records: percentiles([one[4] for one in records], (50, 90, 95, 99)),
}
HOUR = 3600


def changes(zone: ZoneInfo) -> list[int]:
    """When the clocks of a zone are set in 2025, as Unix time, to the hour."""
    first = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
    offsets = [datetime.fromtimestamp(first + hour * HOUR, zone).utcoffset() for hour in range(365 * 24)]
    return [first + hour * HOUR for hour in range(1, len(offsets)) if offsets[hour] != offsets[hour - 1]]


def day_of(zone: ZoneInfo, seconds: int) -> date:
    return datetime.fromtimestamp(seconds, zone).date()


def first_day_of(code: int, day: date) -> date:
    return {4: day, 5: day - timedelta(days=day.weekday()), 7: day.replace(day=1)}[code]


def bounds(zone: ZoneInfo, code: int, day: date) -> tuple[datetime, datetime]:
    """The first quarters of an hour of UTC that have a local date not before that of the interval, and of the next."""
    first = first_day_of(code, day)
    after = {4: first + timedelta(days=1), 5: first + timedelta(days=7), 7: first + timedelta(days=31)}[code]
    found = []
    for begin in (first, after.replace(day=1) if code == 7 else after):
        midnight = int(datetime(begin.year, begin.month, begin.day, tzinfo=UTC).timestamp())
        quarters = range(midnight - 15 * HOUR, midnight + 15 * HOUR, HOUR // 4)
        found.append(datetime.fromtimestamp(next(one for one in quarters if day_of(zone, one) >= begin), UTC))
    return found[0], found[1]


def records_of(chance: Random, around: int, number: int) -> list[tuple]:
    """Records in the days about a change of the clocks, most of them close to it, a few days away."""
    found = []
    for _ in range(number):
        reach = chance.choice([2, 2, 30, 30, 30, 300])
        user = chance.randint(1, 12)
        at = around + chance.randint(-reach * HOUR, reach * HOUR)
        found.append((at, chance.randint(1, 3), user, f"device-{user % 5}", chance.randint(1, 10**6)))
    return found


def twin(zone: ZoneInfo, records: list[tuple]) -> tuple[dict, dict]:
    """The rows, and the totals with each interval's end, of days, weeks and months."""
    intervals = defaultdict(list)
    for one in records:
        # As files of five minutes have it: a record counts where its five minutes start.
        day = day_of(zone, one[0] - one[0] % 300)
        for code in (4, 5, 7):
            intervals[code, first_day_of(code, day)].append(one)
    rows, totals = {}, {}
    for (code, day), found in intervals.items():
        start, end = bounds(zone, code, day)
        groups = defaultdict(list)
        for one in found:
            groups[one[1]].append(one)
        for kpi, figures in FIGURES.items():
            ranked = sorted(
                ([cell, *figures(some)] for cell, some in groups.items()), key=lambda row: (-row[1], row[0])
            )
            rows[kpi, code, start] = [[rank, *row] for rank, row in enumerate(ranked, 1)]
            totals[kpi, code, start] = end, figures(found)[0], len(found), "final"
    return rows, totals


def stored() -> tuple[dict, dict]:
    rows = defaultdict(list)
    totals = {}
    for kpi in FIGURES:
        model = result_model(KPIS[kpi])
        found = model.objects.filter(interval__in=(4, 5, 7)).order_by("interval", "interval_start_timestamp", "rank")
        for code, start, *row in found.values_list("interval", "interval_start_timestamp", "rank", *KPIS[kpi].columns):
            rows[kpi, code, start].append(row)
    for one in IntervalSummary.objects.filter(interval__in=(4, 5, 7)):
        key = one.kpi, one.interval, one.interval_start_timestamp
        totals[key] = one.interval_end_timestamp, one.value, one.records, one.state
    return dict(rows), totals


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.django_db(transaction=True)
def test_days_weeks_and_months_equal_the_twin_over_both_changes(name, data_dir, settings):
    zone = ZoneInfo(name)
    settings.TIME_ZONE = name
    chance = Random(name)  # noqa: S311
    spring, autumn = changes(zone)
    with visits(settings):
        # The last closes all others' months.
        files = {f"{n}": records_of(chance, around, 25) for n, around in enumerate((spring, spring, autumn, autumn))}
        files["closing"] = [(autumn + 60 * 24 * HOUR, 1, 1, "device-1", 1)]

        def run() -> None:
            for file, records in files.items():
                write(data_dir, file, records)
            call_command("update_network_stats", verbosity=0)
            counted = [one for records in files.values() for one in records]
            rows, totals = twin(zone, [one for one in counted if one not in files["closing"]])
            assert stored() == (rows, totals)

        run()
        assert {one.interval for one in DueRollup.objects.all()} <= {4, 5, 7}
        before = dict(IntervalSummary.objects.values_list("pk", "revision"))
        lengths = {end - start for (_, code, start), (end, *_) in stored()[1].items() if code == 4}
        half = timedelta(minutes=30) if name == "Australia/Lord_Howe" else timedelta(hours=1)
        assert lengths == {timedelta(days=1) - half, timedelta(days=1), timedelta(days=1) + half}

        # Nothing changes without a file; a late file and another content change what they touch, once.
        call_command("update_network_stats", verbosity=0)
        assert dict(IntervalSummary.objects.values_list("pk", "revision")) == before
        files["late"] = records_of(chance, autumn, 5)
        files["1"] = files["1"][:15] + records_of(chance, spring, 2)
        run()
        assert {one.revision for one in IntervalSummary.objects.filter(interval__in=(4, 5, 7))} == {1, 2}
