"""Loading of references: what a file adds, changes, ends and removes, and that a wrong one changes nothing."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from kpis import clock
from kpis.catalog.intervals import EPOCH
from kpis.models import Reference, ReferenceVersion
from tests.references import CELL, referenced

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def cell():
    with referenced(CELL), patch.object(clock, "now", lambda: NOW):
        yield


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cells.csv"


def load(file: Path, *lines: str, **options) -> str:
    """The last line of the command's output for a file with these lines."""
    file.write_text("\n".join(lines) + "\n")
    out = io.StringIO()
    call_command("load_reference", "cell", str(file), stdout=out, **options)
    return out.getvalue().splitlines()[-1]


def refused(file: Path, *lines: str, **options) -> list[str]:
    before = stored()
    with pytest.raises(CommandError) as error:
        load(file, *lines, **options)
    assert stored() == before
    return f"{error.value}".replace(f"{file}", "FILE").splitlines()


def utc(day: int, month: int = 1) -> datetime:
    return datetime(2026, month, day, tzinfo=UTC)


def stored() -> list[tuple]:
    rows = ReferenceVersion.objects.filter(reference__name="cell").order_by("key", "valid_from")
    return [(row.key, row.valid_from, row.valid_to, row.name) for row in rows]


def counted(added=0, changed=0, ended=0, removed=0, unchanged=0, since="") -> str:
    counts = f"{added} added, {changed} changed, {ended} ended, {removed} removed, {unchanged} unchanged"
    return f"{counts}; holds from {since} on" if since else counts


HISTORY = (
    "cell,title,valid_from,valid_to",
    "1,A,2026-01-01,2026-01-10",
    "1,B,2026-01-10,",
    "2,C,,",
    "3,D,2026-01-05,2026-01-06",
)


def test_a_history_is_loaded_as_it_is(file: Path):
    assert load(file, *HISTORY) == counted(added=4)
    assert stored() == [
        ("1", utc(1), utc(10), "A"),
        ("1", utc(10), None, "B"),
        ("2", EPOCH, None, "C"),
        ("3", utc(5), utc(6), "D"),
    ]
    (row,) = Reference.objects.all()
    assert (row.name, row.file, row.loaded_at) == ("cell", "cells.csv", NOW)


def test_all_columns_are_kept(file: Path):
    load(
        file, "cell,title,site,vendor,azimuth,height,installed,latitude,longitude", "1,A,S,nokia,5,1.5,2026-02-03,4,-5"
    )
    (row,) = ReferenceVersion.objects.all()
    assert (row.latitude, row.longitude) == (4, -5)
    assert row.attributes == {"site": "S", "vendor": "Nokia", "azimuth": 5, "height": 1.5, "installed": "2026-02-03"}


def test_loading_again_changes_nothing(file: Path):
    columns = "cell,title,site,vendor,azimuth,height,latitude,longitude"
    lines = [columns, *(f"{key},A,S,Nokia,{key % 360},0.1,4.123456,-5" for key in range(1, 2500))]
    assert load(file, *lines) == "2,499 added, 0 changed, 0 ended, 0 removed, 0 unchanged; holds from the beginning on"
    before = list(ReferenceVersion.objects.order_by("id").values_list())
    again = "0 added, 0 changed, 0 ended, 0 removed, 2,499 unchanged; holds from 2026-06-01T00:00:00Z on"
    assert load(file, *lines) == again
    assert list(ReferenceVersion.objects.order_by("id").values_list()) == before


def test_a_history_replaces_what_was_loaded(file: Path):
    load(file, *HISTORY)
    lines = (HISTORY[0], "1,A,2026-01-01,2026-01-10", "1,b,2026-01-10,", "2,C,,2026-02-01", "4,E,2026-01-01,")
    assert load(file, *lines) == counted(added=1, changed=1, ended=1, removed=1, unchanged=1)
    assert stored() == [
        ("1", utc(1), utc(10), "A"),
        ("1", utc(10), None, "b"),
        ("2", EPOCH, utc(1, 2), "C"),
        ("4", utc(1), None, "E"),
    ]
    assert load(file, *HISTORY) == counted(added=1, changed=2, removed=1, unchanged=1)


def test_a_partial_history_is_that_of_its_keys_alone(file: Path):
    load(file, *HISTORY)
    assert load(file, HISTORY[0], "1,Z,2026-01-02,", partial=True) == counted(added=1, removed=2)
    assert stored() == [("1", utc(2), None, "Z"), ("2", EPOCH, None, "C"), ("3", utc(5), utc(6), "D")]


def test_the_first_state_holds_from_the_beginning_and_the_next_from_now_on(file: Path):
    assert load(file, "cell,title", "1,A", "2,B", "3,C") == counted(added=3, since="the beginning")
    assert load(file, "cell,title", "1,A", "2,b", "4,D") == counted(
        added=1, changed=1, ended=1, unchanged=1, since="2026-06-01T00:00:00Z"
    )
    assert stored() == [
        ("1", EPOCH, None, "A"),
        ("2", EPOCH, NOW, "B"),
        ("2", NOW, None, "b"),
        ("3", EPOCH, NOW, "C"),
        ("4", NOW, None, "D"),
    ]


def test_a_partial_state_leaves_other_keys(file: Path):
    load(file, "cell,title", "1,A", "2,B")
    assert load(file, "cell,title", "2,b", partial=True, as_of=utc(1)) == counted(
        changed=1, since="2026-01-01T00:00:00Z"
    )
    assert stored() == [("1", EPOCH, None, "A"), ("2", EPOCH, utc(1), "B"), ("2", utc(1), None, "b")]


