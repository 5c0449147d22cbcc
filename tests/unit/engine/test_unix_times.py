"""Lines of nothing but whole numbers, some of them Unix time, are scanned as they are judged."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kpis.catalog.columns import Integer, UnixTimestamp
from kpis.catalog.dimensions import Dimension
from kpis.catalog.feeds import Column, Feed, moment_at
from kpis.catalog.formats import CSV
from kpis.catalog.intervals import FIVE_MINUTES
from kpis.catalog.kpis import KPI
from kpis.catalog.measures import Sum
from kpis.catalog.sql import RECORD_START
from kpis.engine.compiled import library
from kpis.engine.reader import Reader
from kpis.engine.scanner import scan
from kpis.formats.bounds import DEFAULT_BOUNDS
from kpis.formats.judge import ANY_TIME

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECONDS = int(NOON.timestamp())
TEXTS = ["0", "1", "-1", "00000000000000000001", "253402214399", "253402214400", "253402300800", "9" * 20, "", "1.5"]


def feed_of(a_second: int) -> Feed:
    return Feed(
        name="times",
        description="Times",
        format=CSV(),
        file_names=("times.*",),
        endings=(".csv",),
        columns=(Column("at", UnixTimestamp(a_second=a_second)), Column("cell", Integer()), Column("bytes", Integer())),
        checks=(),
        moment=moment_at("at"),
        interval=FIVE_MINUTES,
    )


@pytest.mark.skipif(library() is None, reason="needs the compiled scanner")
@pytest.mark.parametrize("a_second", [1, 1_000, 1_000_000])
def test_unix_times_among_whole_numbers_are_scanned_as_they_are_judged(tmp_path: Path, a_second: int):
    import duckdb

    feed = feed_of(a_second)
    kpi = KPI(
        id=1001,
        name="CellBytes",
        description="Cells by bytes",
        feed=feed,
        by=(Dimension("cell", "cell"),),
        measure=Sum("total_bytes", columns=("bytes",)),
        unit="bytes",
        lengths=(FIVE_MINUTES,),
    )
    zeros = "0" * (len(str(a_second)) - 1)
    texts = [text if text in ("", "0", "1.5") else text + zeros for text in TEXTS]
    plain = [f"{SECONDS * a_second + number * a_second}" for number in range(900)]
    path = tmp_path / "times.csv"
    path.write_text("at,cell,bytes\n" + "".join(f"{text},7,{number}\n" for number, text in enumerate(plain + texts)))
    found = scan(path, feed, [kpi], None, 1_000, ANY_TIME, {}, False, DEFAULT_BOUNDS, None)
    with duckdb.connect() as connection:
        reading = Reader(connection).read(path, feed)
        rejects = connection.execute("FROM rejects ORDER BY line").fetchall()
        sums = dict(connection.execute(f'SELECT "{RECORD_START}", sum(bytes) FROM records GROUP BY 1').fetchall())
    assert found is not None
    assert found.reading == reading
    assert found.rejects == rejects
    partial = found.partials[1001]
    assert dict(zip(partial["interval_start"].tolist(), partial["sum"].tolist(), strict=True)) == sums
    assert reading.intervals[NOON] == 300
