"""Rows written in bulk are what they would be if they were saved one by one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from kpis.models import AppTrafficVolume, OperatorSignal
from kpis.store.bulk import insert_columns, insert_rows
from tests.factories import MIDNIGHT

pytestmark = pytest.mark.django_db

END = MIDNIGHT + timedelta(minutes=5)
INTERVAL = ("interval_start_timestamp", "interval_end_timestamp", "interval", "rank")
TEXTS = ["plain", "", "é 漢 😀", "tab\tand\nline", r"back\slash \N \. \t", "'single' \"double\" `tick`", "%s %(a)s ?"]


def test_texts_and_large_numbers_stay_as_they_are(django_assert_num_queries):
    names = (*INTERVAL, "app", "total_bytes")
    rows = [(MIDNIGHT, END, 1, rank, text, 2**63 - rank) for rank, text in enumerate(TEXTS, 1)]
    with django_assert_num_queries(1):
        insert_rows(AppTrafficVolume, names, rows)
    assert list(AppTrafficVolume.objects.values_list(*names)) == rows


def test_a_missing_value_is_null():
    names = (*INTERVAL, "operator", "operator_folded", "average_signal")
    names += ("number_of_samples", "number_of_empty_values")
    rows = [(MIDNIGHT, END, 1, 1, "Orange", "orange", 0.1, 3, 0), (MIDNIGHT, END, 1, 2, "", "", None, 0, 7)]
    insert_rows(OperatorSignal, names, iter(rows))
    assert list(OperatorSignal.objects.values_list(*names)) == rows


@pytest.mark.parametrize("count", [1, 29, 30, 31, 75])
def test_columns_and_what_all_rows_have_in_common_are_rows(count):
    constants = {"interval_start_timestamp": MIDNIGHT, "interval_end_timestamp": END, "interval": 1}
    columns = {"rank": range(1, count + 1), "app": [f"app {rank}" for rank in range(1, count + 1)]}
    insert_columns(AppTrafficVolume, columns | {"total_bytes": range(count, 0, -1)}, constants)
    found = AppTrafficVolume.objects.order_by("rank").values_list(*INTERVAL, "app", "total_bytes")
    assert list(found) == [(MIDNIGHT, END, 1, rank, f"app {rank}", count + 1 - rank) for rank in range(1, count + 1)]


def test_no_rows_are_no_statement(django_assert_num_queries):
    with django_assert_num_queries(0):
        insert_rows(AppTrafficVolume, (*INTERVAL, "app", "total_bytes"), [])


def test_a_constraint_speaks_as_it_does_elsewhere():
    rows = [(MIDNIGHT, END, 1, 1, "SKYPE", 1)] * 2
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_rows(AppTrafficVolume, (*INTERVAL, "app", "total_bytes"), rows)
    assert not AppTrafficVolume.objects.exists()


def test_a_row_that_is_refused_takes_those_before_it_with_it():
    rows = [(MIDNIGHT, END, 1, rank, f"app {rank}", 1) for rank in (*range(1, 70), 0)]
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_rows(AppTrafficVolume, (*INTERVAL, "app", "total_bytes"), rows)
    assert not AppTrafficVolume.objects.exists()