def test_a_state_of_the_past_holds_until_the_next_change(file: Path):
    load(file, *HISTORY)
    assert load(file, "cell,title", "1,a", "3,d", as_of=utc(3)) == counted(
        added=1, changed=1, ended=1, since="2026-01-03T00:00:00Z"
    )
    assert stored() == [
        ("1", utc(1), utc(3), "A"),
        ("1", utc(3), utc(10), "a"),
        ("1", utc(10), None, "B"),
        ("2", EPOCH, utc(3), "C"),
        ("3", utc(3), utc(5), "d"),
        ("3", utc(5), utc(6), "D"),
    ]


def test_a_state_replaces_what_begins_at_its_moment(file: Path):
    load(file, *HISTORY)
    assert load(file, "cell,title", "1,b", as_of=utc(10)) == counted(changed=1, ended=1, since="2026-01-10T00:00:00Z")
    assert stored()[:2] == [("1", utc(1), utc(10), "A"), ("1", utc(10), None, "b")]
    assert load(file, "cell,title", as_of=utc(10)) == counted(ended=1, since="2026-01-10T00:00:00Z")
    assert [row[0] for row in stored()] == ["1", "2", "3"]


def test_rows_of_a_key_that_hold_at_the_same_time_are_refused_with_both_lines(file: Path):
    load(file, *HISTORY)
    assert refused(
        file, "cell,valid_from,valid_to", "1,2026-01-01,", "2,,", "1,2026-01-10,2026-01-11", "2,2026-05-01,"
    ) == [
        "Line 4: cell 1: this row and line 2 hold at the same time",
        "Line 5: cell 2: this row and line 3 hold at the same time",
        "2 rows of FILE cannot be used: nothing was loaded.",
    ]
    # The second one ends before the third one begins; the first one does not.
    assert refused(
        file,
        "cell,valid_from,valid_to",
        "1,2026-01-01,2026-03-01",
        "1,2026-03-01,2026-03-02",
        "1,2026-02-01,2026-02-02",
    ) == [
        "Line 4: cell 1: this row and line 2 hold at the same time",
        "1 row of FILE cannot be used: nothing was loaded.",
    ]
    assert refused(file, "cell,title", "1,A", "01,A") == [
        "Line 3: cell 1: this row and line 2 are two of its rows",
        "1 row of FILE cannot be used: nothing was loaded.",
    ]


def test_a_wrong_row_is_named_and_nothing_is_loaded(file: Path):
    load(file, *HISTORY)
    assert refused(file, "cell,vendor", "1,Nokia", "2,Siemens") == [
        "Line 3: vendor is none of Ericsson, Nokia",
        "1 row of FILE cannot be used: nothing was loaded.",
    ]
    assert refused(file, "cell,title", "x,A") == [
        "Line 2: cell is not a whole number",
        "1 row of FILE cannot be used: nothing was loaded.",
    ]


def test_nothing_is_loaded_where_the_first_load_fails(file: Path):
    refused(file, "cell,title", "1,A", "1,B")
    assert not Reference.objects.exists()


def test_a_history_has_no_moment_of_its_own(file: Path):
    assert refused(file, *HISTORY, as_of=utc(1)) == ["FILE says itself when its rows hold: load it without --as-of."]


def test_the_moment_is_a_time_or_a_day(file: Path):
    file.write_text("cell\n1\n")
    call_command("load_reference", "cell", f"{file}", "--as-of", "2026-01-02T03:04:05+01:00", stdout=io.StringIO())
    assert [row[1] for row in stored()] == [datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)]
    call_command("load_reference", "cell", f"{file}", "--as-of", "2026-01-01", stdout=io.StringIO())
    assert [row[1:3] for row in stored()] == [
        (utc(1), datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)),
        (datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC), None),
    ]
    with pytest.raises(CommandError, match="'soon' is not a time such as 2026-03-01T12:00:00Z"):
        call_command("load_reference", "cell", f"{file}", "--as-of", "soon")


def test_columns_that_the_reference_does_not_have_are_named(file: Path):
    file.write_text("cell,colour,valid_form\n1,red,2026-01-01\n")
    out = io.StringIO()
    call_command("load_reference", "cell", f"{file}", stdout=out)
    assert out.getvalue().splitlines() == [
        "columns left out, which the reference does not have: colour, valid_form",
        counted(added=1, since="the beginning"),
    ]


@pytest.mark.parametrize(
    ("name", "told"), [("cel", "did you mean cell?"), ("services", "it has cell."), ("Cell", "did you mean cell?")]
)
def test_a_reference_that_is_not_in_the_catalog_is_named(name: str, told: str):
    with pytest.raises(CommandError) as error:
        call_command("load_reference", name, "cells.csv")
    assert f"{error.value}" == f"The catalog (CATALOG) has no reference {name!r}: {told}"


def test_the_database_refuses_a_version_that_ends_before_it_begins_or_is_nowhere():
    reference = Reference.objects.create(name="cell", loaded_at=NOW)
    for wrong in (
        {"valid_from": utc(2), "valid_to": utc(2)},
        {"valid_from": EPOCH, "latitude": 1},
        {"valid_from": EPOCH, "latitude": 91, "longitude": 1},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            ReferenceVersion.objects.create(reference=reference, key="1", **wrong)
