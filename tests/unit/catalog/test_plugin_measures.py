"""A plug-in's measure is found by its kind, and computes as built-in ones do: the example of the documentation does."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from unittest.mock import patch

import pytest
from django.conf import settings

from kpis import pipeline
from kpis.catalog import plugin_measures, registry
from kpis.catalog.file.errors import CatalogError
from kpis.catalog.file.load import parsed
from kpis.catalog.file.source import parse
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.catalog.plugin_measures import PLUGIN_MEASURES, add_measure
from kpis.catalog.registry import FEEDS, KPIS

PAGE = settings.BASE_DIR / "docs" / "reference" / "measures.md"
CATALOG = """
[feeds.probe]
description = "Probes"
files = ["probe_*.csv"]
format = {type = "csv"}
time = {column = "at"}
[feeds.probe.columns]
at = {type = "time", format = "unix_s"}
cell = {type = "integer"}
name = {type = "text"}
signal = {type = "integer", optional = true}
[kpis.CellSpread]
id = 1001
feed = "probe"
description = "Cells by spread"
by = ["cell"]
measure = {type = "plugin", kind = "spread", name = "signal_spread", columns = ["signal"]}
unit = "dBm"
"""
LINE = CATALOG[: CATALOG.index("measure =")].count("\n") + 1


@pytest.fixture(autouse=True)
def _own_measures():
    with patch.dict(PLUGIN_MEASURES, clear=True):
        yield


@pytest.fixture
def example():
    """Runs the documentation's example, and gives what it defines."""
    code, names = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0], {"__name__": __name__}
    exec(compile(code, f"{PAGE}", "exec"), names)  # noqa: S102  our own documentation
    globals()["Spread"] = names["Spread"]
    add_measure("spread", names["make_spread"])
    yield names
    del globals()["Spread"]


def loaded(text: str):
    return parsed([parse(text.encode(), Path("catalog.toml"))], FEEDS, KPIS.values())


def error_of(text: str) -> str:
    with pytest.raises(CatalogError) as caught:
        loaded(text)
    return f"{caught.value}"


def test_the_documented_measure_is_computed_over_files(example, tmp_path):
    catalog = loaded(CATALOG)
    kpi = catalog.kpis[1001]
    assert pickle.loads(pickle.dumps(kpi.measure)) == kpi.measure  # noqa: S301  our own
    (tmp_path / "probe_1.csv").write_text("at,cell,name,signal\n60,1,a,-90\n120,1,a,-70\n180,2,a,\n240,3,a,5\n")
    (tmp_path / "probe_2.csv").write_text("at,cell,name,signal\n90,1,a,-95\n130,3,a,\n3700,3,a,-6\n7300,1,a,1\n")
    patterns = {pattern: feed.name for feed in catalog.feeds.values() for pattern in feed.file_names}
    with (
        patch.dict(registry.FEEDS, catalog.feeds),
        patch.dict(registry.KPIS, catalog.kpis),
        patch.dict(registry.FEED_FILES, patterns),
    ):
        frame = pipeline.compute(tmp_path)["CellSpread"]
    # Cell 1 has -90, -70 and -95 in the first interval; cell 2 has no value, and ranks last.
    wanted = [(0, 1, 25), (0, 3, 0), (0, 2, -1), (1, 3, 0), (2, 1, 0)]
    for length in (FIVE_MINUTES, ONE_HOUR):
        rows = frame[frame["interval"] == length.code]
        hours = rows["interval_start"].dt.hour
        assert [*zip(hours, rows["cell"], rows["signal_spread"].fillna(-1), strict=True)] == wanted


def test_a_kind_that_is_none_is_an_error_with_its_line(example):
    said = f"catalog.toml:{LINE}: kpis.CellSpread.measure.kind is spreed, which is no measure of a plug-in: "
    assert error_of(CATALOG.replace('"spread"', '"spreed"')) == f"{said}did you mean spread?"
    PLUGIN_MEASURES.clear()
    assert error_of(CATALOG.replace('"spread"', '"spreed"')) == f"{said}no plug-in has one"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (', columns = ["signal"]', "", " cannot be used: a spread has one column and no options"),
        ('["signal"]', '["signl"]', ".columns[1] names no column: did you mean signal?"),
        ('["signal"]', '["signal"], options = {a = 1}', " cannot be used: a spread has one column and no options"),
    ],
)
def test_what_a_measure_refuses_is_an_error_with_its_line(example, old, new, problem):
    assert error_of(CATALOG.replace(old, new)) == f"catalog.toml:{LINE}: kpis.CellSpread.measure{problem}"


def test_a_column_that_a_measure_cannot_use_is_an_error_of_the_kpi(example):
    assert "kpis.CellSpread cannot be used: signal_spread is a spread of name, which has no whole numbers" in error_of(
        CATALOG.replace('["signal"]', '["name"]')
    )


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda value, columns, options: 1 // 0, "ZeroDivisionError: integer division or modulo by zero"),
        (lambda value, columns, options: "a text", "TypeError: it made str, which is no Measure"),
    ],
)
def test_a_measure_that_fails_is_an_error_with_its_line(make, problem):
    add_measure("spread", make)
    assert error_of(CATALOG) == (
        f"catalog.toml:{LINE}: kpis.CellSpread.measure cannot be used: "
        f"the measure spread of a plug-in failed: {problem}"
    )


def test_a_kind_has_one_measure(example):
    make = PLUGIN_MEASURES["spread"]
    plugin_measures.add_measure("spread", make)
    with pytest.raises(ValueError, match="two measures of the kind spread"):
        add_measure("spread", lambda value, columns, options: make(value, columns=columns, options=options))
