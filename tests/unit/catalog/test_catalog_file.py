"""Catalog files: what they declare, and the one message, with file and line, of each that cannot be used."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tomllib
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from jsonschema import Draft202012Validator

from kpis.catalog import columns, measures
from kpis.catalog.checks import column_types
from kpis.catalog.dimensions import Dimension, GridCell
from kpis.catalog.feeds import BadRow
from kpis.catalog.file.entries import json_schema
from kpis.catalog.file.errors import CatalogError
from kpis.catalog.file.load import load, parsed
from kpis.catalog.file.source import parse
from kpis.catalog.formats import CSV, Header, JSONLines, Parquet
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR, ONE_MINUTE
from kpis.catalog.registry import DECLARED_FEEDS, FEED_FILES, FEEDS, KPIS
from kpis.formats.bounds import FileError
from kpis.formats.file_formats import row_format_of

GOOD = """\
[feeds.probe]
description = "Probe counters: bytes per cell"
files = ["probe_*.csv"]
format = {type = "csv"}
interval = "1m"
time = {column = "begin"}

[feeds.probe.columns]
begin = {type = "time", format = "unix_ms"}
cell = {type = "integer", minimum = 1, bits = 32}
owner = {type = "text", optional = true, longest = 40, personal = true}
bytes = {type = "integer", unit = "bytes", header = ["Bytes", "Octets"]}
signal = {type = "decimal", optional = true, minimum = -140, maximum = 0, unknown = [99]}
kind = {type = "choice", words = ["VOICE", "DATA"]}

[[feeds.probe.checks]]
column = "bytes"
holds = "bytes % 8 = 0"
reason = "is no multiple of 8"

[feeds.probe.derived]
kilobytes = {value = "bytes // 1000", unit = "kB"}

[kpis.CellVolume]
id = 1001
feed = "probe"
description = "Cells by bytes"
by = ["cell", {name = "kind"}]
measure = {type = "sum", columns = ["bytes"], name = "total_bytes"}
unit = "bytes"
filter = "kilobytes > 0 and kind = 'DATA'"
lengths = ["1h", "1m", "5m"]
top = true
"""

LOGS = """\
[feeds.logs]
description = "Drive tests"
files = ["*.drive", "log_*"]
endings = [".log"]
format = {type = "json_lines"}
time = {day = "day", clock = "clock"}
day_in_name = '_(?P<day>\\d\\d)(?P<month>\\d\\d)(?P<year>\\d{4})\\.'
archive = true

[feeds.logs.columns]
day = {type = "date", optional = true, required = false}
clock = {type = "time_of_day"}
lat = {type = "decimal", minimum = -90, maximum = 90}
lon = {type = "decimal", minimum = -180, maximum = 180}
code = {type = "postal_code", optional = true}
device = {type = "uuid"}

[kpis.PlaceDevices]
id = 1002
feed = "logs"
description = "Places by devices"
by = [{name = "place", grid = ["lat", "lon"], cells_per_degree = 10}]
measure = {type = "count_distinct", column = "device", name = "devices"}
unit = "devices"

[kpis.AntennaMessages]
id = 1003
feed = "antenna"
description = "Antennas by messages"
by = ["antenna_id"]
measure = {type = "count", name = "messages", share = "share"}
unit = "messages"
"""


def declared(text: str, *others: str):
    sources = [
        parse(one.encode(errors="surrogateescape"), Path(f"{number}.toml"))
        for number, one in enumerate((text, *others), 1)
    ]
    return parsed(sources, FEEDS, KPIS.values())


def test_what_is_derived_from_personal_data_is_personal():
    more = 'kilobytes = {value = "bytes // 1000", unit = "kB"}\nwho = {value = "lower(owner)"}\nagain = {value = "who"}'
    text = GOOD.replace('kilobytes = {value = "bytes // 1000", unit = "kB"}', more)
    feed = declared(text).feeds["probe"]
    assert [column.name for column in feed.derived if column.is_personal] == ["who", "again"]
    with pytest.raises(CatalogError, match="uses the personal column again: the KPI must have personal = true"):
        declared(text.replace('["cell", ', '["again", '))


def test_a_feed_is_what_its_table_says():
    feed = declared(GOOD).feeds["probe"]
    assert (feed.name, feed.description, feed.format) == ("probe", "Probe counters: bytes per cell", CSV())
    assert (feed.file_names, feed.endings, feed.interval) == (("probe_*.csv",), (".csv", ".txt"), ONE_MINUTE)
    assert (feed.is_archived, feed.moment.column) == (False, "begin")
    assert [column.name for column in feed.columns] == ["begin", "cell", "owner", "bytes", "signal", "kind"]
    assert feed.column("cell").type == columns.Integer(minimum=1, bits=32)
    assert feed.column("owner").type == columns.Text(optional=True, longest=40)
    assert feed.column("owner").is_personal
    assert feed.column("bytes").type == columns.Integer(minimum=-(2**63))
    assert (feed.column("bytes").unit, feed.column("bytes").headers) == ("bytes", ("Bytes", "Octets"))
    assert feed.column("signal").type == columns.Decimal(optional=True, minimum=-140, maximum=0, unknown=(99,))
    assert feed.column("kind").type == columns.Choice(words=("VOICE", "DATA"))
    moment = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
    assert feed.moment.of({"begin": feed.column("begin").type.parse("1772366400500")}) == moment


DEFAULTS = """
owner = {type = "text", default = "it's none", personal = true}
retries = {type = "integer", default = 0, unknown = [255], required = false}
signal = {type = "decimal", minimum = -141, maximum = 0, unknown = [99], default = -140.5}
kind = {type = "choice", words = ["VOICE", "DATA"], default = "data"}
code = {type = "postal_code", default = "08001.0", required = false}
roaming = {type = "boolean", true = ["Y"], false = ["N"], default = false}
"""


def with_defaults(format: str = "csv"):
    """The probe's feed, with defaults."""
    kept = [
        line
        for line in GOOD.replace('"csv"', f'"{format}"').splitlines()
        if not line.startswith(("owner =", "signal =", "kind ="))
    ]
    kept.insert(kept.index("[[feeds.probe.checks]]"), DEFAULTS)
    text = "\n".join(kept).replace(" and kind = 'DATA'", "")
    return declared(text).feeds["probe"]


