"""Which texts each type of times, numbers and words accepts, its values, and the reasons of those that it refuses."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import duckdb
import pytest

from kpis.catalog.columns import (
    BadValue,
    Boolean,
    Choice,
    ColumnType,
    Date,
    Decimal,
    FormattedTimestamp,
    Integer,
    ISOTimestamp,
    TimeOfDay,
    UnixTimestamp,
)
from kpis.catalog.columns.base import JSONNumber
from kpis.catalog.columns.zones import Zone
from kpis.catalog.feeds import At, BadRow, Column, Feed, Moment, day_and_time, moment_at, moment_of
from kpis.catalog.formats import CSV
from kpis.catalog.intervals import FIVE_MINUTES
from kpis.catalog.result_columns import BadEntry
from kpis.lake.ddl import ATHENA_TYPES, SPARK_TYPES, TRINO_TYPES
from kpis.lake.tables import records_table
from network_analysis_spark import run

MADRID = "Europe/Madrid"
A_SECOND = timedelta(seconds=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def read(of: ColumnType, text: str) -> object:
    """Return a text's value, or the reason why it has none."""
    try:
        return of.parse(text)
    except BadValue as error:
        return str(error)


def json_text(of: ColumnType, value: object) -> str:
    """Return the text of a value in JSON, or the reason why it has none."""
    try:
        return of.text_of_json(value)
    except BadValue as error:
        return str(error)


NO_ISO = "is not a time such as 2026-03-01T12:00:00Z"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-03-01T12:00:00Z", at("2026-03-01 12:00:00")),
        ("2026-03-01 12:00:00", at("2026-03-01 12:00:00")),
        ("2026-03-01T12:00", at("2026-03-01 12:00:00")),
        ("2026-03-01T12:00:00+02:00", at("2026-03-01 10:00:00")),
        ("2026-03-01T12:00:00-0330", at("2026-03-01 15:30:00")),
        ("2026-03-01T12:00+05", at("2026-03-01 07:00:00")),
        ("2026-03-01T12:00:00.5Z", at("2026-03-01 12:00:00.500000")),
        ("2026-03-01 12:00:00,000001", at("2026-03-01 12:00:00.000001")),
        # What is below a microsecond is cut off.
        ("2026-03-01T23:59:59.999999999Z", at("2026-03-01 23:59:59.999999")),
        ("2026-03-01T12:00:00.1234567891Z", NO_ISO),
        ("2026-03-01", NO_ISO),
        ("2026-02-29T00:00:00Z", NO_ISO),
        ("2026-03-01T24:00:00Z", NO_ISO),
        ("2026-03-01T12:00:60Z", NO_ISO),
        ("2026-03-01T12:00:00+24:00", NO_ISO),
        ("2026-03-01T12:00:00+02:60", NO_ISO),
        ("20260301T120000Z", NO_ISO),
        ("1772366400", NO_ISO),
        ("1969-12-31T23:59:59Z", at("1969-12-31 23:59:59")),
        ("9999-12-31T23:59:59-01:00", "lies beyond 9999-12-30"),
        ("0001-01-01T00:00:00+01:00", "lies before the year 1970"),
        ("", "is empty"),
    ],
)
def test_times_of_iso_8601(text, value):
    assert read(ISOTimestamp(), text) == value


def test_a_time_without_an_offset_is_local_and_a_day_alone_is_its_midnight_if_declared():
    in_madrid = ISOTimestamp(zone=MADRID, days=True)
    texts = ["2026-03-01T12:00:00", "2026-07-01T12:00:00", "2026-07-01T12:00:00Z", "2026-07-01"]
    assert [read(in_madrid, text) for text in texts] == [
        at("2026-03-01 11:00:00"),
        at("2026-07-01 10:00:00"),
        at("2026-07-01 12:00:00"),
        at("2026-06-30 22:00:00"),
    ]


# The clocks of Madrid go from 02:00 to 03:00 on 29 March 2026, and from 03:00 back to 02:00 on 25 October.
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("29.03.2026 01:59:59", at("2026-03-29 00:59:59")),
        ("29.03.2026 02:00:00", "does not exist in Europe/Madrid"),
        ("29.03.2026 02:59:59", "does not exist in Europe/Madrid"),
        ("29.03.2026 03:00:00", at("2026-03-29 01:00:00")),
        ("25.10.2026 01:59:59", at("2026-10-24 23:59:59")),
        # It comes twice, and is the first.
        ("25.10.2026 02:00:00", at("2026-10-25 00:00:00")),
        ("25.10.2026 02:59:59", at("2026-10-25 00:59:59")),
        ("25.10.2026 03:00:00", at("2026-10-25 02:00:00")),
        ("1.2.2026 3:04:5", at("2026-02-01 02:04:05")),
        ("2026-03-01 12:00:00", "is not a time such as 31.03.2026 23:59:07"),
    ],
)
def test_local_times_when_clocks_change(text, value):
    assert read(FormattedTimestamp(format="%d.%m.%Y %H:%M:%S", zone=MADRID), text) == value


