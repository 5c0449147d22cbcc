"""Every measure of catalog files, from files to tables: late and replaced files, and the SQL that explains a figure."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.core.management import call_command

from kpis.catalog.file.load import Catalog, parsed
from kpis.catalog.file.source import parse
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.catalog.kpis import KPI
from kpis.models import IntervalSummary
from kpis.models.result_models import result_model
from kpis.query.figure_sql import figure_sql
from tests.catalogs import declared
from tests.measures import FEED, KPI_ENTRY, TWINS, Record, rounded

START = datetime(2026, 3, 2, 22, tzinfo=UTC)
# By KPI id. A KPI without a filter, then one each whose filter leaves groups and intervals without records.
IDS = dict(enumerate(TWINS, 1001))
FILTERED = 2000


def catalog() -> Catalog:
    """All measures, each twice: over all records, and over those of a filter."""
    text = FEED + "".join(
        KPI_ENTRY.format(id=number + more, name=f"Kpi{number + more}", measure=TWINS[name].entry) + condition
        for number, name in IDS.items()
        for more, condition in ((0, ""), (FILTERED, 'filter = "b >= 2"\n'))
    )
    return parsed([parse(text.encode(), Path("catalog.toml"))], {}, [])


@contextmanager
def measures(settings: Any, ids: Collection[int] = ()) -> Iterator[dict[int, KPI]]:
    """Declare the KPIs with these ids, or all."""
    settings.FEED_FILES = {"probe_*.csv": "probe"}
    made = catalog()
    kpis = {id: kpi for id, kpi in made.kpis.items() if not ids or id in ids}
    with declared(feeds=made.feeds.values(), kpis=kpis.values()):
        yield kpis


def records_of(chance: Random, hour: int, number: int) -> list[Record]:
    return [
        {
            "at": 3600 * hour + chance.randrange(0, 3600, 60),
            "cell": chance.randint(1, 3),
            "a": chance.choice([None, -5, 0, 3, 6, 130, 7 * 10**9]),
            "b": chance.choice([0, 0, 1, 2, 300]),
            "d": chance.choice([None, Decimal("0.25"), Decimal("-3.5"), Decimal("77.125")]),
        }
        for _ in range(number)
    ]


def text_of(records: list[Record]) -> str:
    def field(value: Any) -> str:
        return "" if value is None else f"{value}"

    lines = [
        ",".join([f"{int(START.timestamp()) + one['at']}", *(field(one[name]) for name in ("cell", "a", "b", "d"))])
        for one in records
    ]
    return "\n".join(["at,cell,a,b,d", *lines, ""])


def wanted(records: list[Record]) -> tuple[dict, dict]:
    """The rows by KPI, length and start, and the values over all groups."""
    rows, totals = {}, {}
    for number, name in IDS.items():
        for length in (FIVE_MINUTES, ONE_HOUR):
            intervals = defaultdict(list)
            for one in records:
                intervals[length.floor(START + timedelta(seconds=one["at"]))].append(one)
            for start, found in intervals.items():
                for more in (0, FILTERED):
                    key = number + more, length.code, start
                    counted = [one for one in found if not more or one["b"] >= 2]
                    groups = defaultdict(list)
                    for one in counted:
                        groups[one["cell"]].append(one)
                    values = [(cell, *map(rounded, TWINS[name].values(some))) for cell, some in groups.items()]
                    values.sort(key=lambda row: (row[1] is None, -(row[1] or 0), row[0]))
                    if values:
                        rows[key] = [(rank, *row) for rank, row in enumerate(values, 1)]
                    totals[key] = rounded(TWINS[name].values(counted)[0])
    return rows, totals


def stored(kpis: dict[int, KPI]) -> tuple[dict, dict]:
    rows = defaultdict(list)
    for kpi in kpis.values():
        found = result_model(kpi).objects.order_by("interval", "interval_start_timestamp", "rank")
        for length, start, *row in found.values_list("interval", "interval_start_timestamp", "rank", *kpi.columns):
            rows[kpi.id, length, start].append(tuple(map(rounded, row)))
    summaries = IntervalSummary.objects.filter(kpi__in=kpis)
    return dict(rows), {(one.kpi, one.interval, one.interval_start_timestamp): rounded(one.value) for one in summaries}


def put_histories(data_dir: Path, run: Any) -> list[Record]:
    """Three runs: two files, then a late one and one with new content, then a later hour; returns what counts."""
    chance = Random(5)  # noqa: S311
    files = {name: records_of(chance, hour, 25) for name, hour in (("1", 0), ("2", 1))}
    for change in (
        {},
        {"1": records_of(chance, 0, 20), "3": records_of(chance, 0, 25)},
        {"4": records_of(chance, 2, 1)},
    ):
        files |= change
        for name, records in files.items():
            (data_dir / f"probe_{name}.csv").write_text(text_of(records))
        run()
    return [one for records in files.values() for one in records]


@pytest.mark.django_db(transaction=True)
def test_every_measure_equals_its_twin_with_late_and_replaced_files(data_dir, settings):
    with measures(settings) as kpis:
        records = put_histories(
            data_dir, lambda: call_command("update_network_stats", rollup_open_hours=True, verbosity=0)
        )
        found, expected = stored(kpis), wanted(records)
        assert found[0] == expected[0]
        assert found[1] == expected[1]


@pytest.mark.sqlite_alone
@pytest.mark.django_db(transaction=True)
def test_the_sql_of_every_measure_gives_what_the_tables_have(data_dir, settings):
    with measures(settings) as kpis:
        records = put_histories(
            data_dir, lambda: call_command("update_network_stats", rollup_open_hours=True, verbosity=0)
        )
        rows, totals = wanted(records)
        queries = []
        for kpi in kpis.values():
            for length in (FIVE_MINUTES, ONE_HOUR):
                start = min(key[2] for key in rows if key[:2] == (kpi.id, length.code))
                _, cell, *values = rows[kpi.id, length.code, start][-1]
                group, total = (figure_sql(kpi, length.at(start), one) for one in ({"cell": cell}, None))
                queries.append((group, values))
                queries.append((total, [totals[kpi.id, length.code, start]]))
        # In one query, as each takes a second to start.
        union = " UNION ALL ".join(
            f"SELECT {number} AS number, to_json(found) AS answer FROM ({sql}) AS found"
            for number, (sql, _) in enumerate(queries)
        )
        out = io.StringIO()
        call_command("query_lake", f"{union} ORDER BY number", format="json", stdout=out)
        answers = json.loads(out.getvalue())
        for (sql, values), answer in zip(queries, answers, strict=True):
            found = answer["answer"]
            found = json.loads(found) if isinstance(found, str) else found
            assert [rounded(value) for value in found.values()] == values, sql
