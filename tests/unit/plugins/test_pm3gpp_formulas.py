"""The KPIs of 3GPP counters equal figures that are worked out by hand: sums first, then the division."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.core.management import call_command

from kpis import pipeline
from kpis.catalog import registry
from kpis.catalog.file.load import Catalog, parsed
from kpis.catalog.file.source import parse
from kpis.catalog.intervals import FIFTEEN_MINUTES, ONE_HOUR, Length
from kpis.engine.scanner import scan
from tests.pm3gpp import collection, data, info, value

Tables = Mapping[str, Any]
FIRST, SECOND = "2026-03-01T14:15:00+02:00", "2026-03-01T14:30:00+02:00"
STARTS = {FIRST: datetime(2026, 3, 1, 12, tzinfo=UTC), SECOND: datetime(2026, 3, 1, 12, 15, tzinfo=UTC)}
# By KPI: the counters with their values in two periods, the figures of both, and that of the hour.
FORMULAS = {
    # 190 of 200, 50 of 100, 240 of 300: the average of both would be 72.5.
    "RRCSetupSuccess": ({"RRC.ConnEstabSucc.sum": (190, 50), "RRC.ConnEstabAtt.sum": (200, 100)}, (95, 50), 80),
    "S1SignallingSuccess": ({"S1SIG.ConnEstabSucc": (9, 1), "S1SIG.ConnEstabAtt": (10, 10)}, (90, 10), 50),
    "ERABSetupSuccess": (
        {"ERAB.EstabInitSuccNbr.sum": (99, 0), "ERAB.EstabInitAttNbr.sum": (100, 0)},
        (99, None),
        99,
    ),
    "AddedERABSetupSuccess": (
        {"ERAB.EstabAddSuccNbr.sum": (30, 10), "ERAB.EstabAddAttNbr.sum": (40, 10)},
        (75, 100),
        80,
    ),
    "NGSignallingSuccess": ({"UECNTX.ConnEstabSucc.sum": (45, 3), "UECNTX.ConnEstabAtt.sum": (50, 10)}, (90, 30), 80),
    "DRBSetupSuccess": ({"DRB.EstabSucc.sum": (7, 1), "DRB.EstabAtt.sum": (8, 2)}, (87.5, 50), 80),
    # 3 in 2 hours, 1 in half an hour, 4 in two and a half.
    "ERABRetainability": ({"ERAB.RelActNbr.sum": (3, 1), "ERAB.SessionTimeUE": (7200, 1800)}, (1.5, 2), 1.6),
    "QosFlowRetainability": ({"QF.RelActNbr.sum": (1, 0), "QF.SessionTimeUE": (3600, 14400)}, (1, 0), 0.2),
    "DRBRetainability": ({"DRB.RelActNbr.sum": (2, 2), "DRB.SessionTime.sum": (900, 6300)}, (8, 8 / 7), 2),
    # 80 + 10 of 90 + 10, and 5 + 5 of 20 + 5.
    "LTEHandoverSuccess": (
        {
            "HO.IntraEnbOutSucc.sum": (80, 5),
            "HO.InterEnbOutSucc.sum": (10, 5),
            "HO.IntraEnbOutAtt.sum": (90, 20),
            "HO.InterEnbOutAtt.sum": (10, 5),
        },
        (90, 40),
        80,
    ),
    # The second period is that of an older release, whose name for the same measurement is another.
    "NRHandoverSuccess": (
        {
            "MM.HoExeIntraSucc": (60, 10),
            "MM.HoExeInterSucc": (30, 20),
            "MM.HoExeIntraReq": (70, None),
            "MM.HoPrepIntraReq": (None, 20),
            "MM.HoPrepInterReq": (30, 30),
        },
        (90, 60),
        80,
    ),
    # 90 of 900 seconds.
    "CellAvailability": ({"RRU.CellUnavailableTime.sum": (90, 0)}, (90, 100), 95),
    # 9,000 kbit in 3 s, 1,000 kbit in 2 s.
    "IPThroughputDownlink": ({"DRB.IPVolDl.sum": (9000, 1000), "DRB.IPTimeDl.sum": (3000, 2000)}, (3000, 500), 2000),
    "IPThroughputUplink": ({"DRB.IPVolUl.sum": (900, 100), "DRB.IPTimeUl.sum": (3000, 1000)}, (300, 100), 250),
    "UEThroughputDownlink": ({"DRB.UEThpDl": (10.5, 20)}, (10.5, 20), 15.25),
    "UEThroughputUplink": ({"DRB.UEThpUl": (1.25, 0.75)}, (1.25, 0.75), 1),
    "PRBUseDownlink": ({"RRU.PrbTotDl": (70, 81)}, (70, 81), 75.5),
    "PRBUseUplink": ({"RRU.PrbTotUl": (7, None)}, (7, None), 7),
}


@pytest.fixture(scope="module")
def catalog() -> Iterator[Catalog]:
    """What ``pm_catalog`` prints, as the registry's."""
    out = io.StringIO()
    call_command("pm_catalog", stdout=out)
    made = parsed([parse(out.getvalue().encode(), Path("pm.toml"))], {}, ())
    files = dict.fromkeys(made.feeds["pm"].file_names, "pm")
    with (
        patch.dict(registry.FEEDS, made.feeds),
        patch.dict(registry.KPIS, made.kpis),
        patch.dict(registry.FEED_FILES, files),
    ):
        yield made