def test_a_missing_value_becomes_the_columns_default():
    feed = with_defaults()
    header = b"begin,cell,bytes,owner,signal,kind,roaming"
    expected = {
        "begin": datetime(2026, 3, 1, 12),  # noqa: DTZ001  UTC, without saying so
        "cell": 7,
        "bytes": 8,
        "owner": "it's none",
        "retries": 0,
        "signal": Decimal("-140.5"),
        "kind": "DATA",
        "code": "08001",
        "roaming": False,
    }
    rows = row_format_of(feed, header, {})
    assert rows.record("1772366400000,7,8,,,,") == expected
    assert rows.record("1772366400000,7,8,x,99,voice,Y") == expected | {
        "owner": "x", "kind": "VOICE", "roaming": True
    }  # fmt: skip
    lines = row_format_of(with_defaults("json_lines"), b"", {})
    given = '{"begin": 1772366400000, "cell": 7, "Bytes": 8, "owner": null, "signal": "", "kind": null, "roaming": null'
    assert lines.record(given + "}") == expected
    assert lines.record(given + ', "retries": 255, "code": null}') == expected
    assert lines.record(given + ', "retries": 3, "code": "1"}') == expected | {"retries": 3, "code": "1"}
    with pytest.raises(BadRow, match="roaming is missing"):
        lines.record(given.partition(', "roaming"')[0] + "}")
    with pytest.raises(FileError, match="has no column owner in its header"):
        row_format_of(feed, header.replace(b"owner", b"other"), {})


def test_another_default_makes_other_records():
    first, second = (
        declared(GOOD.replace("bits = 32", f"bits = 32, default = {number}")).definitions[0] for number in (1, 2)
    )
    assert (first.records == second.records, first.notes == second.notes) == (False, True)


def test_a_column_with_a_default_always_has_a_value():
    feed = with_defaults()
    assert [column.name for column in feed.columns if column.type.may_be_none] == []
    assert feed.column("signal").note == "-141 to 0; unknown: 99; where it is missing: -140.5"
    assert feed.column("roaming").note == "true: Y; false: N; where it is missing: N"
    assert [name for name, of in column_types(feed.columns).items() if of.may_be_none] == []
    # Whole numbers make groups if each record has one.
    kpi = 'by = ["retries", "kind"]\nmeasure = {type = "count_distinct", column = "owner", name = "owners"}'
    text = GOOD.replace("owner = {type", DEFAULTS.splitlines()[2] + "\nowner = {type").replace(
        'type = "text", optional = true', 'type = "text", default = "none"'
    )
    text = text.replace('by = ["cell", {name = "kind"}]', kpi.splitlines()[0])
    text = re.sub("measure = .*", kpi.splitlines()[1], text).replace("top = true", "personal = true")
    retries, _, owners = declared(text).kpis[1001].result_columns
    assert (retries.optional, owners.at_least) == (False, 1)


def test_a_feed_takes_the_day_from_a_files_name():
    feed = declared(LOGS).feeds["logs"]
    assert (feed.format, feed.endings, feed.interval, feed.is_archived) == (JSONLines(), (".log",), FIVE_MINUTES, True)
    assert feed.date_in("log_01032026.log") == date(2026, 3, 1)
    assert feed.date_in("log_32032026.log") is None
    assert feed.date_in("log.log") is None
    assert feed.date_in("l\udcffg_01032026.log") == date(2026, 3, 1)


SLOW = r"(?P<year>(a+)+)(?P<month>(a?){200})(?P<day>(a|aa)*)b"


def test_a_search_for_the_day_takes_no_longer_than_the_name_is_long():
    feed = declared(LOGS.replace(r"_(?P<day>\d\d)(?P<month>\d\d)(?P<year>\d{4})\.", SLOW)).feeds["logs"]
    # With backtracking, it never ends.
    assert feed.date_in("a" * 250) is None


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("[", "missing ]: ["),
        ("(?=2026)(?P<year>2026)", "invalid perl operator: (?="),
        ("((a{100}){100}){100}", "invalid repetition size: {100}"),
    ],
)
def test_a_regular_expression_that_may_take_long_is_refused(pattern, reason):
    with pytest.raises(CatalogError, match="is not a regular expression of RE2: ") as error:
        declared(LOGS.replace(r"_(?P<day>\d\d)(?P<month>\d\d)(?P<year>\d{4})\.", pattern))
    assert str(error.value).endswith(reason)


def test_a_feed_may_be_parquet_whose_files_are_not_packed():
    feed = declared(GOOD.replace('"csv"', '"parquet"').replace("probe_*.csv", "probe_*")).feeds["probe"]
    assert (feed.format, feed.endings, feed.is_streamable) == (Parquet(), (".parquet",), False)


def test_a_feed_has_checks_and_derived_columns():
    feed = declared(GOOD).feeds["probe"]
    (check,) = feed.checks
    assert (check.column, check.reason) == ("bytes", "is no multiple of 8")
    assert [check.holds({"bytes": bytes_}) for bytes_ in (16, 17)] == [True, False]
    assert feed.column_names == ("begin", "cell", "owner", "bytes", "signal", "kind")
    assert feed.column("kilobytes").unit == "kB"
    assert feed.with_derived({"bytes": 2999})["kilobytes"] == 2


@pytest.mark.parametrize(
    ("keys", "text", "moment"),
    [
        ('format = "unix_us"', "1772366400000001", datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC)),
        ('format = "iso"', "2026-03-01T14:00:00+02:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ('format = "iso", zone = "Asia/Tokyo"', "2026-03-01 21:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ('format = "iso", days = true, zone = "Asia/Tokyo"', "2026-03-01", datetime(2026, 2, 28, 15, tzinfo=UTC)),
        ('format = "%d.%m.%y %H:%M", zone = "Europe/Madrid"', "01.03.26 13:00", datetime(2026, 3, 1, 12, tzinfo=UTC)),
    ],
)
def test_a_records_time_is_read_in_its_format_and_zone(keys: str, text: str, moment: datetime):
    feed = declared(GOOD.replace('format = "unix_ms"', keys)).feeds["probe"]
    assert feed.moment.of({"begin": feed.column("begin").type.parse(text)}) == moment


def test_a_time_may_be_the_end_of_the_interval_that_a_record_is_about():
    feed = declared(GOOD.replace('{column = "begin"}', '{column = "begin", at = "end"}')).feeds["probe"]
    moment = feed.moment.of({"begin": feed.column("begin").type.parse("1772366400000")})
    assert moment == datetime(2026, 3, 1, 11, 59, 59, 999_999, tzinfo=UTC)


