"""Numbers that stand for an unknown value are read as none; those beyond a column's range are rejects that say so."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from django.conf import settings
from django.core.management import call_command
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kpis.catalog.builtin.antenna import ANTENNA
from kpis.catalog.builtin.cdr import CDR
from kpis.catalog.builtin.coverage import COVERAGE
from kpis.catalog.builtin.ipflow import IPFLOW
from kpis.catalog.feeds import BadRow, Feed
from kpis.catalog.registry import FEEDS
from kpis.engine.reader import Reader
from kpis.formats.file_formats import row_format_of
from kpis.formats.judge import judge
from kpis.formats.lines import Line
from kpis.models import CoverageGridSignal, OperatorGPSPrecision, OperatorSignal, Reject

HEADER = (
    "hour,lat,long,signal,network,operator,status,description,net,speed,satellites,precission,provider,activity,"
    "postal_code"
)
LARGEST_32 = 2**31 - 1


def log(hour: str = "22:00:00", **fields: str) -> str:
    row = {
        "hour": hour, "lat": "40.1", "long": "-3.7", "signal": "20", "network": "net", "operator": "Op", "status": "0",
        "description": "ok", "net": "4G", "speed": "1.0", "satellites": "5", "precission": "10", "provider": "gps",
        "activity": "STILL", "postal_code": "28001",
    } | fields  # fmt: skip
    return ",".join(row[name] for name in HEADER.split(","))


UNKNOWN_LAST = "\n".join(
    [
        HEADER,
        *(log(f"22:0{minute}:00") for minute in range(9)),
        log("22:09:00", lat="0.0", long="0.0", signal=str(LARGEST_32), precission=str(LARGEST_32)),
        "",
    ]
)


def judged(feed: Feed, header: str, row: str, defaults: dict | None = None) -> dict | tuple[str, str]:
    """A row's record, or the column and the reason why it is none."""
    row_format = row_format_of(feed, header.encode(), defaults or {})
    try:
        return judge(row_format, Line(2, row.encode()))
    except BadRow as bad:
        return bad.column, bad.reason


def judged_log(**fields: str) -> dict | tuple[str, str]:
    return judged(COVERAGE, HEADER, log(**fields), {"date": datetime(2023, 11, 14, tzinfo=UTC).date()})


@pytest.mark.parametrize(
    ("column", "numbers"),
    [
        ("signal", ["99", "99.0", "255", "255.0", "-1", "-1.0", "2147483647", "2147483647.000"]),
        ("speed", ["-1", "2147483647"]),
        ("satellites", ["-1", "-1.0", "2147483647"]),
        ("precission", ["-1", "2147483647.0"]),
        ("lat", ["2147483647"]),
        ("long", ["2147483647"]),
    ],
)
def test_a_number_that_stands_for_unknown_is_read_as_an_empty_field(column, numbers):
    assert [judged_log(**{column: number})[column] for number in ["", *numbers]] == [None] * (len(numbers) + 1)


@pytest.mark.parametrize(
    ("column", "least", "most"),
    [
        ("signal", "-5", "97"),
        ("speed", "0", "2160"),
        ("satellites", "0", "99"),
        ("precission", "0", "20037509"),
        ("lat", "-90", "90"),
        ("long", "-180", "180"),
    ],
)
def test_the_ends_of_a_range_are_in_it_and_what_lies_beyond_says_so(column, least, most):
    assert [judged_log(**{column: end})[column] for end in (least, most)] == [Decimal(least), Decimal(most)]
    scale = " (ASU, not dBm)" if column == "signal" else ""
    for number in (f"-{least.lstrip('-')}.000001", f"{most}.000001"):
        assert judged_log(**{column: number}) == (column, f"is not between {least} and {most}{scale}")


def test_decibels_where_asu_belong_are_a_reject_that_says_so():
    assert judged_log(signal="-85") == ("signal", "is not between -5 and 97 (ASU, not dBm)")
    assert judged_log(signal="98") == ("signal", "is not between -5 and 97 (ASU, not dBm)")


def test_a_status_is_one_of_four_and_has_no_number_for_unknown():
    reasons = [judged_log(status=status) for status in ("-1", "4", "2147483647", "")]
    assert [reason for _, reason in reasons] == ["is negative", "is more than 3", "is more than 3", "is empty"]


@pytest.mark.parametrize("zeros", [("0", "0"), ("0.0", "-0.000"), ("0.0000001", "0")])
def test_zero_zero_is_no_place(zeros):
    found = judged_log(lat=zeros[0], long=zeros[1])
    assert (found["lat"], found["long"]) == (None, None)


def test_a_place_on_the_equator_or_the_prime_meridian_is_one():
    on_the_equator, at_greenwich = judged_log(lat="0", long="9.4"), judged_log(lat="51.5", long="0.0")
    assert (on_the_equator["lat"], on_the_equator["long"]) == (0, Decimal("9.4"))
    assert (at_greenwich["lat"], at_greenwich["long"]) == (Decimal("51.5"), 0)


NEVER_SET = "is Unix time 0, as of a clock that was never set"


def test_a_clock_that_was_never_set_tells_no_time():
    message = {"timestamp": 0, "id": f"{0:08}-0000-0000-0000-{0:012}", "antenna_id": f"{1:08}-0000-0000-0000-{0:012}"}
    text = json.dumps(message | {"bytes": 1, "app": "x"})
    assert judged(ANTENNA, text, text) == ("timestamp", NEVER_SET)
    assert judged(IPFLOW, ",".join(IPFLOW.column_names), "0,300000,1,2,3,4,5") == (IPFLOW.column_names[0], NEVER_SET)
    call = "5550100,5550199,Kern,Jan 01 1970 00:00:00,Jan 01 1970 00:01:00,CALL,O2"
    assert judged(CDR, ",".join(CDR.column_names), call) == ("StartT", NEVER_SET)


