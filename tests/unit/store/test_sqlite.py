"""Moments that are kept are those that Django reads."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.utils.dateparse import parse_datetime
from hypothesis import given
from hypothesis import strategies as st

from kpis.models import Run
from kpis.store.dialects.sqlite import parsed_datetime
from tests.factories import make_run


@given(st.datetimes(), st.sampled_from([" ", "T"]))
def test_a_moment_is_the_one_that_its_text_says(time, separator):
    text = time.isoformat(separator)
    assert parsed_datetime(text.encode()) == parse_datetime(text) == time


def test_what_is_no_moment_is_none():
    assert parsed_datetime(b"yesterday") is None
    with pytest.raises(ValueError, match="month"):
        parsed_datetime(b"2021-13-01 00:00:00")


@pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases have moments of their own")
def test_rows_are_read_by_it(db):
    started = datetime(2021, 7, 18, 0, 5, 0, 123456, tzinfo=UTC)
    make_run(started)
    before = parsed_datetime.cache_info()
    assert [run.started_at for run in Run.objects.all()] == [started]
    assert [run.started_at for run in Run.objects.all()] == [started]
    assert parsed_datetime.cache_info().hits > before.hits
