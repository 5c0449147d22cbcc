"""KPIs by attributes in catalog files: what they are computed from, and the one message of each that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from kpis.catalog.builtin import ipflow
from kpis.catalog.dimensions import Attribute, Dimension
from kpis.catalog.file.errors import CatalogError
from kpis.catalog.file.load import Catalog, parsed
from kpis.catalog.file.source import parse
from kpis.catalog.registry import FEEDS, KPIS
from tests.references import CELL, OPERATOR

USERS = 'measure = {type = "count_distinct", name = "users", column = "msisdn"}\nunit = "users"'
VOLUME = 'measure = {type = "sum", name = "bytes", columns = ["bytes_uplink"]}\nunit = "bytes"'


def kpi(number: int, by: str, rest: str, feed: str = "ipflow") -> str:
    return f'[kpis.K{number}]\nid = {number}\nfeed = "{feed}"\ndescription = "K"\nby = {by}\n{rest}\n'


def loaded(*texts: str) -> Catalog:
    return parsed([parse("\n".join(texts).encode(), Path("c.toml"))], FEEDS, KPIS.values())


def message_of(*texts: str) -> str:
    with pytest.raises(CatalogError) as error:
        loaded(*texts)
    return f"{error.value}".partition(": ")[2]


def test_an_attribute_is_a_dimension_whose_partials_have_the_key():
    one = loaded(CELL, kpi(1001, '["cell_id.vendor", "service_id"]', VOLUME)).kpis[1001]
    assert one.dimensions == ("vendor", "service_id")
    assert isinstance(one.by[0], Attribute)
    assert one.source.by == (Dimension("service_id", "service_id"), Dimension("cell_id", "cell_id"))
    assert (one.source.id, one.source.name, one.is_joined) == (1001, "K1001", True)
    vendor, *_ = one.result_columns
    assert (vendor.name, vendor.optional) == ("vendor", True)
    assert vendor.help_text == "the vendor of cell_id by the reference cell; empty for none"


def test_it_may_have_another_name_and_several_share_a_key():
    by = '[{name = "maker", column = "cell_id.vendor"}, "cell_id.site", "cell_id"]'
    one = loaded(CELL, kpi(1001, by, VOLUME)).kpis[1001]
    assert one.dimensions == ("maker", "site", "cell_id")
    assert one.source.by == (Dimension("cell_id", "cell_id"),)


def test_the_name_of_a_reference_is_an_attribute_too():
    assert loaded(CELL, kpi(1001, '["cell_id.title"]', VOLUME)).kpis[1001].dimensions == ("title",)


def test_the_same_partials_are_kept_once():
    found = loaded(
        CELL,
        kpi(1001, '["cell_id.vendor"]', USERS),
        kpi(1002, '["cell_id.site"]', VOLUME),
        kpi(1003, '["cell_id.vendor"]', VOLUME),
        kpi(1004, '["cell_id.vendor", "cell_id.site"]', VOLUME + '\nfilter = "bytes_uplink > 0"'),
        kpi(1005, '["cell_id.vendor"]', VOLUME + '\nfilter = "bytes_uplink > 0"'),
        kpi(1006, '["cell_id"]', VOLUME + '\nfilter = "bytes_uplink > 0"'),
    ).kpis
    # A built-in KPI's; the first one's; those of the KPI by cell, also where it comes later.
    assert found[1001].source is ipflow.CELL_UNIQUE_USERS
    assert [found[number].source.id for number in (1002, 1003, 1004, 1005, 1006)] == [1002, 1002, 1006, 1006, 1006]


def test_partials_are_shared_whatever_their_keys_are_called():
    text = OPERATOR.replace("coverage.operator", "cdr.Company")
    calls = 'measure = {type = "count", name = "calls"}\nunit = "calls"\nlengths = ["1m"]'
    by_company = kpi(1002, '[{name = "carrier", column = "Company", ignore_case = true}]', calls, feed="cdr")
    found = loaded(text, kpi(1001, '["Company.alias"]', calls, feed="cdr"), by_company).kpis
    assert found[1001].source is found[1002]
    assert found[1001].key_of(found[1001].by[0]).name == "carrier"
    # Of its own they are called as the column, in small letters.
    alone = loaded(text, kpi(1001, '["Company.alias"]', calls, feed="cdr")).kpis[1001]
    assert [key.name for key in alone.source.by] == ["company"]


@pytest.mark.parametrize(
    ("feed", "column", "key", "measure"),
    [
        # Each row of results has an id of its own.
        ("antenna", "id", "id_key", 'measure = {type = "count", name = "messages"}\nunit = "messages"'),
        # What is counted has the column's name.
        (
            "ipflow",
            "cell_id",
            "cell_id_key",
            'measure = {type = "count_distinct", name = "cells", column = "cell_id"}\nunit = "cells"',
        ),
    ],
)
def test_a_key_whose_name_is_taken_gets_a_longer_one(feed: str, column: str, key: str, measure: str):
    kind = "uuid" if column == "id" else "integer"
    text = f"""