def test_a_kpi_is_what_its_table_says():
    kpi = declared(GOOD).kpis[1001]
    assert (kpi.name, kpi.description, kpi.feed.name, kpi.unit) == ("CellVolume", "Cells by bytes", "probe", "bytes")
    assert kpi.by == (Dimension("cell", "cell"), Dimension("kind", "kind"))
    assert kpi.measure == measures.Sum("total_bytes", columns=("bytes",))
    records = [{"kilobytes": 1, "kind": "DATA"}, {"kilobytes": 0, "kind": "DATA"}, {"kilobytes": 1, "kind": "SMS"}]
    assert [kpi.filter.of(record) for record in records] == [True, False, False]
    assert (kpi.lengths, kpi.top, kpi.personal) == ((ONE_MINUTE, FIVE_MINUTES, ONE_HOUR), True, False)


def test_a_kpi_groups_by_the_cells_of_a_grid_and_counts_a_built_in_feed():
    kpis = declared(LOGS).kpis
    assert kpis[1002].by == (GridCell("place", "lat", longitude="lon", per_degree=10),)
    assert kpis[1002].measure == measures.CountDistinct("devices", column="device")
    assert kpis[1003].feed is FEEDS["antenna"]
    assert kpis[1003].measure == measures.Count("messages", share="share")


def test_files_may_refer_to_each_others_feeds():
    feed, kpi = GOOD.split("[kpis", 1)
    assert declared("[kpis" + kpi, feed).kpis[1001].feed.name == "probe"


def test_a_csv_feed_has_a_dialect():
    keys = """"csv", header = "none", delimiter = ";", quote = "'", decimal = ",", thousands = ".",
        encoding = "utf-16", comment = "#", preamble = 2, missing = ["NULL", "-"]"""
    text = GOOD.replace('"csv"', " ".join(keys.split()))
    assert declared(text).feeds["probe"].format == CSV(
        Header.NONE, ";", "'", ",", ".", "utf-16", comment="#", preamble=2, missing=("NULL", "-")
    )
    assert declared(GOOD.replace('"csv"', '"csv", header = "optional"')).feeds["probe"].format == CSV(Header.OPTIONAL)


SUM = '{type = "sum", columns = ["bytes"], name = "total_bytes"}'
RATIO = (
    '{type = "ratio", name = "rate", numerator = "good", denominator = "all", '
    """terms = [{name = "all"}, {name = "good", where = "kind = 'DATA'"}]}"""
)


def at(line: int, key: str, problem: str) -> str:
    return f"1.toml:{line}: {key} {problem}" if key else f"1.toml:{line}: {problem}"


COLUMN = "feeds.probe.columns.{}".format
KPI = "kpis.CellVolume.{}".format
NAMES = "must be lower-case letters and digits, with single _ between them"
EACH = "each row also has id, interval_start_timestamp, interval_end_timestamp, interval, rank"
TYPES = "integer, decimal, text, choice, postal_code, uuid, date, time_of_day, boolean, time"

