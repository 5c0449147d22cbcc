"""KPIs by attributes of a reference: exact in time, counted once over a region's cells, revised where they change."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import call_command

from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.lake.views import answered
from kpis.models import DueReference, IntervalSummary
from kpis.models.result_models import result_model
from kpis.query.figure_sql import figure_sql
from kpis.store.ledger_tables import DatabaseLedgerTables
from tests.catalogs import declared
from tests.references import referenced
from tests.twin import Flow, file_text

pytestmark = pytest.mark.django_db(transaction=True)

CATALOG = """\
[references.cells]
description = "Cells with their region and vendor"
key = "cell_id"
name = "title"
[references.cells.columns]
cell_id = {type = "integer"}
title = {type = "text", optional = true}
region = {type = "text", longest = 20, optional = true}
vendor = {type = "choice", words = ["Ericsson", "Nokia"], optional = true}

[kpis.RegionUsers]
id = 1001
description = "Regions by unique users"
feed = "ipflow"
by = ["cell_id.region"]
measure = {type = "count_distinct", name = "users", column = "msisdn"}
unit = "users"

[kpis.VendorVolume]
id = 1002
description = "Bytes by vendor and service"
feed = "ipflow"
by = [{name = "maker", column = "cell_id.vendor"}, "service_id"]
measure = {type = "sum", name = "bytes", columns = ["bytes_uplink", "bytes_downlink"]}
unit = "bytes"

