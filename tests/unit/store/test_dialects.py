"""Each database's dialect keeps its promises, on the database that the tests use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections

from kpis.store.dialects import Dialect, dialect
from tests.databases import empty_database, opened

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def two(tmp_path) -> Iterator[tuple[Dialect, Dialect]]:
    """The dialects of two connections to one database that has a table ``number`` with one row, 1."""
    with empty_database(tmp_path) as url, opened(url) as one, opened(url) as other:
        with connections[one].cursor() as cursor:
            cursor.execute("CREATE TABLE number (value integer)")
            cursor.execute("INSERT INTO number VALUES (1)")
        yield dialect(connections[one]), dialect(connections[other])


def values(of: Dialect) -> list[int]:
    with of.connection.cursor() as cursor:
        cursor.execute("SELECT value FROM number ORDER BY value")
        return [value for (value,) in cursor.fetchall()]


def test_one_connection_at_a_time_has_the_run_lock(two):
    one, other = two
    with one.run_lock() as first:
        assert first
        assert one.holds_run_lock()
        with other.run_lock() as second:
            assert not second
    with other.run_lock() as second:
        assert second


def test_queries_in_a_snapshot_see_nothing_that_is_committed_meanwhile(two):
    one, other = two
    with one.snapshot():
        assert values(one) == [1]
        other.insert("number", ["value"], [], [[2]])
        assert values(other) == [1, 2]
        assert values(one) == [1]
    assert values(one) == [1, 2]


@pytest.mark.parametrize("scope", ["cursor_scope", "streaming"])
def test_a_server_side_cursor_gives_all_rows_within_its_scope(two, scope):
    one, _ = two
    one.insert("number", ["value"], [], [range(2, 1001)])
    with getattr(one, scope)(), one.connection.chunked_cursor() as cursor:
        cursor.execute("SELECT value FROM number ORDER BY value")
        found = list(cursor.fetchmany(10)) + list(cursor.fetchall())
    assert found == [(value,) for value in range(1, 1001)]


def test_the_dialect_is_that_of_the_connections_database(two):
    one, _ = two
    assert type(one).__name__.lower() == one.connection.vendor
    assert str(one.connection.settings_dict["NAME"]) in one.location