# What is replaced in GOOD, by what, and the message.
BROKEN = {
    "syntax": ('"integer", unit', '"integer" unit', at(12, "", "is not TOML: unclosed inline table")),
    "a key twice": ("id = 1001", "id = 1001\nid = 1002", at(26, "", "is not TOML: cannot overwrite a value")),
    "not UTF-8": ("Cells by", "Cells \udcff", at(27, "", "is not valid UTF-8: save the file as UTF-8")),
    "an unknown section": (
        "[feeds.probe]",
        "[feed.probe]",
        at(1, "feed", "is not a key of this table; did you mean feeds?"),
    ),
    "a list of feeds": (
        "[feeds.probe]\n",
        "[[feeds]]\n",
        at(1, "feeds", "is a list of tables: give each table its name, as in [feeds.NAME]"),
    ),
    "a feed's name": ("feeds.probe", "feeds.Probe", at(1, "feeds.Probe", NAMES)),
    "a long feed's name": (
        "feeds.probe",
        "feeds." + "p" * 41,
        at(1, "feeds." + "p" * 41, "has 41 characters; it can have 40 at most"),
    ),
    "an unknown key": (
        "files =",
        "filess =",
        at(3, "feeds.probe.filess", "is not a key of this table; did you mean files?"),
    ),
    "no files": ('files = ["probe_*.csv"]\n', "", at(1, "feeds.probe", "lacks the key files")),
    "empty files": ('["probe_*.csv"]', "[]", at(3, "feeds.probe.files", "is empty")),
    "a text of files": (
        '["probe_*.csv"]',
        '"probe_*.csv"',
        at(3, "feeds.probe.files", "must be a list in [ ], not a text in quotes"),
    ),
    "a built-in pattern": (
        '"probe_*.csv"',
        '"cdr_data.*"',
        at(3, "feeds.probe.files[1]", "is a pattern of the feed cdr too"),
    ),
    "a format": (
        '"csv"',
        '"cvs"',
        at(4, "feeds.probe.format.type", "must be one of csv, json_lines, parquet, avro, plugin; it is 'cvs'"),
    ),
    "a format's option": (
        '"csv"}',
        '"csv", delimeter = ";"}',
        at(4, "feeds.probe.format.delimeter", "is not a key of this table; did you mean delimiter?"),
    ),
    "a header": (
        '"csv"}',
        '"csv", header = "maybe"}',
        at(4, "feeds.probe.format.header", "must be one of none, optional, required; it is 'maybe'"),
    ),
    "no format": ('format = {type = "csv"}\n', "", at(1, "feeds.probe", "lacks the key format")),
    "an interval": ('"1m"\n', '"7m"\n', at(5, "feeds.probe.interval", "must be one of 15m, 1h, 1m, 5m; it is '7m'")),
    "an interval's type": (
        '"1m"\n',
        "1\n",
        at(5, "feeds.probe.interval", "must be a text in quotes, not a whole number"),
    ),
    "no time": (
        '{column = "begin"}',
        "{}",
        at(6, "feeds.probe.time", "needs the key column, or day and clock together"),
    ),
    "two times": (
        '{column = "begin"}',
        '{column = "begin", day = "x", clock = "y"}',
        at(6, "feeds.probe.time", "needs the key column, or day and clock together"),
    ),
    "half a time": (
        '{column = "begin"}',
        '{day = "begin"}',
        at(6, "feeds.probe.time", "needs the key column, or day and clock together"),
    ),
    "a time's column": (
        '{column = "begin"}',
        '{column = "beginn"}',
        at(6, "feeds.probe.time.column", "names no column: did you mean begin?"),
    ),
    "a time that is none": (
        '{column = "begin"}',
        '{column = "cell"}',
        at(6, "feeds.probe.time.column", "names cell, which is no column of type time"),
    ),
    "a day that is none": (
        '{column = "begin"}',
        '{day = "begin", clock = "cell"}',
        at(6, "feeds.probe.time.day", "names begin, which is no column of type date"),
    ),
    "a day in the name alone": (
        "[feeds.probe.columns]",
        "day_in_name = 'x'\n[feeds.probe.columns]",
        at(8, "feeds.probe.day_in_name", "needs time.day: the column whose place the day in the name takes"),
    ),
    "a time's format": (
        '"unix_ms"',
        '"%Q"',
        at(
            9,
            COLUMN("begin"),
            "cannot be used: the time format '%Q' has %Q, which is none of %Y %y %m %b %B %d %H %I %p %M %S %f %z %%",
        ),
    ),
    "a time's zone": (
        '"unix_ms"',
        '"iso", zone = "Mars"',
        at(9, COLUMN("begin"), "cannot be used: there is no time zone 'Mars': name one such as Europe/Madrid, or UTC"),
    ),
    "a zone of Unix time": (
        '"unix_ms"',
        '"unix_ms", zone = "Asia/Tokyo"',
        at(9, COLUMN("begin") + ".zone", "is for local times, and Unix time is none"),
    ),
    "days in another format": (
        '"unix_ms"',
        '"%Y-%m-%d", days = true',
        at(9, COLUMN("begin") + ".days", 'is for format = "iso": another format without a time of day is its midnight'),
    ),
    "a zone at the wrong place": (
        '{column = "begin"}',
        '{column = "begin", zone = "Asia/Tokyo"}',
        at(6, "feeds.probe.time.zone", "is for day and clock: give the zone to the column begin"),
    ),
    "words of a boolean": (
        'type = "choice", words = ["VOICE", "DATA"]',
        'type = "boolean", true = ["x"], false = ["X"]',
        at(14, COLUMN("kind"), "cannot be used: the word 'x' of a Boolean means both true and false"),
    ),
    "a check's column": (
        'column = "bytes"\n',
        'column = "byte"\n',
        at(17, "feeds.probe.checks[1].column", "names no column: did you mean bytes?"),
    ),
    "a check's key": (
        "holds =",
        "must =",
        at(18, "feeds.probe.checks[1].must", "is not a key of this table; it can have column, holds, reason"),
    ),
    "a check's condition": (
        "bytes % 8 = 0",
        "bytes % 8",
        at(
            18,
            "feeds.probe.checks[1].holds",
            "is no expression that can be computed; at character 1: this is a number, but "
            "a condition is true or false: compare it, as in ... > 0",
        ),
    ),
    "a check over no column": (
        "bytes % 8 = 0",
        "byte % 8 = 0",
        at(
            18,
            "feeds.probe.checks[1].holds",
            "is no expression that can be computed; at character 1: there is no column byte; did you mean bytes?",
        ),
    ),
    "a derived column's name": (
        "kilobytes = {",
        "cell = {",
        at(22, "feeds.probe.derived.cell", "is the name of a column of the files too"),
    ),
    "a derived column's value": (
        "bytes // 1000",
        "bytes //",
        at(
            22,
            "feeds.probe.derived.kilobytes.value",
            "is no expression that can be computed; at character 9: the expression ends too early: a value is missing",
        ),
    ),
    "a filter": (
        "kind = 'DATA'",
        "kind = 3",
        at(
            31,
            KPI("filter"),
            "is no expression that can be computed; at character 26: a text cannot be compared with a number",
        ),
    ),
    "a delimiter": (
        '"csv"}',
        '"csv", delimiter = ";;"}',
        at(4, "feeds.probe.format", "cannot be used: the delimiter ';;' is not a single character"),
    ),
    "marks of numbers": (
        '"csv"}',
        '"csv", delimiter = ";", decimal = ",", thousands = ","}',
        at(4, "feeds.probe.format", "cannot be used: ',' is both the decimal mark and the thousands separator"),
    ),
    "an encoding": (
        '"csv"}',
        '"csv", encoding = "ebcdic"}',
        at(
            4,
            "feeds.probe.format.encoding",
            "must be one of cp1252, latin-1, utf-16, utf-16-be, utf-16-le, utf-8; it is 'ebcdic'",
        ),
    ),
    "a word for none": (
        '"csv"}',
        '"csv", missing = ["NULL", "null"]}',
        at(4, "feeds.probe.format", "cannot be used: the word 'null' for no value comes twice"),
    ),
    "a header's type": (
        '["Bytes", "Octets"]',
        "3",
        at(12, COLUMN("bytes.header"), "must be a text in quotes or a list in [ ], not a whole number"),
    ),
    "a header twice": (
        '["Bytes", "Octets"]',
        '["Bytes", "bytes"]',
        at(12, COLUMN("bytes"), "cannot be used: 'bytes' comes twice among its names in files"),
    ),
    "another's header": (
        '["Bytes", "Octets"]',
        '"Cell"',
        at(1, "feeds.probe", "cannot be used: 'Cell' names both cell and bytes in files"),
    ),
    "another section": (
        "[feeds.probe.columns]",
        "[feeds.probe.columns]\n[x]",
        at(9, "x", "is not a key of this table; it can have feeds, kpis, references"),
    ),
    "a column's name": ("cell = {", "Cell = {", at(10, COLUMN("Cell"), NAMES)),
    "a column that is none": (
        '{type = "text", optional = true, longest = 40, personal = true}',
        "3",
        at(11, COLUMN("owner"), "must be a table, not a whole number"),
    ),
    "a column's type": ('"text"', '"txt"', at(11, COLUMN("owner.type"), f"must be one of {TYPES}; it is 'txt'")),
    "no type": ('type = "text", ', "", at(11, COLUMN("owner"), "lacks the key type")),
    "a column's key": (
        "longest",
        "longst",
        at(11, COLUMN("owner.longst"), "is not a key of this table; did you mean longest?"),
    ),
    "a length of texts": ("longest = 40", "longest = 0", at(11, COLUMN("owner.longest"), "must be 1 or more; it is 0")),
    "a size": ("bits = 32", "bits = 16", at(10, COLUMN("cell.bits"), "must be one of 32, 64; it is 16")),
    "bounds": (
        "minimum = 1,",
        "minimum = 1, maximum = 0,",
        at(10, COLUMN("cell.maximum"), "is less than the minimum, 1"),
    ),
    "bounds of decimals": (
        "maximum = 0,",
        "maximum = -150,",
        at(13, COLUMN("signal.maximum"), "is less than the minimum, -140"),
    ),
    "a bound": (
        "minimum = 1,",
        'minimum = "1",',
        at(10, COLUMN("cell.minimum"), "must be a whole number, not a text in quotes"),
    ),
    "words": (
        '["VOICE", "DATA"]',
        '["VOICE", "voice"]',
        at(14, COLUMN("kind.words"), "has a word twice; case makes no difference"),
    ),
    "no words": ('["VOICE", "DATA"]', "[]", at(14, COLUMN("kind.words"), "is empty")),
    "a word": (
        '["VOICE", "DATA"]',
        '["VOICE", ""]',
        at(14, COLUMN("kind.words[2]"), "must be one line that is not blank"),
    ),
    "a flag": (
        "optional = true, longest",
        "optional = 1, longest",
        at(11, COLUMN("owner.optional"), "must be true or false, not a whole number"),
    ),
    "a default beside optional": (
        "longest = 40",
        'default = "none", longest = 40',
        at(
            11,
            COLUMN("owner.optional"),
            "says that a record may have no value, but default gives it one: leave one of them out",
        ),
    ),
    "a default that is less": (
        "minimum = 1,",
        "minimum = 1, default = 0,",
        at(10, COLUMN("cell.default"), "is no value of the column: 0 is less than 1"),
    ),
    "a default of too many bits": (
        "minimum = 1,",
        "minimum = 1, default = 2147483648,",
        at(10, COLUMN("cell.default"), "is no value of the column: 2147483648 is beyond 32 bits"),
    ),
    "a default that is none of the words": (
        '"DATA"]}',
        '"DATA"], default = "SMS"}',
        at(14, COLUMN("kind.default"), "is no value of the column: 'SMS' is none of VOICE, DATA"),
    ),
    "a default that means no value": (
        "optional = true, minimum = -140, maximum = 0",
        "default = 99.0, minimum = -140, maximum = 100",
        at(13, COLUMN("signal.default"), "is 99.0, which means no value by the column's unknown"),
    ),
    "a default that is no number": (
        "optional = true, minimum = -140",
        "default = nan, minimum = -140",
        at(13, COLUMN("signal.default"), "is no value of the column: nan is not a decimal number"),
    ),
    "a default that is too long": (
        "optional = true, longest = 40",
        'default = "unknown", longest = 6',
        at(11, COLUMN("owner.default"), "is no value of the column: 'unknown' is longer than 6 characters"),
    ),
    "a default that is empty": (
        "optional = true, longest = 40",
        'default = "", required = false, longest = 40',
        at(11, COLUMN("owner.default"), "is no value of the column: '' is empty"),
    ),
    "a default with a space": (
        "optional = true, longest = 40",
        'default = " x", longest = 40',
        at(
            11,
            COLUMN("owner.default"),
            "is no value of the column: ' x' begins or ends with a space, which fields are read without",
        ),
    ),
    "a default of another type": (
        "minimum = 1,",
        "minimum = 1, default = true,",
        at(10, COLUMN("cell.default"), "must be a whole number, not true or false"),
    ),
    "a default of a time": (
        'format = "unix_ms"',
        'format = "unix_ms", default = 1772366400000',
        at(
            9,
            COLUMN("begin.default"),
            "is not a key of this table; it can have header, unit, optional, required, personal, source, format, zone, days",
        ),
    ),
    "a KPI's name": (
        "kpis.CellVolume",
        "kpis.cell_volume",
        at(24, "kpis.cell_volume", "must be a capital letter, then letters and digits"),
    ),
    "a built-in KPI's name": (
        "kpis.CellVolume",
        "kpis.OperatorSIGNAL",
        at(24, "kpis.OperatorSIGNAL", "is the name of another KPI, apart from case: choose another"),
    ),
    "a list of KPIs": (
        "[kpis.CellVolume]",
        "[[kpis]]",
        at(24, "kpis", "is a list of tables: give each table its name, as in [kpis.NAME]"),
    ),
    "an id": ("id = 1001", "id = 12", at(25, KPI("id"), "must be 1000 or more; it is 12")),
    "a large id": ("id = 1001", "id = 99999", at(25, KPI("id"), "must be 32767 or less; it is 99999")),
    "an id's type": ("id = 1001", 'id = "1001"', at(25, KPI("id"), "must be a whole number, not a text in quotes")),
    "no id": ("id = 1001\n", "", at(24, "kpis.CellVolume", "lacks the key id")),
    "a KPI's feed": ('feed = "probe"', 'feed = "prob"', at(26, KPI("feed"), "names no feed: did you mean probe?")),
    "a description": ('"Cells by bytes"', '" "', at(27, KPI("description"), "must be one line that is not blank")),
    "a long description": (
        "Cells by bytes",
        "x" * 201,
        at(27, KPI("description"), "has 201 characters; it can have 200 at most"),
    ),
    "no dimension": ('["cell", {name = "kind"}]', "[]", at(28, KPI("by"), "is empty")),
    "a dimension": ('["cell", ', '["cel", ', at(28, KPI("by[1]"), "names no column: did you mean cell?")),
    "a dimension's column": (
        '{name = "kind"}',
        '{name = "sort"}',
        at(28, KPI("by[2].column"), "names no column: there are begin, cell, owner, bytes, signal, kind, kilobytes"),
    ),
    "a dimension's key": (
        '{name = "kind"}',
        '{name = "kind", fold = true}',
        at(
            28,
            KPI("by[2].fold"),
            "is not a key of this table; it can have name, column, ignore_case, grid, cells_per_degree",
        ),
    ),
    "a dimension of decimals": (
        '["cell", ',
        '["signal", ',
        at(
            24,
            "kpis.CellVolume",
            "cannot be used: dimension signal: the column signal is a Decimal, which names no groups",
        ),
    ),
    "a folded number": (
        '{name = "kind"}',
        '{name = "cell2", column = "cell", ignore_case = true}',
        at(
            24,
            "kpis.CellVolume",
            "cannot be used: dimension cell2 is folded, but the column cell (Integer) has no texts",
        ),
    ),
    "a dimension twice": (
        '{name = "kind"}',
        '"cell"',
        at(24, "kpis.CellVolume", f"cannot be used: it has two columns cell; {EACH}"),
    ),
    "a personal dimension": (
        '["cell", ',
        '["owner", ',
        at(28, KPI("by[1]"), "uses the personal column owner: the KPI must have personal = true"),
    ),
    "a grid": (
        '{name = "kind"}',
        '{name = "place", grid = ["signal"]}',
        at(28, KPI("by[2].grid"), "needs two columns, latitude and longitude, and neither column nor ignore_case"),
    ),
    "a measure": (
        '"sum"',
        '"total"',
        at(
            29,
            KPI("measure.type"),
            "must be one of sum, count, count_distinct, mean, minimum, maximum, ratio, standard_deviation, last, "
            "percentile, plugin; it is 'total'",
        ),
    ),
    "a measure's key": (
        'columns = ["bytes"]',
        'column = "bytes"',
        at(29, KPI("measure.column"), "is not a key of this table; did you mean columns?"),
    ),
    "a measure's column": (
        '["bytes"]',
        '["byte"]',
        at(29, KPI("measure.columns[1]"), "names no column: did you mean bytes?"),
    ),
    "a sum of decimals": (
        'columns = ["bytes"]',
        'columns = ["signal"]',
        at(24, "kpis.CellVolume", "cannot be used: total_bytes is a sum of signal: not all of them are whole numbers"),
    ),
    "a measure's name": ('"total_bytes"', '"Total"', at(29, KPI("measure.name"), NAMES)),
    "a measure's taken name": (
        '"total_bytes"',
        '"rank"',
        at(24, "kpis.CellVolume", f"cannot be used: it has two columns rank; {EACH}"),
    ),
    "a length": (
        '"1h", "1m"',
        '"1h", "2h"',
        at(32, KPI("lengths[2]"), "must be one of 15m, 1d, 1h, 1m, 1mo, 1w, 5m; it is '2h'"),
    ),
    "a shorter length": (
        '"1m"\ntime',
        '"5m"\ntime',
        at(32, KPI("lengths"), "has 1m, which is no multiple of the feed's 5m"),
    ),
    "no length": ('["1h", "1m", "5m"]', "[]", at(32, KPI("lengths"), "is empty")),
    "no unit": ('unit = "bytes"\n', "", at(24, "kpis.CellVolume", "lacks the key unit")),
    "a flag of numbers": (
        "minimum = 1, bits",
        'scientific = "yes", bits',
        at(10, "feeds.probe.columns.cell.scientific", "must be true or false, not a text in quotes"),
    ),
    "unknown numbers": (
        "unknown = [99]",
        'unknown = ["99"]',
        at(13, "feeds.probe.columns.signal.unknown[1]", "must be a whole number, not a text in quotes"),
    ),
    "a quote": (
        '"csv"}',
        '"csv", quote = "ab"}',
        at(4, "feeds.probe.format", "cannot be used: the quote 'ab' is not one of \"'`|$%&*/^~!?#:;@"),
    ),
    "a comment": (
        '"csv"}',
        '"csv", comment = "a"}',
        at(4, "feeds.probe.format", "cannot be used: the comment mark 'a' begins as a row may begin"),
    ),
    "a preamble": (
        '"csv"}',
        '"csv", preamble = -1}',
        at(4, "feeds.probe.format", "cannot be used: the preamble has -1 lines; it can have 0 to 1,000"),
    ),
    "a zone's type": (
        '"unix_ms"',
        '"iso", zone = 3',
        at(9, "feeds.probe.columns.begin.zone", "must be a text in quotes, not a whole number"),
    ),
    "an end": (
        '{column = "begin"}',
        '{column = "begin", at = "middle"}',
        at(6, "feeds.probe.time.at", "must be one of end, start; it is 'middle'"),
    ),
    "an archive": (
        'interval = "1m"',
        'archive = 1\ninterval = "1m"',
        at(5, "feeds.probe.archive", "must be true or false, not a whole number"),
    ),
    "endings": (
        'interval = "1m"',
        'endings = ".csv"\ninterval = "1m"',
        at(5, "feeds.probe.endings", "must be a list in [ ], not a text in quotes"),
    ),
    "a blank pattern": ('"probe_*.csv"', '" "', at(3, "feeds.probe.files[1]", "must be one line that is not blank")),
    "a mean without a column": (
        SUM,
        '{type = "mean", name = "average"}',
        at(29, "kpis.CellVolume.measure", "lacks the key column"),
    ),
    "a measure's condition": (
        '["bytes"], name',
        '["bytes"], where = "kind", name',
        at(
            29,
            KPI("measure.where"),
            "is no expression that can be computed; at character 1: this is a text, but a condition is true or false: "
            "compare it, as in ... > 0",
        ),
    ),
    "a measure's condition on a person": (
        '["bytes"], name',
        """["bytes"], where = "owner != ''", name""",
        at(29, KPI("measure"), "uses the personal column owner: the KPI must have personal = true"),
    ),
    "a formula": (
        SUM,
        RATIO.replace('"good", denom', '"god", denom'),
        at(
            29,
            KPI("measure.numerator"),
            "is no expression that can be computed; at character 1: there is no column god; did you mean good?",
        ),
    ),
    "a formula of decimals": (
        SUM,
        RATIO.replace('"good", denom', '"0.5 * good", denom'),
        at(
            24, "kpis.CellVolume", "cannot be used: the numerator '0.5 * good' is a decimal, and must be a whole number"
        ),
    ),
    "a formula that is a condition": (
        SUM,
        RATIO.replace('"good", denom', '"good > 1", denom'),
        at(24, "kpis.CellVolume", "cannot be used: the numerator 'good > 1' is a boolean, and must be a whole number"),
    ),
    "a term's name twice": (
        SUM,
        RATIO.replace('{name = "good"', '{name = "all"'),
        at(29, KPI("measure.terms[2].name"), "is all, the name of another term too"),
    ),
    "a term's name of the lake": (
        SUM,
        RATIO.replace("all", "batch"),
        at(
            24,
            "kpis.CellVolume",
            "cannot be used: its measure cannot add up 'batch', as its partials have another column of that name",
        ),
    ),
    "a term's name of a dimension": (
        SUM,
        RATIO.replace("all", "cell"),
        at(
            24,
            "kpis.CellVolume",
            "cannot be used: a dimension cannot be named cell, as its partials have that column; give it another name",
        ),
    ),
    "a term of decimals": (
        SUM,
        RATIO.replace('{name = "all"}', '{name = "all", columns = ["signal"]}'),
        at(24, "kpis.CellVolume", "cannot be used: all is a sum of signal: not all of them are whole numbers"),
    ),
    "a term's column": (
        SUM,
        RATIO.replace('{name = "all"}', '{name = "all", columns = ["byte"]}'),
        at(29, KPI("measure.terms[1].columns[1]"), "names no column: did you mean bytes?"),
    ),
    "a term's condition on a person": (
        SUM,
        RATIO.replace("kind = 'DATA'", "owner = 'a'"),
        at(29, KPI("measure"), "uses the personal column owner: the KPI must have personal = true"),
    ),
    "a quotient of nothing": (
        SUM,
        RATIO.replace("terms", 'zero = "two", terms'),
        at(29, KPI("measure.zero"), "must be one of 0, 1, empty; it is 'two'"),
    ),
    "a percentage twice": (
        SUM,
        '{type = "percentile", name = "size", column = "bytes", percentiles = [50, 50]}',
        at(29, KPI("measure.percentiles"), "has a percentage twice"),
    ),
    "a percentage of all": (
        SUM,
        '{type = "percentile", name = "size", column = "bytes", percentiles = [50, 100]}',
        at(29, KPI("measure.percentiles[2]"), "must be 99 or less; it is 100"),
    ),
    "a last text": (
        SUM,
        '{type = "last", name = "newest", column = "kind"}',
        at(24, "kpis.CellVolume", "cannot be used: newest is the newest value of kind, which has no numbers"),
    ),
    "a maximum of texts": (
        SUM,
        '{type = "maximum", name = "largest", column = "kind"}',
        at(24, "kpis.CellVolume", "cannot be used: largest is the maximum of kind, which has no numbers"),
    ),
    "a mean of texts": (
        SUM,
        '{type = "mean", name = "average", column = "kind"}',
        at(24, "kpis.CellVolume", "cannot be used: average is a mean of kind, which has no numbers"),
    ),
    "a count of no column": (
        SUM,
        '{type = "count_distinct", name = "users", column = "user"}',
        at(
            29,
            "kpis.CellVolume.measure.column",
            "names no column: there are begin, cell, owner, bytes, signal, kind, kilobytes",
        ),
    ),
    "a share's taken name": (
        SUM,
        '{type = "count", name = "calls", share = "rank"}',
        at(
            24,
            "kpis.CellVolume",
            "cannot be used: it has two columns rank; each row also has id, interval_start_timestamp, interval_end_timestamp, interval, rank",
        ),
    ),
    "a value's name twice": (
        SUM,
        '{type = "mean", name = "samples", column = "signal"}',
        at(
            24,
            "kpis.CellVolume",
            "cannot be used: it has two columns samples; each row also has id, interval_start_timestamp, interval_end_timestamp, interval, rank",
        ),
    ),
    "a filter that is no condition": (
        "kilobytes > 0 and kind = 'DATA'",
        "kilobytes",
        at(
            31,
            "kpis.CellVolume.filter",
            "is no expression that can be computed; at character 1: this is a number, but a condition is true or false: compare it, as in ... > 0",
        ),
    ),
    "a flag of top lists": (
        "top = true",
        "top = 10",
        at(33, "kpis.CellVolume.top", "must be true or false, not a whole number"),
    ),
    "a nested list": (
        '["cell", {name = "kind"}]',
        '[["cell"]]',
        at(28, "kpis.CellVolume.by[1]", "must be a text in quotes or a table, not a list in [ ]"),
    ),
    "a control character in a text": (
        '"Cells by bytes"',
        '"Cells\\tby\\nbytes"',
        at(27, "kpis.CellVolume.description", "must be one line that is not blank"),
    ),
    "a number beyond its bits": (
        "minimum = 1, bits = 32",
        "minimum = 1, maximum = 4294967296, bits = 32",
        at(10, COLUMN("cell.maximum"), "is beyond the column's 32 bits"),
    ),
    "an unknown number beyond 64 bits": (
        "minimum = 1, bits = 32",
        "unknown = [9223372036854775808]",
        at(10, COLUMN("cell.unknown[1]"), "is beyond 64 bits"),
    ),
    "a large decimal": (
        "minimum = -140, maximum = 0",
        "maximum = 10000000000000",
        at(13, COLUMN("signal.maximum"), "is beyond 100,000,000,000, the largest decimal number"),
    ),
    "a grid of wide decimals": (
        '{name = "kind"}',
        '{name = "place", grid = ["signal", "signal"]}',
        at(28, KPI("by[2].grid[1]"), "names signal, which is no column of decimals from -90 to 90, degrees"),
    ),
    "a grid of texts": (
        '{name = "kind"}',
        '{name = "place", grid = ["kind", "signal"]}',
        at(28, KPI("by[2].grid[1]"), "names kind, which is no column of decimals from -90 to 90, degrees"),
    ),
    "a grid of odd cells": (
        '{name = "kind"}',
        '{name = "place", grid = ["signal", "signal"], cells_per_degree = 7}',
        at(
            28,
            KPI("by[2].cells_per_degree"),
            "must be one of 1, 2, 4, 5, 8, 10, 20, 25, 40, 50, 100, 125, 200, 250, 500, 1000; it is 7",
        ),
    ),
    "a filter of persons": (
        "kilobytes > 0 and kind = 'DATA'",
        "owner = 'Ann'",
        at(31, KPI("filter"), "uses the personal column owner: the KPI must have personal = true"),
    ),
    "a machine's zone": (
        '"unix_ms"',
        '"iso", zone = "localtime"',
        at(
            9,
            COLUMN("begin"),
            "cannot be used: there is no time zone 'localtime': name one such as Europe/Madrid, or UTC",
        ),
    ),
}