[kpis.RegionCells]
id = 1003
description = "Regions by cells with traffic"
feed = "ipflow"
by = ["cell_id.region"]
measure = {type = "count_distinct", name = "cells", column = "cell_id"}
unit = "cells"
"""
START = 1626566400  # 2021-07-18T00:00:00Z
NOON = datetime(2021, 7, 18, tzinfo=UTC)
# One user in three cells, one in one of them.
FLOWS = [
    Flow(START, 1, 10, 0, service=1, cell=1),
    Flow(START, 1, 20, 0, service=1, cell=2),
    Flow(START, 2, 5, 0, service=2, cell=2),
    Flow(START, 1, 1, 0, service=1, cell=3),
    Flow(START + 300, 3, 7, 0, service=1, cell=1),
    Flow(START + 3600, 3, 9, 0, service=1, cell=1),
]
CELLS = ("cell_id,title,region,vendor", "1,One,North,Nokia", "2,Two,North,Ericsson")
MOVED = (
    "cell_id,title,region,vendor,valid_from,valid_to",
    "1,One,North,Nokia,,2021-07-18T00:05:00Z",
    "1,One,South,Nokia,2021-07-18T00:05:00Z,",
    "2,Two,North,Ericsson,,",
)


@pytest.fixture
def catalog(tmp_path: Path, settings):
    settings.DATA_DIR, settings.LAKE_DIR = tmp_path / "data", tmp_path / "lake"
    settings.DATA_DIR.mkdir()
    with referenced(CATALOG) as found, declared(kpis=found.kpis.values()):
        yield found


@pytest.fixture
def folder(catalog, settings) -> Path:
    put(settings.DATA_DIR, "ipflow_data.a.csv", FLOWS)
    return settings.DATA_DIR


def put(folder: Path, name: str, flows: list[Flow]) -> None:
    (folder / name).write_text(file_text(flows))


def run() -> list[str]:
    out = io.StringIO()
    call_command("update_network_stats", stdout=out)
    return out.getvalue().splitlines()[:-1]


def load(folder: Path, *lines: str, **options) -> list[str]:
    path = folder.parent / "cells.csv"
    path.write_text("\n".join(lines) + "\n")
    out = io.StringIO()
    call_command("load_reference", "cells", str(path), stdout=out, **options)
    return out.getvalue().splitlines()


def rows(catalog, kpi_id: int, length=FIVE_MINUTES, start: int = START) -> list[tuple]:
    kpi = catalog.kpis[kpi_id]
    moment = datetime.fromtimestamp(start, UTC)
    found = result_model(kpi).objects.filter(interval=length.code, interval_start_timestamp=moment)
    return list(found.order_by("rank").values_list(*kpi.columns))


def revisions() -> dict[tuple[int, str, str], tuple[int, str]]:
    """The revision and reason of each summary of the KPIs by attributes, by KPI, length and time."""
    return {
        (one.kpi, one.get_interval_display(), f"{one.interval_start_timestamp:%H:%M}"): (one.revision, one.reason)
        for one in IntervalSummary.objects.filter(kpi__in=[1001, 1002])
    }


def test_a_regions_users_are_counted_once_over_its_cells(catalog, folder: Path):
    load(folder, *CELLS)
    run()
    # By cell: 1 has one user, 2 two and 3 one. The region of 1 and 2 has two users, not three; 3 is not in a region.
    assert rows(catalog, 1001) == [("North", 2), ("", 1)]
    by_cell = result_model(catalog.kpis[1001].source).objects.filter(interval_start_timestamp=NOON, interval=1)
    assert dict(by_cell.values_list("cell_id", "number_of_unique_users")) == {1: 1, 2: 2, 3: 1}
    # Cells 1 and 2 are in the north.
    assert rows(catalog, 1003) == [("North", 2), ("", 1)]
    # Those of the whole interval are two as well: users 1 and 2.
    assert IntervalSummary.objects.get(kpi=1001, interval=1, interval_start_timestamp=NOON).total == 2
    assert rows(catalog, 1002) == [("Ericsson", 1, 20), ("Nokia", 1, 10), ("Ericsson", 2, 5), ("", 1, 1)]


def test_each_record_counts_by_the_version_that_is_valid_at_its_time(catalog, folder: Path):
    load(folder, *MOVED)
    run()
    assert rows(catalog, 1001, start=START) == [("North", 2), ("", 1)]
    assert rows(catalog, 1001, start=START + 300) == [("South", 1)]
    # In the hour, user 3 was in cell 1 when that was in the south.
    assert rows(catalog, 1001, ONE_HOUR) == [("North", 2), ("", 1), ("South", 1)]
    assert rows(catalog, 1002, ONE_HOUR) == [
        ("Ericsson", 1, 20),
        ("Nokia", 1, 17),
        ("Ericsson", 2, 5),
        ("", 1, 1),
    ]


def test_without_a_load_all_is_one_group_and_a_first_load_revises_it(catalog, folder: Path):
    run()
    assert rows(catalog, 1001) == [("", 2)]
    said = load(folder, *CELLS)
    assert said[-1] == "the next update_network_stats computes 4 intervals again"
    assert run() == [
        "revised ipflow, 3 intervals of 5 minutes from 2021-07-18T00:00:00Z: the reference cells changed",
        "revised ipflow, 1 interval of 1 hour from 2021-07-18T00:00:00Z: the reference cells changed",
    ]
    assert rows(catalog, 1001) == [("North", 2), ("", 1)]
    assert set(revisions().values()) == {(2, "cells.csv changed the reference cells")}
    assert not DueReference.objects.exists()
    assert run() == []


def test_a_correction_of_the_past_revises_what_it_touches_and_nothing_else(catalog, folder: Path):
    load(folder, *CELLS)
    run()
    # From 00:05 on cell 1 is in the south: at 00:00 nothing changes, nor for the vendors.
    assert load(folder, *MOVED)[-1] == "the next update_network_stats computes 3 intervals again"
    run()
    reason = "cells.csv changed the reference cells"
    assert revisions() == {
        (1001, "5 minutes", "00:00"): (1, ""),
        (1001, "5 minutes", "00:05"): (2, reason),
        (1001, "5 minutes", "01:00"): (2, reason),
        (1001, "1 hour", "00:00"): (2, reason),
        (1002, "5 minutes", "00:00"): (1, ""),
        (1002, "5 minutes", "00:05"): (1, ""),
        (1002, "5 minutes", "01:00"): (1, ""),
        (1002, "1 hour", "00:00"): (1, ""),
    }
    assert rows(catalog, 1001, start=START + 300) == [("South", 1)]


def test_names_and_what_no_kpi_groups_by_make_nothing_due(catalog, folder: Path):
    load(folder, *CELLS)
    run()
    renamed = [CELLS[0], "1,Uno,North,Nokia", "2,Dos,North,Ericsson"]
    assert "again" not in load(folder, *renamed, as_of=NOON)[-1]
    assert not DueReference.objects.exists()


def test_a_later_file_counts_by_the_newest_versions(catalog, folder: Path):
    load(folder, *CELLS)
    run()
    load(folder, "cell_id,title,region,vendor", "1,One,East,Nokia", as_of=datetime.fromtimestamp(START + 300, UTC))
    put(folder, "ipflow_data.b.csv", [Flow(START + 300, 4, 1, 0, service=1, cell=2)])
    run()
    # Cell 2 has ended by then.
    assert rows(catalog, 1001, start=START + 300) == [("", 1), ("East", 1)]
    assert rows(catalog, 1001, start=START) == [("North", 2), ("", 1)]


def test_the_sql_of_each_figure_gives_the_figure(catalog, folder: Path, settings):
    load(folder, *MOVED)
    run()
    for kpi in catalog.kpis.values():
        for summary in IntervalSummary.objects.filter(kpi=kpi.id):
            length = {1: FIVE_MINUTES, 2: ONE_HOUR}[summary.interval]
            interval = length.at(summary.interval_start_timestamp)
            start = round(interval.start.timestamp())
            assert answer(settings, figure_sql(kpi, interval)) == [(summary.total,)]
            for row in rows(catalog, kpi.id, length, start):
                group = dict(zip(kpi.dimensions, row, strict=False))
                assert answer(settings, figure_sql(kpi, interval, group)) == [row[len(group) :]]


def answer(settings, query: str) -> list[tuple]:
    with answered(query, settings.LAKE_DIR, DatabaseLedgerTables()) as found:
        return list(found.rows)
