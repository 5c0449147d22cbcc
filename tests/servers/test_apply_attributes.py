"""KPIs by attributes are applied to databases and lakes that have records: with another's partials, or their own."""

from __future__ import annotations

import pytest

from tests.servers.test_apply_catalog import FEED, VOLUME, Work, work

__all__ = ["work"]

pytestmark = pytest.mark.django_db(transaction=True)

REFERENCE = """
[references.cells]
description = "Cells with their region"
of = ["probe.cell"]
key = "cell"
columns = {cell = {type = "integer"}, region = {type = "text", longest = 20, optional = true}}
"""
REGIONS = """
[kpis.RegionVolume]
id = 1003
feed = "probe"
description = "Regions by bytes"
by = ["cell.region"]
measure = {type = "sum", columns = ["bytes"], name = "region_bytes"}
unit = "bytes"
"""
# By hand from FILES, cell 1 in the north and cell 2 in none.
ROWS = [
    ("2026-03-01 12:00:00", 1, 1, "", 33),
    ("2026-03-01 12:00:00", 1, 2, "North", 10),
    ("2026-03-01 12:00:00", 2, 1, "", 33),
    ("2026-03-01 12:00:00", 2, 2, "North", 15),
    ("2026-03-01 12:05:00", 1, 1, "North", 5),
    ("2026-03-01 13:00:00", 1, 1, "North", 7),
]


def load_cells(work: Work) -> None:
    path = work.place.folder / "cells.csv"
    path.write_text("cell,region\n1,North\n")
    assert work.run("load_reference", "cells", str(path)).code == 0


def regions(work: Work) -> list[tuple]:
    """The rows without those of the hour that is not over."""
    return [row for row in work.rows("RegionVolume") if row[:2] != ("2026-03-01 13:00:00", 2)]


def test_it_is_computed_from_another_kpis_partials_though_all_files_are_gone(work):
    work.declare(FEED, VOLUME)
    work.put()
    work.apply()
    for path in list(work.place.data.iterdir()):
        path.unlink()
    work.declare(FEED, VOLUME, REFERENCE, REGIONS)
    work.apply()
    load_cells(work)
    assert work.run("update_network_stats").code == 0
    assert regions(work) == ROWS
    assert {text.strip() for _, text in work.states(1003).items()} <= {
        "final",
        "provisional",
        "final cells.csv changed the reference cells",
        "provisional cells.csv changed the reference cells",
    }
    assert work.check()[1][0] == "The catalog is applied."


def test_it_reads_the_files_again_when_the_other_kpi_is_dropped(work):
    work.declare(FEED, VOLUME, REFERENCE, REGIONS)
    work.put()
    work.apply()
    load_cells(work)
    assert work.run("update_network_stats").code == 0
    assert regions(work) == ROWS
    work.declare(FEED, REFERENCE, REGIONS)
    assert "KPI 1003 (RegionVolume): partials_of changed; its partials are computed from the files again" in work.apply(
        "--drop"
    )
    assert work.run("update_network_stats").code == 0
    assert regions(work) == ROWS
    assert (work.place.lake / "partials" / "RegionVolume").is_dir()
    assert not (work.place.lake / "partials" / "CellVolume").exists()