@pytest.mark.parametrize(
    ("format", "text", "value"),
    [
        ("%m/%d/%Y %I:%M:%S %p", "3/1/2026 12:05:00 am", at("2026-03-01 00:05:00")),
        ("%m/%d/%Y %I:%M:%S %p", "03/01/2026 12:05:00 PM", at("2026-03-01 12:05:00")),
        ("%m/%d/%Y %I:%M:%S %p", "03/01/2026 13:05:00 PM", "is not a time such as 03/31/2026 11:59:07 PM"),
        ("%d-%b-%y %H.%M", "01-mAR-26 23.59", at("2026-03-01 23:59:00")),
        ("%d-%b-%y %H.%M", "01-Mar-70 23.59", at("1970-03-01 23:59:00")),
        ("%d-%b-%y %H.%M", "01-März-26 23.59", "is not a time such as 31-Mar-26 23.59"),
        ("%B %d, %Y", "SEPTEMBER 7, 2026", at("2026-09-07 00:00:00")),
        ("%d/%b/%Y:%H:%M:%S %z", "01/Mar/2026:12:00:00 -0700", at("2026-03-01 19:00:00")),
        ("%d/%b/%Y:%H:%M:%S %z", "01/Mar/2026:12:00:00 Z", at("2026-03-01 12:00:00")),
        ("%Y%m%d%H%M%S%f", "20260301120000123", at("2026-03-01 12:00:00.123000")),
        ("%Y%m%d%H%M%S%f", "2026030112000", "is not a time such as 20260331235907250"),
        ("%Y-%m-%d %% %H", "2026-03-01 % 7", at("2026-03-01 07:00:00")),
        ("%Y-%m-%d %H:%M", "2026-02-30 12:00", "is not a time such as 2026-03-31 23:59"),
    ],
)
def test_times_in_a_format(format, text, value):
    assert read(FormattedTimestamp(format=format), text) == value


@pytest.mark.parametrize(
    ("format", "reason"),
    [
        ("%Y-%j %H", "has %j, which is none of %Y %y %m %b %B %d %H %I %p %M %S %f %z %%"),
        ("%Y-%m-%d %", "ends in a %"),
        ("%Y-%m-%d ", "begins or ends with a space, which fields are read without"),
        ("%Y-%m-%d\n", "holds a control character"),
        ("%d.%m %H:%M", "gives no year"),
        ("%Y %y-%m-%d", "gives the year twice"),
        ("%Y-%m-%d %H:%S", "gives a second without minute"),
        ("%Y-%m-%d %I:%M", "must have both %I and %p, or %H instead"),
        ("%Y-%m-%d %H:%M:%S%f%m", "gives the month twice"),
        ("%Y-%m %H:%M:%S.%f%d", "has a number right after %f, whose digits vary"),
    ],
)
def test_a_format_beyond_the_subset_is_refused_with_the_reason(format, reason):
    with pytest.raises(BadEntry) as error:
        FormattedTimestamp(format=format)
    assert str(error.value) == f"the time format {format!r} {reason}"


@pytest.mark.parametrize("name", ["Europe/Atlantis", "", "../etc", "Europe", "/etc/passwd"])
def test_a_zone_that_does_not_exist_is_refused(name):
    with pytest.raises(BadEntry, match=r"there is no time zone .* name one such as Europe/Madrid, or UTC"):
        ISOTimestamp(zone=name)


@pytest.mark.parametrize(
    ("a_second", "text", "value"),
    [
        (1, "1614600000", at("2021-03-01 12:00:00")),
        (1, "1614600000.25", at("2021-03-01 12:00:00.250000")),
        (1, "1614600000.123456789", at("2021-03-01 12:00:00.123456")),
        (1, "-1.5", at("1969-12-31 23:59:58.500000")),
        (1, "253402300800", "lies beyond 9999-12-30"),
        (1, "9" * 500, "lies beyond 9999-12-30"),
        (1, "-" + "9" * 500, "lies before the year 1970"),
        (1, "1.6e9", "is not a time such as 1772366400"),
        (1_000, "1614600000250", at("2021-03-01 12:00:00.250000")),
        (1_000, "1614600000250.0", "is not a time such as 1772366400000"),
        (1_000_000, "1614600000000001", at("2021-03-01 12:00:00.000001")),
    ],
)
def test_unix_times(a_second, text, value):
    assert read(UnixTimestamp(a_second=a_second), text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3.1656863E+10", 31_656_863_000),
        ("123.0", 123),
        ("123.", 123),
        ("1e3", 1000),
        ("150E-1", 15),
        ("-2.50e1", -25),
        ("0e999999999", 0),
        ("0.00", 0),
        ("9.223372036854775807E+18", 2**63 - 1),
        ("9223372036854775808.0", "is beyond 64 bits"),
        ("1e999999999", "is beyond 64 bits"),
        ("1.5", "is not a whole number"),
        ("15e-1", "is not a whole number"),
        ("1.0000000000000001e3", "is not a whole number"),
        (".5", "is not a whole number"),
        ("1e", "is not a whole number"),
        ("+5", "is not a whole number"),
        ("-101.0", "is less than -100"),
    ],
)
def test_whole_numbers_in_scientific_notation(text, value):
    assert read(Integer(scientific=True, minimum=-100), text) == value
    if "." in text or "e" in text.lower():
        assert read(Integer(minimum=-100), text) == "is not a whole number"


