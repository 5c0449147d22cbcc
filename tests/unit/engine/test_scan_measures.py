"""Measures that the compiled scanner takes: partials worked out by hand, and what it leaves to the bulk reader."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from kpis.catalog.file.load import parsed
from kpis.catalog.file.source import parse
from kpis.catalog.kpis import KPI
from kpis.engine.scannable import can_scan
from kpis.engine.scanner import scan
from kpis.engine.table import rows
from tests.measures import FEED, KPI_ENTRY, TWINS

START = datetime(2026, 3, 2, 22)  # noqa: DTZ001  as partials have it
SECOND = 1_772_488_800
# Cell 1 has two values of a at its newest moment, and none later; cell 2 has none at all.
LINES = [
    (0, 1, 4, 0, "0.5"),
    (60, 1, -300, 1, "99"),
    (60, 1, 7, 2, "1.25"),
    (90, 1, "", 3, ""),
    (10, 2, "", 5, "-2"),
]


def kpi_of(entry: str) -> KPI:
    text = FEED + KPI_ENTRY.format(id=1001, name="OfProbes", measure=entry)
    return parsed([parse(text.encode(), Path("catalog.toml"))], {}, []).kpis[1001]


def write(path: Path, lines: list[tuple]) -> None:
    content = [f"{SECOND + second},{','.join(map(str, others))}" for second, *others in lines]
    path.write_text("\n".join(["at,cell,a,b,d", *content]) + "\n")


@pytest.mark.parametrize("name", TWINS)
def test_every_measure_of_catalog_files_can_be_scanned(name):
    kpi = kpi_of(TWINS[name].entry)
    assert can_scan(kpi.feed, [kpi])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a sum where", [(1, 7 + 2), (2, 0)]),
        ("a count where", [(1, 0), (2, 0)]),
        ("a ratio", [(1, 4, 2), (2, 1, 0)]),
        # x, y, and z of the two records of cell 1 with a d above 0.
        ("a ratio of formulas", [(1, -289, 6, 4 + 0 + 7 + 2), (2, 0, 5, 0)]),
        ("a standard deviation", [(1, -289, 0, 16 + 90_000 + 49, 3), (2, 0, 0, 0, 0)]),
        ("a standard deviation of decimals", [(1, 1_750_000, 1, 812_500_000_000, 2), (2, -2_000_000, 4, 0, 1)]),
        ("a last value", [(1, START.replace(minute=1), 7), (2, None, None)]),
        ("a last decimal", [(1, START.replace(minute=1), 1_250_000), (2, START.replace(second=10), -2_000_000)]),
        # 300 has nine bits, so that a bucket is four wide: 2 * 64 + 300 // 4.
        ("percentiles", [(1, -203, 1), (1, 4, 1), (1, 7, 1), (1, None, 0), (2, None, 0)]),
        ("a minimum", [(1, -300), (2, None)]),
        ("a maximum", [(1, 3), (2, 5)]),
        ("a minimum of decimals", [(1, 500_000), (2, -2_000_000)]),
        ("a maximum of decimals", [(1, 1_250_000), (2, -2_000_000)]),
    ],
)
def test_a_partial_is_what_was_worked_out_by_hand(tmp_path, name, expected):
    kpi = kpi_of(TWINS[name].entry)
    write(tmp_path / "probe_1.csv", LINES)
    found = scan(tmp_path / "probe_1.csv", kpi.feed, [kpi])
    assert found is not None
    assert list(rows(found.partials[1001])) == [(START, *row) for row in expected]
    assert list(found.partials[1001]) == ["interval_start", *kpi.partial_keys, *kpi.partial_values]


@pytest.mark.parametrize(
    ("name", "value", "is_scanned"),
    [
        ("a sum where", 2**62, False),
        ("a ratio of formulas", -(2**62), False),
        # Each square is a third of the largest sum that is kept: 10^12 * 2^63.
        ("a standard deviation", 1_753_000_000_000_000, True),
        ("a standard deviation", 1_754_000_000_000_000, False),
        ("a minimum", -(2**63), True),
        ("percentiles", 2**63 - 1, True),
    ],
)
def test_what_does_not_fit_is_left_to_the_bulk_reader(tmp_path, name, value, is_scanned):
    kpi = kpi_of(TWINS[name].entry)
    write(tmp_path / "probe_1.csv", [(second, 1, value, 1, "0.5") for second in range(3)])
    assert (scan(tmp_path / "probe_1.csv", kpi.feed, [kpi]) is not None) is is_scanned


def test_a_last_value_by_another_time_than_the_feeds_is_left_to_the_bulk_reader():
    kpi = kpi_of(TWINS["a last value"].entry)
    other = replace(kpi, measure=replace(kpi.measure, moment='make_timestamp("cell")', moment_columns=("cell",)))
    assert not can_scan(kpi.feed, [other])


def test_squares_whose_sum_is_beyond_128_bits_are_left_to_the_bulk_reader(tmp_path):
    kpi = kpi_of(TWINS["a standard deviation"].entry)
    # Their sum fits; that of their squares is 2^128 + 2^65 + 2, of which 128 bits would be 2^65 + 2.
    values = [-(2**63), 2**63 - 1, -(2**63), 2**63 - 1, 2**33]
    assert sum(value * value for value in values) == 2**128 + 2**65 + 2
    write(tmp_path / "probe_1.csv", [(number, 1, value, 1, "") for number, value in enumerate(values)])
    assert scan(tmp_path / "probe_1.csv", kpi.feed, [kpi]) is None
