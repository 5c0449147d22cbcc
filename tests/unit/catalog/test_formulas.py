"""KPIs in a line: a formula gives the KPI that the keys give, and the one message of each that cannot be used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

from kpis.catalog.file.errors import CatalogError
from kpis.catalog.file.load import Catalog, parsed
from kpis.catalog.file.source import parse
from kpis.catalog.intervals import ONE_DAY, ONE_HOUR
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import FEEDS, KPIS
from tests.references import CELL

REGIONS = CELL.replace("site =", "region =")


def loaded(text: str) -> Catalog:
    return parsed([parse(text.encode(), Path("c.toml"))], FEEDS, KPIS.values())


def kpi_of(formula: str, more: str = "") -> KPI:
    return loaded(f'{REGIONS}\n[kpis.UplinkShare]\nid = 1001\nformula = "{formula}"\n{more}').kpis[1001]


def message_of(formula: str, more: str = "") -> str:
    with pytest.raises(CatalogError) as error:
        kpi_of(formula, more)
    return f"{error.value}".partition(": ")[2]


def test_a_formula_gives_the_kpi_that_the_keys_give():
    text = (
        "100 * sum(bytes_uplink) / sum(bytes_uplink, bytes_downlink) of ipflow by cell_id.region, service_id per 1h, 1d"
    )
    in_full = f"""\
{REGIONS}
[kpis.UplinkShare]
id = 1001
description = "{text}"
feed = "ipflow"
by = ["cell_id.region", "service_id"]
unit = "percent"
lengths = ["1h", "1d"]
[kpis.UplinkShare.measure]
type = "ratio"
name = "uplink_share"
numerator = "term_1"
denominator = "term_2"
scale = 100
terms = [
    {{name = "term_1", columns = ["bytes_uplink"]}},
    {{name = "term_2", columns = ["bytes_uplink", "bytes_downlink"]}},
]
"""
    short, long = (one.definitions for one in (loaded(short_of(text)), loaded(in_full)))
    assert [one.text for one in short] == [one.text for one in long]
    assert kpi_of(text) == loaded(in_full).kpis[1001]


def short_of(formula: str) -> str:
    return f'{REGIONS}\n[kpis.UplinkShare]\nid = 1001\nformula = "{formula}"\n'


def test_the_readmes_ratio_by_region_per_day_has_three_lines():
    (block,) = re.findall(r"```toml\n(.*?)```", (settings.BASE_DIR / "README.md").read_text(), re.DOTALL)
    assert len(block.splitlines()) == 3
    kpi = loaded(f"{REGIONS}\n{block}").kpis[1001]
    assert (kpi.dimensions, kpi.lengths, kpi.unit) == (("region",), (ONE_HOUR, ONE_DAY), "percent")
    assert kpi.measure.value == "uplink_share"


@pytest.mark.parametrize(
    ("what", "numerator", "denominator", "scale", "terms"),
    [
        ("count(service_id = 7) / count()", "term_1", "term_2", 1, [((), "service_id = 7"), ((), None)]),
        # The same sum is one term.
        ("count() / (count() + 1)", "term_1", "(term_1 + 1)", 1, [((), None)]),
        (
            "10 * (sum(bytes_uplink) + 1) / sum(bytes_downlink where service_id in (1, 2))",
            "(term_1 + 1)",
            "term_2",
            10,
            [(("bytes_uplink",), None), (("bytes_downlink",), "service_id in (1, 2)")],
        ),
        # The factor is one of the first sum alone.
        ("2 * count() + count() / count()", "2 * term_1 + term_1", "term_1", 1, [((), None)]),
    ],
)
def test_quotients_of_sums_and_counts(what, numerator, denominator, scale, terms):
    measure = kpi_of(f"{what} of ipflow by service_id per 5m").measure
    assert (measure.numerator.text, measure.denominator.text, measure.scale) == (numerator, denominator, scale)
    assert [(one.columns, one.where and one.where.text) for one in measure.terms] == terms


def test_texts_in_a_condition_may_have_any_signs():
    measure = kpi_of("count(operator = 'a) of b / c') / count() of coverage by network per 5m").measure
    assert [one.where and one.where.text for one in measure.terms] == ["operator = 'a) of b / c'", None]


def test_other_keys_are_as_they_are_given():
    one = kpi_of("count() / count() of ipflow by service_id per 5m", 'unit = "x"\ndescription = "D"\ntop = true\n')
    assert (one.unit, one.description, one.top) == ("x", "D", True)


def test_a_long_formula_is_described_by_its_beginning():
    formula = " + ".join(["sum(bytes_uplink)"] * 20) + " / count() of ipflow by service_id per 5m"
    one = kpi_of(formula)
    assert len(one.description) <= 200
    assert one.description.startswith("sum(bytes_uplink) + sum(bytes_uplink) +")
    assert one.description.endswith(" ...")


AT = "kpis.UplinkShare.formula "
AS = "'100 * sum(up) / sum(up, down) of probe by cell per 1h, 1d'"


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("count() / count()", f"{AT}must be a text such as {AS}"),
        ("count() of ipflow by service_id per 1h", f"{AT}must have one quotient of sums or counts, as {AS} has"),
        ("1 / 2 of ipflow by service_id per 1h", f"{AT}must have one quotient of sums or counts, as {AS} has"),
        (
            "count() / count( of ipflow by service_id per 1h",
            f"{AT}has no closing parenthesis for count(",
        ),
        (
            "sum() / count() of ipflow by service_id per 1h",
            f"{AT}has a sum of nothing: sum(bytes) adds up the column bytes",
        ),
        (
            "count() / count() of ipflo by service_id per 1h",
            "kpis.UplinkShare.feed names no feed: did you mean ipflow?",
        ),
        (
            "sum(bytes) / count() of ipflow by service_id per 1h",
            "kpis.UplinkShare.measure.terms[1].columns[1] names no column: there are ",
        ),
        (
            "count() / count() of ipflow by service_id per 2h",
            "kpis.UplinkShare.lengths[1] must be one of ",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(formula: str, message: str):
    assert message_of(formula).startswith(message)


def test_it_is_not_said_twice():
    message = message_of("count() / count() of ipflow by service_id per 1h", 'feed = "ipflow"\n')
    assert message == "kpis.UplinkShare.feed is said by the formula: leave one of them out"


def test_a_formula_is_a_text():
    with pytest.raises(CatalogError, match="formula must be a text such as"):
        loaded("[kpis.UplinkShare]\nid = 1001\nformula = 1\n")