def test_whole_numbers_that_mean_no_value():
    of = Integer(unknown=(-1, 255), maximum=100)
    assert [read(of, text) for text in ("0", "-1", "255", "0255", "-2", "101")] == [
        0, None, None, None, "is negative", "is more than 100",
    ]  # fmt: skip
    assert of.may_be_none
    assert of.accepted == "0 to 100; unknown: -1, 255"


def test_words_for_true_and_false():
    of = Boolean(true=("true", "Y", "sí"), false=("false", "N"))
    texts = ["true", "TRUE", "y", "SÍ", "false", "n", "1", "fal\u017fe"]
    wrong = "is none of true, Y, sí, false, N"
    assert [read(of, text) for text in texts] == [True, True, True, True, False, False, wrong, wrong]
    assert [of.parse(of.text_of_json(value)) for value in (True, False, "y")] == [True, False, True]
    with pytest.raises(BadEntry, match="the word 'y' of a Boolean means both true and false"):
        Boolean(true=("Y",), false=("y",))
    with pytest.raises(BadEntry, match="the word 'false' of a Boolean means both true and false"):
        Boolean(true=("false",), false=("no",))


@pytest.mark.parametrize(
    ("of", "value", "found"),
    [
        (UnixTimestamp(), 1614600000, "1614600000"),
        (UnixTimestamp(), JSONNumber("1614600000.25"), "1614600000.25"),
        (UnixTimestamp(), "1614600000", "1614600000"),
        (Decimal(), JSONNumber("0.1"), "0.1"),
        (Decimal(), " 0.1\t", "0.1"),
        (Decimal(), True, "is not a number"),
        (Integer(), JSONNumber("1.0"), "is not a whole number"),
        (Integer(scientific=True), JSONNumber("1.0"), "1.0"),
        (Integer(scientific=True), "1.0", "is not a whole number"),
        (ISOTimestamp(), 1614600000, "is not a text"),
    ],
)
def test_values_in_json(of, value, found):
    assert json_text(of, value) == found


def test_the_changes_of_a_zone_are_those_of_its_clocks():
    since_2025 = [change for change in Zone(MADRID).changes if change.until >= 20_089 * 86_400][:4]
    epoch = datetime(1970, 1, 1)  # noqa: DTZ001  local times have no zone
    assert [(epoch + one.until * A_SECOND, epoch + one.since * A_SECOND, one.offset) for one in since_2025] == [
        (at("2025-03-30 02:00:00"), at("2025-03-30 03:00:00"), 7200),
        (at("2025-10-26 03:00:00"), at("2025-10-26 03:00:00"), 3600),
        (at("2026-03-29 02:00:00"), at("2026-03-29 03:00:00"), 7200),
        (at("2026-10-25 03:00:00"), at("2026-10-25 03:00:00"), 3600),
    ]