def test_a_call_of_more_than_thirty_days_is_a_reject_that_says_so():
    header, call = ",".join(CDR.column_names), "1,2,Kern,Apr 01 2018 00:00:00,{},CALL,O2"
    assert isinstance(judged(CDR, header, call.format("May 01 2018 00:00:00")), dict)
    reason = "is more than 30 days after StartT"
    assert judged(CDR, header, call.format("May 01 2018 00:00:01")) == ("EndT", reason)
    assert judged(CDR, header, call.format("Jan 01 1970 00:00:00")) == ("EndT", "is before StartT")


MEASURED = ("lat", "long", "signal", "speed", "satellites", "precission")
numbers = st.one_of(
    st.sampled_from(
        [
            "", "0", "0.0", "-0", "-0.0", "-1", "-1.0", "-1.000001", "-5", "-5.000001", "-4.5", "97", "97.000001", "98",
            "98.999999", "99", "99.0", "99.000001", "255", "255.0", "256", "2147483647", "2147483647.0", "2147483648",
            "-85", "90", "90.0000004", "180", "2160", "2160.5", "20037509", "20037509.1", "1e3", "nan", "NULL",
        ]
    ),
    st.decimals(-200, 200, places=3).map(str),
)  # fmt: skip


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as opened:
        yield opened


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.fixed_dictionaries(dict.fromkeys(MEASURED, numbers)), min_size=1, max_size=8))
@example([{"lat": "0", "long": "0.0"}, {"signal": "99"}, {"signal": "-85"}, {"lat": "0"}, {"status": "-1"}])
def test_rows_in_bulk_are_judged_as_they_are_singly(connection, tmp_path, rows):
    lines = [log(**row) for row in rows]
    path = tmp_path / "coverage_data.2023-11-14.1.csv"
    path.write_text("\n".join([HEADER, *lines, ""]))
    defaults = {"date": datetime(2023, 11, 14, tzinfo=UTC).date()}
    singly = [judged(COVERAGE, HEADER, line, defaults) for line in lines]
    Reader(connection).read(path, COVERAGE, defaults=defaults)
    columns = ", ".join(f'"{name}"' for name in COVERAGE.column_names)
    records = connection.execute(f"SELECT {columns} FROM records").fetchall()
    expected = [tuple(one[name] for name in COVERAGE.column_names) for one in singly if isinstance(one, dict)]
    assert Counter(records) == Counter(expected)
    rejects = connection.execute('SELECT "column", reason FROM rejects ORDER BY line').fetchall()
    assert rejects == [one for one in singly if isinstance(one, tuple)]


def figures() -> list[tuple]:
    """The hour's rows of each KPI that has the unknown numbers."""
    rows = []
    for model, value in ((OperatorSignal, "average_signal"), (OperatorGPSPrecision, "average_precision")):
        rows += model.objects.filter(interval=2).values_list(
            "operator", value, "number_of_samples", "number_of_empty_values"
        )
    cells = CoverageGridSignal.objects.filter(interval=2).order_by("rank")
    rows += cells.values_list("grid_cell", "average_signal", "number_of_samples", "number_of_empty_values")
    return rows


FIGURES = [("Op", 20.0, 9, 1), ("Op", 10.0, 9, 1), ("40.10,-3.70", 20.0, 9, 0), ("", None, 0, 1)]


def update() -> None:
    with suppress(SystemExit):
        call_command("update_network_stats", "--rollup-open-hours", verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_unknown_signals_precisions_and_places_are_empty_and_counted(data_dir):
    (data_dir / "coverage_data.2023-11-14.1.csv").write_text(UNKNOWN_LAST)
    update()
    assert figures() == FIGURES
    assert Reject.objects.count() == 0


@pytest.mark.sqlite_alone
@pytest.mark.django_db(transaction=True)
def test_unknown_numbers_in_a_bucket_are_empty_as_well(bucket):
    bucket.put_object(Key="in/coverage_data.2023-11-14.1.csv", Body=UNKNOWN_LAST.encode())
    update()
    assert figures() == FIGURES


def test_the_reference_has_each_range_and_unknown_number_of_the_catalog():
    lines = (Path(settings.BASE_DIR) / "docs" / "reference" / "feeds.md").read_text().splitlines()
    for feed in FEEDS.values():
        for column in feed.columns:
            (line,) = [line for line in _section(lines, feed.name) if line.startswith(f"| `{column.name}` |")]
            assert line.endswith(f"| {column.unit} | {column.type.accepted} | {column.source} |")


def _section(lines: list[str], heading: str) -> list[str]:
    start = lines.index(f"## {heading}") + 1
    return list(itertools.takewhile(lambda line: not line.startswith("## "), lines[start:]))


def test_the_openapi_description_of_an_average_has_the_range_and_the_unknown_numbers(client):
    paths = client.get("/api/schema/?format=json").json()["paths"]
    (described,) = [one["get"]["description"] for path, one in paths.items() if path.endswith("/KPIs/7/")]
    assert described.endswith(f"`signal`: {COVERAGE.column('signal').note}.")
    assert "unknown: empty, -1, 99, 255, 2147483647" in described
