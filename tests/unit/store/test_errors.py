"""Errors of the database become one line that names the database and says what to do."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, OperationalError, ProgrammingError

from kpis.models import Run
from kpis.store.dialects import dialect
from kpis.store.errors import StoreError, translate_errors

pytestmark = pytest.mark.django_db(transaction=True)


def translated(error: Exception) -> str:
    with pytest.raises(StoreError) as raised, translate_errors():
        raise error
    assert raised.value.__cause__ is error
    return str(raised.value)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OperationalError(2006, "Server has\n gone away."), "Server has gone away"),
        (OperationalError("disk I/O error"), "disk I/O error"),
        (IntegrityError(), ""),
    ],
)
def test_an_error_of_the_database_is_one_line_with_its_place_and_reason(error, reason):
    assert translated(error) == f"Cannot use the database {dialect().location}: {reason}."


@pytest.mark.parametrize("kind", [OperationalError, ProgrammingError])
def test_a_database_without_tables_is_told_to_migrate(monkeypatch, kind):
    monkeypatch.setattr(Run._meta, "db_table", "absent")
    reason = f"Cannot use the database {dialect().location}: no such table."
    assert translated(kind("no such table")) == f"{reason} It lacks the tables: run manage.py migrate."
    assert translated(IntegrityError("no such table")) == reason


def test_another_error_stays_what_it_is():
    with pytest.raises(LookupError), translate_errors():
        raise LookupError
