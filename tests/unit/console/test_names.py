"""Names of references in the console: beside the values of dimensions, and as what is searched for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kpis.catalog.builtin.cdr import OPERATOR_CALL_VOLUME
from kpis.catalog.builtin.ipflow import CELL_UNIQUE_USERS
from kpis.catalog.intervals import EPOCH
from kpis.console.figures import NONE
from kpis.console.groups import label, labels
from kpis.models import Reference, ReferenceVersion
from tests.answers import csv_rows, parquet_rows
from tests.factories import MIDNIGHT, make_result, make_summary
from tests.references import CELL, referenced
from tests.unit.console.test_kpi_page import table_rows, text_of

pytestmark = pytest.mark.django_db

FIVE = timedelta(minutes=5)
PAGE = f"/kpis/{CELL_UNIQUE_USERS.id}/"


@pytest.fixture(autouse=True)
def cells():
    """Two intervals of the cells 1, 2 and 3; the first one's name changes between them."""
    with referenced(CELL):
        reference = Reference.objects.create(name="cell", loaded_at=MIDNIGHT)
        for key, since, until, name in (
            ("1", EPOCH, MIDNIGHT + FIVE, "Sol"),
            ("1", MIDNIGHT + FIVE, None, "Luna"),
            ("2", EPOCH, None, "Tierra"),
        ):
            ReferenceVersion.objects.create(reference=reference, key=key, valid_from=since, valid_to=until, name=name)
        for start in (MIDNIGHT, MIDNIGHT + FIVE):
            make_summary(CELL_UNIQUE_USERS.id, start, total=None, groups=3)
            for rank, cell in enumerate((1, 2, 3), 1):
                make_result(CELL_UNIQUE_USERS, start, rank, cell_id=cell, number_of_unique_users=10 - rank)
        yield


def test_a_group_is_its_names_with_its_values():
    cell = {"cell_id": 1}
    assert labels(CELL_UNIQUE_USERS, [(cell, MIDNIGHT), (cell, MIDNIGHT + FIVE), ({"cell_id": 3}, MIDNIGHT)]) == [
        "Sol (1)",
        "Luna (1)",
        "3",
    ]
    both = {"operator": "", "call_type": "VOICE"}
    assert label(OPERATOR_CALL_VOLUME, both, {"operator": "Other"}) == "Other ((none)), VOICE"


def test_more_groups_are_not_more_queries(django_assert_num_queries):
    with django_assert_num_queries(1):
        labels(CELL_UNIQUE_USERS, [({"cell_id": cell}, MIDNIGHT) for cell in range(1000)])
    with django_assert_num_queries(0):
        labels(OPERATOR_CALL_VOLUME, [({"operator": "", "call_type": "VOICE"}, MIDNIGHT)])


def test_the_page_names_groups_as_in_their_interval(client):
    assert [row[1:3] for row in table_rows(client.get(PAGE), "groups")] == [["1", "Luna"], ["2", "Tierra"], ["3", NONE]]
    earlier = client.get(f"{PAGE}?at=2021-07-18T00:00Z")
    assert [row[2] for row in table_rows(earlier, "groups")] == ["Sol", "Tierra", NONE]
    by_name = client.get(f"{PAGE}?at=2021-07-18T00:00Z&groups_sort=-cell_name")
    assert [row[2] for row in table_rows(by_name, "groups")] == ["Tierra", "Sol", NONE]
    assert "Luna (1) over time" in text_of(client.get(f"{PAGE}?cell_id=1"))


def test_an_address_may_have_the_name_of_one_group(client):
    assert "Sol (1) over time" in text_of(client.get(f"{PAGE}?cell_id=Sol&at=2021-07-18T00:00Z"))
    assert client.get(f"{PAGE}?cell_id=Marte").status_code == 400
    explained = f"/explain/?kpi={CELL_UNIQUE_USERS.id}&interval=1&start=2021-07-18T00:00Z&cell_id=1"
    assert "Sol (1)" in text_of(client.get(explained))


def test_groups_are_searched_by_their_names(client):
    found = text_of(client.get(f"{PAGE}groups/?search=ierr"))
    assert "Tierra (2)" in found
    assert "Luna" not in found
    # Its name of then, typed in full.
    assert "Luna (1)" in text_of(client.get(f"{PAGE}groups/?search=Sol"))


def test_charts_name_their_groups(client):
    assert "Sol (1)" in client.get(f"{PAGE}top.json?at=2021-07-18T00:00Z").content.decode()
    assert "Luna (1)" in client.get(f"{PAGE}series.json?cell_id=1").content.decode()


def test_files_have_the_names(client):
    rows = csv_rows(client.get(f"{PAGE}rows.csv"))
    assert [(row["cell_id"], row["cell_name"]) for row in rows] == [
        ("1", "Sol"),
        ("2", "Tierra"),
        ("3", ""),
        ("1", "Luna"),
        ("2", "Tierra"),
        ("3", ""),
    ]
    assert [row["cell_name"] for row in parquet_rows(client.get(f"{PAGE}rows.parquet"))][:3] == ["Sol", "Tierra", None]
