"""Names that differ in letter case or encoding alone are one group, wherever they are grouped, found or shown."""

from __future__ import annotations

import csv
import io
import sys
import unicodedata
from contextlib import suppress
from dataclasses import replace
from importlib import import_module

import duckdb
import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection as database
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from kpis.catalog import kpis as catalog
from kpis.catalog.builtin.cdr import OPERATOR_CALL_VOLUME
from kpis.catalog.builtin.coverage import OPERATOR_SIGNAL
from kpis.catalog.folding import fold, folded_sql
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR, ONE_MINUTE
from kpis.catalog.measures import CountDistinct
from kpis.catalog.registry import KPIS
from kpis.console.picker import find_groups
from kpis.console.selection import selection
from kpis.engine.folding import add_fold
from kpis.models import OperatorCallVolume, OperatorSignal
from kpis.models.result_models import result_model
from tests.catalogs import declared
from tests.factories import MIDNIGHT, make_result, make_summary
from tests.twin import Call, file_text
from tests.unit.catalog.test_unknown_numbers import HEADER, log

START = 1626566400  # 2021-07-18T00:00:00Z
PLACE = {"lat": "-34.6", "long": "-58.4"}
TWO_SPELLINGS = "\n".join(
    [
        HEADER,
        log("10:00:00", signal="20", operator="Ελλάς", **PLACE),
        log("10:01:00", signal="22", operator="ΕΛΛΆΣ", **PLACE),
        "",
    ]
)
SAME = [
    ("Ελλάς", "ΕΛΛΆΣ"),
    ("Órange", "o\u0301RANGE"),
    ("Straße", "STRASSE"),
    ("İstanbul", "i\u0307stanbul"),
    ("ﬁ", "FI"),
    ("\u212a", "k"),
    ("\u0345\u0301", "\u0301\u03b9"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_names_that_differ_in_letter_case_or_encoding_fold_alike(one, other):
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("é", "e"), ("İ", "i"), ("\u0131", "i"), ("x\u00a0", "x"), ("²", "2")])
def test_other_names_fold_apart(one, other):
    assert fold(one) != fold(other)


def test_folding_twice_gives_the_same_as_once_for_every_character():
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    assert [one for one in characters if fold(fold(one)) != fold(one)] == []
    assert [one for one in characters if fold(unicodedata.normalize("NFD", one)) != fold(one)] == []
    assert max(len(fold(one)) for one in characters) == 3


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as opened:
        add_fold(opened)
        opened.execute("CREATE TABLE names (name VARCHAR)")
        yield opened


@settings(max_examples=50)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5), max_size=20))
def test_sql_folds_as_python_does(connection, names):
    connection.execute("DELETE FROM names")
    for name in names:
        connection.execute("INSERT INTO names VALUES (?)", [name])
    found = connection.execute(f"SELECT name, {folded_sql('name')} FROM names").fetchall()
    assert sorted(found) == sorted((name, fold(name)) for name in names)


def update(*arguments: str) -> None:
    with suppress(SystemExit):
        call_command("update_network_stats", "--rollup-open-hours", *arguments, verbosity=0)


def signals() -> list[tuple]:
    rows = OperatorSignal.objects.filter(interval=ONE_HOUR.code)
    return list(rows.values_list("operator", "average_signal", "number_of_samples", "rank"))


def found(client, kpi: int, operator: str, **parameters: str) -> list[dict]:
    return client.get(f"/api/KPIs/{kpi}/", {"operator": operator, "interval": "2", **parameters}).json()


@pytest.mark.django_db(transaction=True)
def test_one_operator_in_two_spellings_is_one_group_that_either_finds(data_dir, client):
    (data_dir / "coverage_data.2023-11-15.1.csv").write_text(TWO_SPELLINGS)
    update()
    assert signals() == [("ΕΛΛΆΣ", 21.0, 2, 1)]
    for spelling in ("Ελλάς", "ΕΛΛΆΣ", "ελλάσ", unicodedata.normalize("NFD", "Ελλάς")):
        (row,) = found(client, 7, spelling)
        assert (row["average_signal"], row["number_of_samples"]) == (21.0, 2)
    assert found(client, 7, "Ελλας") == []
    answer = client.get("/api/KPIs/12/", {"format": "csv", "interval": "2"}).getvalue().decode()
    (cell,) = csv.DictReader(io.StringIO(answer))
    assert cell["grid_cell"] == "-34.60,-58.40"