[references.thing]
description = "Things"
of = ["{feed}.{column}"]
key = "thing"
columns = {{thing = {{type = "{kind}"}}, owner = {{type = "text", longest = 20}}}}
"""
    one = loaded(text, kpi(1001, f'["{column}.owner"]', measure + "\npersonal = true", feed=feed)).kpis[1001]
    assert [one.name for one in one.source.by] == [key]
    assert one.key_of(one.by[0]).column == column


def test_an_attribute_may_be_called_as_the_column_that_it_is_of():
    text = CELL.replace("site =", "cell_id =")
    one = loaded(text, kpi(1001, '["cell_id.cell_id"]', VOLUME)).kpis[1001]
    assert (one.dimensions, [key.name for key in one.source.by]) == (("cell_id",), ["cell_id_key"])


def test_partials_with_a_column_that_is_called_as_the_attribute_are_not_shared():
    found = loaded(
        CELL,
        kpi(1001, '[{name = "vendor", column = "cell_id"}]', VOLUME),
        kpi(1002, '["cell_id.vendor"]', VOLUME),
    ).kpis
    assert found[1002].source.id == 1002


def test_keys_in_any_case_are_folded_in_partials():
    mean = 'measure = {type = "count", name = "logs"}\nunit = "logs"'
    one = loaded(OPERATOR, kpi(1001, '["operator.alias"]', mean, feed="coverage")).kpis[1001]
    assert (one.folded, [key.folded for key in one.source.by]) == ((), [True])


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ('["cell.vendor"]', "kpis.K1001.by[1] names an attribute of cell: did you mean cell_id?"),
        ('["cell_id.vender"]', "kpis.K1001.by[1] names no attribute of the reference cell: did you mean vendor?"),
        (
            '["cell_id.cell"]',
            "kpis.K1001.by[1] names no attribute of the reference cell: there are title, site, vendor",
        ),
        (
            '["cell_id.azimuth"]',
            "kpis.K1001 cannot be used: dimension azimuth: the column azimuth of the reference cell has the type "
            "Integer, and only a text can be empty, as for a key that the reference lacks",
        ),
        (
            '[{name = "vendor", column = "cell_id.vendor", ignore_case = true}]',
            "kpis.K1001.by[1].column is an attribute, which has neither grid nor ignore_case",
        ),
        (
            '[{name = "sum", column = "cell_id.vendor"}]',
            "kpis.K1001 cannot be used: dimension sum: its partials have that column; give it another name",
        ),
    ],
)
def test_what_cannot_be_grouped_by_is_refused(by: str, message: str):
    assert message_of(CELL, kpi(1001, by, VOLUME)) == message


def test_without_a_reference_the_message_says_so():
    message = message_of(kpi(1001, '["cell_id.vendor"]', VOLUME))
    assert message == "kpis.K1001.by[1] names an attribute of cell_id: no reference describes a column of the feed"


def test_a_personal_attribute_needs_a_personal_kpi():
    text = CELL.replace("longest = 20}", "longest = 20, personal = true}")
    message = message_of(text, kpi(1001, '["cell_id.site"]', VOLUME))
    assert message == (
        "kpis.K1001.by[1] uses the personal column site of the reference cell: the KPI must have personal = true"
    )
    assert loaded(text, kpi(1001, '["cell_id.site"]', VOLUME + "\npersonal = true")).kpis[1001].personal


def test_a_reference_has_a_view_of_its_own_name():
    text = CELL.replace("references.cell]", "references.coverage]").replace("references.cell.", "references.coverage.")
    assert message_of(text) == (
        "references.coverage would have the table coverage of the lake, which is the feed coverage's: choose another"
    )


def test_definitions_tell_what_makes_other_partials_from_what_makes_other_results():
    by = kpi(1001, '["cell_id.vendor"]', USERS)
    (before,) = loaded(CELL, by).definitions
    renamed = CELL.replace("references.cell]", "references.cells]").replace("references.cell.", "references.cells.")
    (after,) = loaded(renamed, by).definitions
    assert before.records == after.records
    assert before.merging != after.merging
    # Where another KPI's partials stand in for its own.
    alone = kpi(1001, '["cell_id.vendor"]', VOLUME)
    (own,) = loaded(CELL, alone).definitions
    shared, _ = loaded(CELL, alone, kpi(1002, '["cell_id"]', VOLUME)).definitions
    assert own.records != shared.records