@pytest.mark.parametrize("name", [MADRID, "America/St_Johns", "Africa/Casablanca", "Asia/Kolkata", "Africa/Monrovia"])
def test_a_zones_changes_give_the_offset_of_each_half_hour_near_one_and_of_each_noon(name):
    zone, info = Zone(name), ZoneInfo(name)
    changes, place = zone.changes, 0
    days = {change.until // 86_400 + day for change in changes[1:] for day in (-1, 0, 1)}
    seconds = [
        day * 86_400 + part
        for day in range(100 * 365)
        for part in (range(0, 86_400, 1800) if day in days else [43_200])
    ]
    for second in seconds:
        while place + 1 < len(changes) and second >= changes[place + 1].until:
            place += 1
        when = datetime(1970, 1, 1, tzinfo=info) + second * A_SECOND
        before, after = (when.replace(fold=fold).utcoffset() for fold in (0, 1))
        if after > before:
            assert changes[place].until <= second < changes[place].since, when
        else:
            assert changes[place].since <= second, when
            assert changes[place].offset == before // A_SECOND, when


# ---- the time of a record ----------------------------------------------------------------------------------------

COLUMNS = (
    Column("at", ISOTimestamp(optional=True)),
    Column("day", Date(optional=True)),
    Column("time", TimeOfDay()),
)


def moments(moment: Moment, **record: object) -> tuple[object, object]:
    """Return a record's time by Python, or the reason why it has none, and by SQL."""
    feed = Feed("f", "f", CSV(), ("f",), (".csv",), COLUMNS, (), moment, FIVE_MINUTES)
    record = {"at": None, "day": None, "time": None} | record
    with duckdb.connect() as connection:
        values = ", ".join(f'CAST(${column.name} AS {column.type.sql_type}) AS "{column.name}"' for column in COLUMNS)
        ((by_sql,),) = connection.execute(f"SELECT {moment.sql} FROM (SELECT {values})", record).fetchall()
    try:
        return moment_of(feed, record).replace(tzinfo=None), by_sql
    except BadRow as bad:
        return str(bad), by_sql


def test_a_record_counts_in_the_interval_that_its_time_starts_or_ends():
    five_past = at("2026-03-01 12:05:00")
    just_before = at("2026-03-01 12:04:59.999999")
    assert moments(moment_at("at"), at=five_past) == (five_past, five_past)
    assert moments(moment_at("at", At.END), at=five_past) == (just_before, just_before)
    start = FIVE_MINUTES.floor(just_before.replace(tzinfo=UTC))
    assert start == datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_time_that_was_never_set_says_so_at_either_end():
    never, reason = at("1970-01-01 00:00:00"), "at is Unix time 0, as of a clock that was never set"
    assert moments(moment_at("at"), at=never)[0] == reason
    assert moments(moment_at("at", At.END), at=never)[0] == reason
    assert moments(moment_at("at"), at=at("1969-12-31 23:59:59"))[0] == "at lies before the year 1970"
    assert moments(moment_at("at"), at=at("9999-12-31 00:00:00"))[0] == "at lies beyond 9999-12-30"
    assert moments(moment_at("at")) == ("at is empty", None)


def test_a_day_and_a_time_of_day_are_local():
    moment = day_and_time("day", "time", MADRID)
    found = {
        day: moments(moment, day=date.fromisoformat(day), time=time(2, 30))
        for day in ("2026-07-01", "2026-10-25", "2026-03-29")
    }
    assert found == {
        "2026-07-01": (at("2026-07-01 00:30:00"),) * 2,
        "2026-10-25": (at("2026-10-25 00:30:00"),) * 2,
        "2026-03-29": ("time does not exist in Europe/Madrid", None),
    }
    ends = day_and_time("day", "time", MADRID, At.END)
    assert moments(ends, day=date(2026, 7, 1), time=time(2)) == (at("2026-06-30 23:59:59.999999"),) * 2
    assert moments(moment, time=time(2))[0] == "day is empty, and neither the file's name nor --date gives the day"


def test_other_engines_have_a_type_for_each_columns_values():
    types = {type_.sql_type.replace(", ", ",") for type_ in all_types(ColumnType)}
    # The lake keeps times of day as text.
    for names in (ATHENA_TYPES, SPARK_TYPES, TRINO_TYPES, run.SPARK_TYPES):
        assert types - {"TIME"} <= set(names)


def test_the_lake_says_what_is_kept_and_not_how_files_write_it():
    columns = (
        Column("at", FormattedTimestamp(format="%d.%m.%Y", zone=MADRID)),
        Column("yes", Boolean(true=("J",), false=("N",))),
        Column("n", Integer(maximum=9), "bytes"),
    )
    feed = Feed("lake_notes", "f", CSV(), ("f",), (".csv",), columns, (), moment_at("at"), FIVE_MINUTES)
    found = {column.name: (column.type, column.unit) for column in records_table(feed).columns}
    assert found == {
        "interval_start": ("TIMESTAMP", "start of the interval, UTC"),
        "at": ("TIMESTAMP", "UTC"),
        "yes": ("BOOLEAN", ""),
        "n": ("BIGINT", "bytes; 0 to 9"),
        "batch": ("VARCHAR", "key of the batch"),
    }
    assert columns[0].note == "as `31.03.2026`, Europe/Madrid"


def all_types(of: type[ColumnType]) -> Iterator[ColumnType]:
    """Yield one of each type that there is."""
    for type_ in of.__subclasses__():
        yield from all_types(type_)
        if not inspect.isabstract(type_):
            yield type_(words=("a",)) if type_ is Choice else type_()
    if of is Integer:
        yield Integer(bits=32)