@pytest.mark.django_db(transaction=True)
def test_a_value_that_comes_with_two_spellings_is_one_distinct_value(data_dir):
    kpi = replace(
        OPERATOR_CALL_VOLUME,
        id=1001,
        name="OperatorCallers",
        by=OPERATOR_CALL_VOLUME.by[:1],
        measure=CountDistinct("callers", column="SourcePN"),
        help_texts={},
    )
    lines = [
        f"{caller},2,x,Apr 30 2018 00:00:00,Apr 30 2018 00:00:01,CALL,{name}"
        for caller, name in (("1", "Acme"), ("1", "ACME"), ("2", "Acme"))
    ]
    with declared(kpis=[kpi]):
        (data_dir / "cdr_data.1.csv").write_text("\n".join([*lines, ""]))
        call_command("update_network_stats", verbosity=0)
        rows = result_model(kpi).objects.values_list("interval", "operator", "callers")
        assert list(rows) == [(ONE_MINUTE.code, "Acme", 2)]


@pytest.mark.sqlite_alone
@pytest.mark.django_db(transaction=True)
def test_spellings_in_a_bucket_are_one_group_as_well(bucket):
    bucket.put_object(Key="in/coverage_data.2023-11-15.1.csv", Body=TWO_SPELLINGS.encode())
    update()
    assert signals() == [("ΕΛΛΆΣ", 21.0, 2, 1)]


def lowered(text: str) -> str:
    """How version 0.1.0 folded."""
    return f"lower({text})"


@pytest.mark.django_db(transaction=True)
def test_partials_of_the_first_version_merge_with_those_of_now(data_dir, monkeypatch):
    calls = {
        "İstanbul": [Call(START, "Kern", "İstanbul", "CALL"), Call(START, "Kern", "Ελλάς", "CALL")],
        "i\u0307stanbul": [Call(START + 1, "Kern", "i\u0307STANBUL", "CALL"), Call(START + 1, "Kern", "ΕΛΛΆΣ", "CALL")],
    }
    with monkeypatch.context() as patch:
        patch.setattr(catalog, "folded_sql", lowered)
        (data_dir / "cdr_data.1.csv").write_text(file_text(calls["İstanbul"]))
        update()
    (data_dir / "cdr_data.2.csv").write_text(file_text(calls["i\u0307stanbul"]))
    update()
    for length in OPERATOR_CALL_VOLUME.lengths:
        rows = OperatorCallVolume.objects.filter(interval=length.code).order_by("operator_folded")
        assert [(row.operator_folded, row.number_of_calls, row.market_share) for row in rows] == [
            ("i\u0307stanbul", 2, 0.5),
            ("ελλάσ", 2, 0.5),
        ]


@pytest.mark.django_db
def test_rows_of_the_first_version_are_found_once_they_are_folded(client):
    for rank, operator in enumerate(["Ελλάς", "ORANGE", "ß", ""], 1):
        make_result(OPERATOR_SIGNAL, MIDNIGHT, rank, ONE_HOUR, operator=operator)
    OperatorSignal.objects.update(operator_folded="")
    migration = import_module("kpis.migrations.0019_fold_the_names_there_are")
    for _ in range(2):
        migration.fold_names(apps, database.schema_editor())
        assert list(OperatorSignal.objects.order_by("rank").values_list("operator_folded", flat=True)) == [
            "ελλάσ", "orange", "ss", "",
        ]  # fmt: skip
    assert [row["operator"] for row in found(client, 7, "SS")] == ["ß"]


@pytest.mark.django_db
@pytest.mark.parametrize(("one", "other"), SAME)
def test_every_page_finds_a_group_by_any_of_its_spellings(client, admin_client, one, other, tmp_path):
    make_result(OPERATOR_SIGNAL, MIDNIGHT, 1, operator=one)
    make_result(OPERATOR_SIGNAL, MIDNIGHT, 2, operator="another")
    make_summary(7, MIDNIGHT, FIVE_MINUTES)
    chosen = selection(OPERATOR_SIGNAL, {})
    assert [words for words, _ in find_groups(chosen, other).offered] == [one]
    page = client.get("/kpis/7/", {"operator": other})
    assert page.status_code == 200
    assert "There are no records" not in page.content.decode()
    path = tmp_path / "signal.svg"
    call_command("plot", "7", "--group", other, "--out", str(path), verbosity=0)
    assert path.stat().st_size
    listed = admin_client.get(reverse("admin:kpis_operatorsignal_changelist"), {"q": f'"{other}"'})
    assert [row.operator for row in listed.context["cl"].result_list] == [one]


def test_each_folded_dimension_has_its_column_and_index():
    for kpi in KPIS.values():
        for dimension in kpi.folded:
            model = result_model(kpi)
            longest = model._meta.get_field(dimension.name).max_length
            assert model._meta.get_field(dimension.folded_column).max_length == 3 * longest
            assert model._meta.indexes[0].fields[0] == dimension.folded_column