def message_of(*texts: str) -> str:
    before = dict(FEED_FILES), list(FEEDS), list(KPIS)
    with pytest.raises(CatalogError) as error:
        declared(*texts)
    assert (dict(FEED_FILES), list(FEEDS), list(KPIS)) == before
    assert DECLARED_FEEDS == {}
    return f"{error.value}"


@pytest.mark.parametrize(("old", "new", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_catalog_has_one_message_with_its_line(old: str, new: str, message: str):
    assert GOOD.count(old) >= 1
    assert message_of(GOOD.replace(old, new, 1)) == message


def test_a_kpi_by_a_built_in_feeds_persons_is_personal():
    text = GOOD.replace('feed = "probe"', 'feed = "ipflow"').replace(
        'by = ["cell", {name = "kind"}]', 'by = ["msisdn"]'
    )
    text = text.replace('"1h", "1m", "5m"', '"1h"').replace("filter = \"kilobytes > 0 and kind = 'DATA'\"\n", "")
    text = text.replace('["bytes"], name', '["bytes_uplink"], name')
    problem = "uses the personal column msisdn: the KPI must have personal = true"
    assert message_of(text) == at(28, KPI("by[1]"), problem)
    assert declared(text.replace("top = true", "personal = true")).kpis[1001].personal


def test_a_constraints_name_fits_any_database():
    kpi, value = "C" * 40, "v" * 17
    text = GOOD.replace("CellVolume", kpi).replace("total_bytes", value)
    text = text.replace('bytes = {type = "integer"', 'bytes = {minimum = 0, type = "integer"')
    constraint = f"{kpi}_{value}_gte_0"
    assert len(constraint) == 64
    assert message_of(text) == at(
        24,
        f"kpis.{kpi}",
        f"has too long names: a constraint of its table is named {constraint}, and names in a database have 63 "
        "characters at most",
    )
    assert declared(text.replace(value, value[1:])).kpis[1001].value == value[1:]


def test_names_and_ids_are_taken_once_over_all_files():
    feed, kpi = GOOD.split("[kpis", 1)
    assert message_of(feed, feed) == "2.toml:1: feeds.probe is the name of another feed: choose another"
    assert (
        message_of(GOOD.replace("feeds.probe", "feeds.cdr"))
        == "1.toml:1: feeds.cdr is the name of a built-in feed: choose another"
    )
    same_id = "[kpis" + kpi.replace("CellVolume", "Volume")
    assert message_of(GOOD, same_id) == "2.toml:2: kpis.Volume.id is 1001, the id of CellVolume too"
    assert (
        message_of(GOOD, "[kpis" + kpi)
        == "2.toml:1: kpis.CellVolume is the name of another KPI, apart from case: choose another"
    )
    lake = "2.toml:1: {} would have the table {} of the lake, which is {}: choose another".format
    for name, table, owner in (
        ("batches", "batches", "the ledger's"),
        ("cdr_rejects", "cdr_rejects", "the feed cdr's"),
        ("operatorsignal_partials", "operatorsignal_partials", "the KPI OperatorSignal's"),
    ):
        message = lake(f"feeds.{name}", table, owner)
        assert message_of("", feed.replace("feeds.probe", f"feeds.{name}")) == message
    assert message_of(feed, "[kpis" + kpi.replace("CellVolume", "Probe")) == lake(
        "kpis.Probe", "probe", "the feed probe's"
    )
    assert message_of(
        GOOD, GOOD.replace("feeds.probe", "feeds.other").replace("CellVolume", "Other").replace("1001", "1002")
    ) == ("2.toml:3: feeds.other.files[1] is a pattern of the feed probe too")


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(CatalogError) as error:
        load([tmp_path / "catalog.toml"], FEEDS, KPIS.values())
    assert f"{error.value}" == f"{tmp_path}/catalog.toml:1: cannot be read: No such file or directory"


def test_a_command_with_a_broken_catalog_says_so_in_one_line(tmp_path: Path):
    path = tmp_path / "catalog.toml"
    path.write_text(GOOD.replace("1001", "7"))
    command = [sys.executable, "manage.py", "update_network_stats"]
    result = subprocess.run(
        command,
        cwd=settings.BASE_DIR,
        env=os.environ | {"CATALOG": f"{path}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"{path}:25: kpis.CellVolume.id must be 1000 or more; it is 7\n"


def test_the_json_schema_takes_what_a_catalog_file_may_have():
    out = io.StringIO()
    call_command("catalog_schema", stdout=out)
    validator = Draft202012Validator(json.loads(out.getvalue()))
    for text in (GOOD, LOGS):
        assert list(validator.iter_errors(tomllib.loads(text))) == []
    (error,) = validator.iter_errors(tomllib.loads(GOOD.replace("files =", "file = 1\nfiles =")))
    assert list(error.absolute_path) == ["feeds", "probe"]


def test_the_json_schema_describes_every_key():
    schema = json_schema()
    tables = schema["$defs"]
    assert schema["$ref"] == "#/$defs/CatalogFile"
    assert tables["KPIEntry"]["required"] == ["id"]
    in_full = ["id", "description", "feed", "by", "measure", "unit"]
    assert tables["KPIEntry"]["anyOf"] == [{"required": in_full}, {"required": ["formula"]}]
    assert tables["KPIEntry"]["additionalProperties"] is False
    for name, table in tables.items():
        for key, value in table["properties"].items():
            assert key == "type" or value["description"], f"{name}.{key}"


def with_texts(by: str, longest: int) -> str:
    """The catalog with a KPI by the text columns site, of 500 characters, and note."""
    more = f'\nsite = {{type = "text", longest = 500}}\nnote = {{type = "text", longest = {longest}}}\n'
    return GOOD.replace('["VOICE", "DATA"]}\n', '["VOICE", "DATA"]}' + more, 1).replace('["cell", {name = "kind"}]', by)


def test_an_index_that_a_database_would_refuse_is_refused_with_its_line():
    by = '["site", "note"]'
    assert declared(with_texts(by, 168)).kpis[1001].dimensions == ("site", "note")
    index = at(
        30,
        KPI("by"),
        "needs an index whose rows have up to {} bytes, 4 for each character of a text, and they can have 2,704 at "
        "most: lower the longest of a column, or leave a dimension out",
    )
    # As PostgreSQL counts them.
    assert message_of(with_texts(by, 169)) == index.format("2,712")
    assert message_of(with_texts('["site", "cell", "note"]', 168)) == index.format("2,712")
    assert message_of(with_texts('["site", "note", "bytes"]', 167)) == index.format("2,712")
    folded = '["cell", {name = "note", ignore_case = true}]'
    assert declared(with_texts(folded, 223)).kpis[1001].folded[0].column == "note"
    assert message_of(with_texts(folded, 224)) == at(
        30,
        KPI("by[2]"),
        "ignores case, and the index of a table can then have texts of 223 characters at most; those of note can have "
        "224",
    )
    many = ", ".join(f'{{name = "cell{number}", column = "cell"}}' for number in range(15))
    assert message_of(with_texts(f"[{many}]", 1)) == at(
        30, KPI("by"), "has 15 dimensions; the index of a table can have 14 at most"
    )