def period(end: str) -> str:
    return f'<granPeriod duration="PT900S" endTime="{end}"/>'


def measured(counters: Mapping[str, object], end: str, *, suspect: bool = False, of: str = "NRCellDU=7") -> str:
    """The values of an object's counters in a period."""
    types = "".join(f'<measType p="{place}">{name}</measType>' for place, name in enumerate(counters, 1))
    results = ("NIL" if one is None else f"{one}" for one in counters.values())
    also = "<suspect>true</suspect>" if suspect else ""
    return info(value(*results, of=of, also=also), types=types, period=period(end))


def figures(tables: Tables, kpi: str, length: Length) -> list[tuple]:
    """The group, start and value of a KPI's rows of a length."""
    (made,) = (one for one in registry.KPIS.values() if one.name == kpi)
    table = tables[kpi]
    found = table[table["interval"] == length.code]
    values = [None if one != one else one for one in found[made.value].tolist()]
    starts = [start.to_pydatetime() for start in found["interval_start"].dt.tz_localize(UTC)]
    return sorted(zip(found[made.by[0].name], starts, values, strict=True), key=lambda row: row[:2])


@pytest.fixture(scope="module")
def tables(catalog, tmp_path_factory) -> Tables:
    """All KPIs of files with the values of FORMULAS."""
    folder = tmp_path_factory.mktemp("files")
    for place, end in enumerate(STARTS):
        counted = {name: values[place] for counters, *_ in FORMULAS.values() for name, values in counters.items()}
        # Values that are suspect, and those of other objects with the same counters, do not count.
        infos = [
            measured(counted, end),
            measured(dict.fromkeys(counted, 1), end, suspect=True, of="NRCellDU=8"),
            measured(dict.fromkeys(counted, 1), end, of="NRCellDU=7,NRCellRelation=3"),
        ]
        (folder / f"pm_{place}.xml").write_text(collection(data(*infos)))
    # Its counters are 0 again after 412 seconds, and what it had before is suspect.
    before = measured({"RRC.ConnEstabAtt.sum": 50, "RRC.ConnEstabSucc.sum": 50}, FIRST, suspect=True)
    before = before.replace("PT900S", "PT412S").replace(FIRST, "2026-03-01T14:06:52+02:00")
    after = measured({"RRC.ConnEstabAtt.sum": 10, "RRC.ConnEstabSucc.sum": 9}, FIRST).replace("PT900S", "PT488S")
    (folder / "pm_2.xml").write_text(collection(data(before, after, element="ManagedElement=gnb2")))
    return pipeline.compute(folder)


@pytest.mark.parametrize("kpi", FORMULAS)
def test_a_formula_equals_a_figure_worked_out_by_hand(tables, kpi):
    _, each, together = FORMULAS[kpi]
    found = [row for row in figures(tables, kpi, FIFTEEN_MINUTES) if row[0] != "gnb2/7"]
    wanted = zip(STARTS.values(), each, strict=True)
    assert found == [("gnb1/7", start, one if one is None else pytest.approx(one, rel=1e-12)) for start, one in wanted]
    found = [row for row in figures(tables, kpi, ONE_HOUR) if row[0] != "gnb2/7"]
    assert found == [("gnb1/7", STARTS[FIRST], pytest.approx(together, rel=1e-12))]


def test_every_formula_has_its_figure_and_names_its_source(catalog):
    assert {kpi.name for kpi in catalog.kpis.values()} == {*FORMULAS, "SuspectValues"}
    assert [kpi.description for kpi in catalog.kpis.values() if "TS " not in kpi.description] == []


def test_suspect_values_are_counted_by_element(tables):
    counters = len({name for counters, *_ in FORMULAS.values() for name in counters})
    assert figures(tables, "SuspectValues", ONE_HOUR) == [
        ("ManagedElement=gnb1", STARTS[FIRST], 2 * counters),
        ("ManagedElement=gnb2", STARTS[FIRST], 2),
    ]


def test_a_cell_without_the_counters_of_a_formula_is_no_group(tables):
    assert {row[0] for row in figures(tables, "PRBUseDownlink", ONE_HOUR)} == {"gnb1/7"}


def test_an_element_that_started_within_a_period_has_the_values_since(tables):
    found = [row for row in figures(tables, "RRCSetupSuccess", FIFTEEN_MINUTES) if row[0] == "gnb2/7"]
    assert found == [("gnb2/7", STARTS[FIRST], 90)]


def test_the_counters_of_the_formulas_are_those_that_are_read(catalog):
    assert {name for counters, *_ in FORMULAS.values() for name in counters} == {
        *catalog.feeds["pm"].format.options["counters"]
    }


def test_counters_are_not_negative(tmp_path, catalog):
    path = tmp_path / "pm_1.xml"
    path.write_text(collection(data(measured({"RRC.ConnEstabAtt.sum": -5, "L1M.Noise": -97.5}, FIRST))))
    scanned = scan(path, catalog.feeds["pm"], [])
    assert [reject[:3] for reject in scanned.rejects] == [
        (1, "value", "is negative, as none of these counters is: it may have been reset within the period")
    ]
    assert scanned.reading.lines == 1
