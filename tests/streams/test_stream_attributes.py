"""KPIs by attributes of a stream: each batch is joined as it comes, and a load in between revises what came before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import connections

from tests.broker import mock_broker
from tests.processes import PATIENCE, Place, end_of
from tests.servers.test_apply_catalog import new_work
from tests.streams.test_stream_kafka import START, consume, messages, put

pytest.importorskip("confluent_kafka")
pytestmark = pytest.mark.django_db(transaction=True)

CATALOG = """\
[references.operators]
description = "Operators with their groups"
of = ["cdr.Company"]
key = "operator"
ignore_case = true
columns = {operator = {type = "text", longest = 40}, group = {type = "text", longest = 20}}

[kpis.GroupCalls]
id = 1001
description = "Call records by group of operators"
feed = "cdr"
by = ["Company.group"]
measure = {type = "count", name = "calls"}
unit = "calls"
lengths = ["1m", "1h"]
"""
BOUNDS = ("interval_start_timestamp", "interval_end_timestamp")
# From the second hour on the one belongs to another group.
OPERATORS = """\
operator,group,valid_from,valid_to
VODAFONE,Blue,,2021-07-18T01:00:00Z
vodafone,Red,2021-07-18T01:00:00Z,
o2,Red,,
"""


def utc(stored: datetime | str) -> datetime:
    """A time as the database gives it, which has no zone, or is a text."""
    return (datetime.fromisoformat(stored) if isinstance(stored, str) else stored).replace(tzinfo=UTC)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A place with a database of its own, as the KPI's table outlives a test."""
    with new_work(tmp_path / "place") as work:
        yield work.place
        work.place.close()


def test_each_message_counts_by_the_version_of_its_time_whenever_the_reference_comes(place):
    catalog, file = place.folder / "catalog.toml", place.folder / "operators.csv"
    catalog.write_text(CATALOG)
    file.write_text(OPERATORS)

    def run(*arguments: str) -> None:
        ended = end_of(place.start(*arguments, CATALOG=f"{catalog}"), PATIENCE)
        assert ended.code == 0, ended.err

    run("apply_catalog")
    records = messages("cdr", 400)
    with mock_broker() as broker:
        for part, group in ((records[:250], "one"), (records[250:], "two")):
            put(broker, "cdr", part)
            ended = end_of(consume(place, broker, "cdr", "calls", CATALOG=f"{catalog}"))
            assert ended.code == 0, ended.err
            if group == "one":
                run("load_reference", "operators", f"{file}")
    run("update_network_stats")
    groups = {
        record: "Red" if record.operator == "O2" or record.start >= START + 3600 else "Blue" for record in records
    }
    wanted = Counter(
        (length, record.start - record.start % length, groups[record]) for record in records for length in (60, 3600)
    )
    with place.alias() as alias, connections[alias].cursor() as cursor:
        group = connections[alias].ops.quote_name("group")
        cursor.execute(
            f"SELECT interval_start_timestamp, interval_end_timestamp, {group}, calls FROM declared_groupcalls"
        )
        found = {
            (round((end - start).total_seconds()), round(start.timestamp()), name): calls
            for start, end, name, calls in cursor.fetchall()
        }
    assert found == wanted
