"""A sample file is described by an entry of a catalog file that reads it."""

from __future__ import annotations

import gzip
import io
import random
import tomllib
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from kpis.catalog.file.load import parsed
from kpis.catalog.file.source import parse
from kpis.catalog.registry import FEEDS, KPIS
from kpis.describe.entry import describe, line_to_edit, name_of, pattern_of
from kpis.formats.bounds import FileError

COUNTERS = """\
Report of counters
created by hand
Beginn;Cell ID;Volumen [kB];Bytes;Signal;IMSI
01.03.2026 13:05:00;17;1.234,5;100;-70,5;214010000000001
01.03.2026 13:05:00;18;34,5;50;-80;214010000000002
01.03.2026 13:10:00;18;NULL;25;;214010000000001
01.03.2026 13:10:00;x;1;25;;214010000000001
"""
COUNTERS_ENTRY = """\
# From counters_20260301.csv: 4 rows. Read it through, and change what is not right.
[feeds.counters]
description = "Counters records"  # what they are, in a line
files = ["counters_*.csv"]
format = {type = "csv", delimiter = ";", decimal = ",", thousands = ".", encoding = "utf-16", preamble = 2, missing = ["NULL"]}
interval = "5m"  # the shortest interval: 1m, 5m, 15m or 1h
time = {column = "beginn"}

[feeds.counters.columns]
beginn = {type = "time", header = "Beginn", format = "%d.%m.%Y %H:%M:%S"}  # a time; UTC unless it says zone = "Europe/Madrid"
cell_id = {type = "text", header = "Cell ID"}  # makes groups: 17, 18, x
volumen = {type = "decimal", header = "Volumen [kB]", optional = true, unit = "kB"}  # is averaged
bytes = {type = "integer", header = "Bytes", minimum = 0, unit = "bytes"}  # adds up
signal = {type = "decimal", header = "Signal", optional = true}  # is averaged
imsi = {type = "integer", header = "IMSI", minimum = 0, personal = true}  # identifies a person

[kpis.CellBytes]
id = 1001
description = "Cells by bytes"
feed = "counters"
by = ["cell_id"]
measure = {type = "sum", columns = ["bytes"], name = "total_bytes"}
unit = "bytes"

[kpis.CellVolumen]
id = 1002
description = "Cells by average volumen"
feed = "counters"
by = ["cell_id"]
measure = {type = "mean", column = "volumen", name = "average_volumen"}
unit = "kB"

[kpis.CountersCellUniqueUsers]
id = 1003
description = "Cells by distinct imsi"
feed = "counters"
by = ["cell_id"]
measure = {type = "count_distinct", column = "imsi", name = "number_of_unique_users"}
unit = "users"

# Of the sample's 4 rows, 4 would be records, 0 rejects.
"""

MESSAGES = """\
{"at": "2026-03-01T12:00:00Z", "device": "00000000-0000-0000-0000-000000000001", "app": "MAPS", "bytes": 7, "more": {"x": [1], "cell": {"id": 3}}}
{"at": "2026-03-01T12:00:30Z", "device": "00000000-0000-0000-0000-000000000002", "app": "MAPS", "bytes": 8, "more": {}}
{"at": "2026-03-01T12:01:00Z", "device": "00000000-0000-0000-0000-000000000001", "app": "MAIL", "bytes": 1.5, "more": 3}
"""


def described(path: Path, name: str = "") -> str:
    return describe(path, name or name_of(path), FEEDS, KPIS.values())


def test_a_csv_sample_in_utf_16_with_decimal_commas_is_described(tmp_path: Path):
    path = tmp_path / "counters_20260301.csv"
    path.write_bytes(COUNTERS.encode("utf-16"))
    assert described(path) == COUNTERS_ENTRY


def test_rows_that_would_be_rejects_are_counted_with_their_reasons(tmp_path: Path):
    path = tmp_path / "p.csv"
    rows = [f"177236640{number % 10},{number},{number % 3}" for number in range(60)]
    path.write_text("\n".join(["ts,bytes,cell", *rows, "1772366400,many,1", "1772366400,9999999999999999999,1", ""]))
    lines = described(path).splitlines()
    assert lines[-3:] == [
        "# Of the sample's 62 rows, 60 would be records, 2 rejects.",
        "# 1: bytes is not a whole number, first in line 62: 1772366400,many,1",
        "# 1: bytes is beyond 64 bits, first in line 63: 1772366400,9999999999999999999,1",
    ]


def test_a_compressed_sample_of_json_lines_is_described(tmp_path: Path):
    path = tmp_path / "app-messages.2026-03-01.jsonl.gz"
    path.write_bytes(gzip.compress(MESSAGES.encode()))
    entry = described(path)
    found = tomllib.loads(entry)
    feed = found["feeds"]["app_messages"]
    assert (feed["files"], feed["format"], feed["time"]) == (
        ["app-messages.*.jsonl"],
        {"type": "json_lines"},
        {"column": "at"},
    )
    assert {name: column["type"] for name, column in feed["columns"].items()} == {
        "at": "time",
        "device": "uuid",
        "app": "text",
        "bytes": "decimal",
        "more_cell_id": "integer",
    }
    assert feed["columns"]["more_cell_id"] == {
        "type": "integer",
        "header": "more.cell.id",
        "optional": True,
        "minimum": 0,
        "required": False,
    }
    assert entry.endswith("# Of the sample's 3 rows, 3 would be records, 0 rejects.\n")


def test_true_and_false_in_json_make_a_boolean_that_reads_them(tmp_path: Path):
    path = tmp_path / "s.jsonl"
    rows = [f'{{"ts": "2026-03-01T12:00:0{n}Z", "roaming": {("true", "false")[n % 2]}, "yes": "no"}}' for n in range(6)]
    path.write_text("\n".join(rows) + "\n")
    entry = described(path)
    columns = tomllib.loads(entry)["feeds"]["s"]["columns"]
    assert (columns["roaming"], columns["yes"]) == ({"type": "boolean"}, {"type": "text"})
    assert entry.endswith("# Of the sample's 6 rows, 6 would be records, 0 rejects.\n")


@pytest.mark.parametrize(
    ("values", "decimal", "thousands", "type_"),
    [
        (("1,234,567", "123,456", "98"), None, ",", "integer"),
        (("1,234.5", "12.5", "7"), None, ",", "decimal"),
        (("1'234.5", "12.5", "7"), None, "'", "decimal"),
        (("1.234.567", "123.456", "98"), ",", ".", "integer"),
        (("1.234,5", "12,5", "7"), ",", ".", "decimal"),
        (("1 234 567", "123 456", "98"), None, " ", "integer"),
        # A single comma before three digits is a decimal comma.
        (("1,234", "123,456", "98"), ",", None, "decimal"),
        (("10.100.200.100", "10.100.200.101", "10.100.200.102"), None, None, "text"),
    ],
)
def test_what_separates_thousands_is_no_decimal_mark(
    tmp_path: Path, values: tuple[str, ...], decimal: str | None, thousands: str | None, type_: str
):
    path = tmp_path / "t.csv"
    rows = [f"2026-03-01 12:00:0{number}|{value}" for number, value in enumerate(values * 3)]
    path.write_text("\n".join(["ts|b", *rows]) + "\n")
    entry = described(path)
    feed = tomllib.loads(entry)["feeds"]["t"]
    found = (feed["format"].get("decimal"), feed["format"].get("thousands"), feed["columns"]["b"]["type"])
    assert found == (decimal, thousands, type_)
    assert entry.endswith("# Of the sample's 9 rows, 9 would be records, 0 rejects.\n")


def test_letters_with_accents_keep_their_place_in_names(tmp_path: Path):
    path = tmp_path / "s.csv"
    path.write_text("Período;Señal [dBm]\n2026-03-01 12:00;-7\n")
    assert list(tomllib.loads(described(path))["feeds"]["s"]["columns"]) == ["periodo", "senal"]


def test_a_sample_without_times_says_which_line_to_edit(tmp_path: Path):
    path = tmp_path / "c.csv"
    path.write_text("cell,bytes\n1,2\n2,3\n")
    out, err = io.StringIO(), io.StringIO()
    call_command("describe_feed", str(path), stdout=out, stderr=err)
    assert err.getvalue() == (
        "Edit line 7 of this entry, and then the line of the column that it names: no column of c.csv looks like a "
        "time, and a feed needs one.\n"
    )
    assert out.getvalue().splitlines()[6] == (
        'time = {column = ""}  # EDIT THIS LINE: no column looks like a time. Name the one that is, and in its own '
        'line below say type = "time" and its format'
    )
    tomllib.loads(out.getvalue())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"a,b\n", "has a header alone: a sample needs rows"),
        (b"a,b\n1,\x01\n", "is no text that can be recognized"),
    ],
)
def test_what_is_no_sample_is_refused_with_the_reason(tmp_path: Path, content: bytes, reason: str):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(FileError) as error:
        described(path)
    assert f"{error.value}" == reason


def test_names_and_patterns_come_from_the_files_name():
    names = {"IPFlow-2026-03-01_12.csv.gz": ("ip_flow", "IPFlow-*.csv"), "0815.txt": ("records", "*.txt")}
    assert {name: (name_of(Path(name)), pattern_of(Path(name))) for name in names} == names


def test_the_command_prints_the_entry_and_refuses_a_wrong_name(tmp_path: Path):
    path = tmp_path / "counters_20260301.csv"
    path.write_bytes(COUNTERS.encode("utf-16"))
    out, err = io.StringIO(), io.StringIO()
    call_command("describe_feed", str(path), stdout=out, stderr=err)
    assert (out.getvalue(), err.getvalue()) == (COUNTERS_ENTRY, "")
    with pytest.raises(CommandError, match="--name must be up to 40 lower-case letters and digits"):
        call_command("describe_feed", str(path), name="Counters")
    with pytest.raises(CommandError, match=r"nowhere\.csv vanished before it was read\."):
        call_command("describe_feed", str(tmp_path / "nowhere.csv"))


@pytest.mark.parametrize("seed", range(25))
def test_every_entry_is_one_that_a_catalog_file_can_have(tmp_path: Path, seed: int):
    chance = random.Random(seed)  # noqa: S311
    texts = ["", "x", "Größe", "1", "-2", "3.5", "2026-03-01 12:00", "NULL", "1772366400", "a;b", "'", "id", "true"]
    names = ["", "time", "Cell", "Cell", "sum", "order by", "Bytes [kB]", "ÄÖ", "1st", "user id", "x" * 80, "a,b"]
    delimiter = chance.choice(",;\t|")
    rows = [[chance.choice(names) for _ in range(5)]] + [[chance.choice(texts) for _ in range(5)] for _ in range(30)]
    path = tmp_path / f"sample-{seed}.csv"
    lines = [delimiter.join(f'"{one}"' if delimiter in one else one for one in row) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    entry = described(path)
    if line_to_edit(entry):
        entry = entry.replace('time = {column = ""}', 'time = {column = "zz"}').replace(
            ".columns]", '.columns]\nzz = {type = "time", format = "iso"}', 1
        )
    parsed([parse(entry.encode(), path)], FEEDS, KPIS.values())
