"""Formats of plug-ins, from a package of their own: rows, refused rows, files that fail, and messages."""

from __future__ import annotations

import gzip
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import zstandard
from blake3 import blake3
from django.conf import settings

from kpis.catalog.feeds import Feed
from kpis.catalog.file.errors import CatalogError
from kpis.catalog.file.load import parsed
from kpis.catalog.file.source import parse
from kpis.catalog.plugin_formats import FORMATS, Refusal, register_format
from kpis.engine.reader import Reader
from kpis.engine.scanner import scan
from kpis.formats.bounds import FileError
from kpis.formats.decoded import REFUSED_MARK, csv_line, json_line, refusal_of
from kpis.sources.spool import Spool
from tests.scanner import read_alike

# As an outside author writes it: rows of the widths that the catalog file gives.
PACKAGE = """
from kpis.catalog.plugin_formats import Refusal
from kpis.formats.decoded import REFUSED_MARK, csv_line, json_line, refusal_of


class FixedWidth:
    title = "fixed-width text"
    endings = (".dat",)
    lines = "csv"

    def check(self, options):
        widths = options.get("widths")
        if not isinstance(widths, list) or not all(isinstance(width, int) and width > 0 for width in widths):
            raise ValueError("widths must be a list of whole numbers, one a column.")

    def rows(self, file, columns, options):
        if file.read(4) != b"FW1\\n":
            raise ValueError("does not begin with FW1.")
        for row in file:
            if row.startswith(b"stop"):
                raise ValueError("ends in the middle of a row")
            if row.startswith(b"fault"):
                raise KeyError("fault")
            yield self.line(row.rstrip(b"\\n"), columns, options)

    def line(self, message, columns, options):
        widths = options["widths"]
        if message == b"wrong type":
            return 5
        if len(message) != sum(widths):
            return Refusal("is of the wrong length", columns[0].name if message[:1] == b"n" else "", message.decode())
        fields, start = [], 0
        for width in widths:
            fields.append(message[start:start + width].decode().strip())
            start += width
        return csv_line(fields)


class FixedWidthObjects(FixedWidth):
    lines = "json_lines"
    endings = (".fwo",)
    can_be_packed = False

    def line(self, message, columns, options):
        try:
            begin, cell, name = message[:4], message[4:6], message[6:].decode().strip()
            return json_line({"begin": int(begin), "cell": {"id": int(cell)}, "name": name or None})
        except ValueError:
            return Refusal("holds no number")
"""

CATALOG = """
[feeds.probe]
description = "Probe counters"
files = ["probe_*"]
format = {{type = "plugin", name = "{name}", options = {{widths = [4, 2, 6]}}}}
time = {{column = "begin"}}

[feeds.probe.columns]
begin = {{type = "time", format = "unix_s"}}
cell = {{type = "integer", minimum = 1, header = "{cell}"}}
name = {{type = "text", optional = true}}
"""


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("package")
    (folder / "fixed_width_formats.py").write_text(PACKAGE)
    sys.path.insert(0, f"{folder}")
    module = importlib.import_module("fixed_width_formats")
    register_format("fixed_width", module.FixedWidth())
    register_format("fixed_width_objects", module.FixedWidthObjects())
    yield
    for name in ("fixed_width", "fixed_width_objects"):
        del FORMATS[name]
    del sys.modules["fixed_width_formats"]
    sys.path.remove(f"{folder}")


def declared(text: str) -> Feed:
    (feed,) = parsed([parse(text.encode(), Path("catalog.toml"))], {}, ()).feeds.values()
    return feed


@pytest.fixture
def feed() -> Feed:
    return declared(CATALOG.format(name="fixed_width", cell="cell"))


@pytest.fixture
def objects() -> Feed:
    return declared(CATALOG.format(name="fixed_width_objects", cell="cell.id"))


def read(path: Path, feed: Feed) -> tuple[list[tuple], list[tuple]]:
    """The records and rejects of a file, on which the bulk reader and the scanner agree."""
    records, rejects = read_alike(path, feed, "epoch(begin)::BIGINT, cell, name")
    with duckdb.connect() as connection:
        assert Reader(connection).read(path, feed).digest == blake3(unpacked(path)).hexdigest()
    return sorted(records), rejects


def unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(content)
    return zstandard.ZstdDecompressor().decompress(content) if path.suffix == ".zst" else content


CONTENT = 'FW1\n1000 5Büro \n1001 6\nnix\n1002xx      \n1003 0      \n1004 7a,"b  \n'.encode()
RECORDS = [(1000, 5, "Büro"), (1004, 7, 'a,"b')]
REJECTS = [
    (2, "", "is of the wrong length", "1001 6"),
    (3, "begin", "is of the wrong length", "nix"),
    (4, "cell", "is not a whole number", "1002,xx,"),
    (5, "cell", "is less than 1", "1003,0,"),
]


def test_rows_are_records_or_rejects_by_their_numbers(tmp_path, feed):
    # The widths count bytes: ü takes two.
    path = tmp_path / "probe_1.dat"
    path.write_bytes(CONTENT)
    assert read(path, feed) == (RECORDS, REJECTS)


def test_the_example_of_the_documentation_reads_files(tmp_path, feed, monkeypatch):
    page = (settings.BASE_DIR / "docs" / "reference" / "formats.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    monkeypatch.delitem(FORMATS, "fixed_width")
    module: dict[str, Any] = {}
    exec(example, module)  # noqa: S102  what readers copy
    register_format("fixed_width", module["FORMAT"])
    path = tmp_path / "probe_1.dat"
    path.write_bytes(CONTENT.removeprefix(b"FW1\n"))
    assert read(path, feed) == (RECORDS, [REJECTS[0], (3, "", *REJECTS[1][2:]), *REJECTS[2:]])


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_packed_file_is_decoded_after_it_is_unpacked(tmp_path, feed, ending):
    path = tmp_path / f"probe_1.dat{ending}"
    pack = gzip.compress if ending == ".gz" else zstandard.ZstdCompressor().compress
    path.write_bytes(pack(CONTENT))
    assert read(path, feed) == (RECORDS, REJECTS)


def test_rows_as_json_lines_have_the_columns_names_in_files(tmp_path, objects):
    path = tmp_path / "probe_1.fwo"
    path.write_bytes(b"FW1\n1000 5Buro  \n1001xx      \n1002 0      \n1003 7      \n")
    assert read(path, objects) == (
        [(1000, 5, "Buro"), (1003, 7, None)],
        [
            (2, "", "holds no number", ""),
            (3, "cell", "is less than 1", '{"begin":1002,"cell":{"id":0},"name":null}'),
        ],
    )


def test_a_large_file_keeps_the_numbers_of_its_rows(tmp_path, feed):
    rows = 300_000
    bad = {1: "nix", 77_777: "long row that is refused", 222_222: "1000 0", rows: "n"}
    path = tmp_path / "probe_1.dat"
    plain = (bad.get(number, f"{number % 9000 + 1000}{number % 90 + 10}name  ") for number in range(1, rows + 1))
    path.write_text("FW1\n" + "\n".join(plain) + "\n")
    records, rejects = read(path, feed)
    assert len(records) == rows - 4
    assert [(number, text) for number, *_, text in rejects] == sorted(bad.items())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"PAR1", "does not begin with FW1"),
        (b"FW1\n1000 5name  \nstop\n", "ends in the middle of a row"),
        (b"FW1\nfault\n", "cannot be read as fixed-width text: KeyError: 'fault'"),
        (
            b"FW1\nwrong type\n",
            "cannot be read as fixed-width text: TypeError: a row must be bytes or a Refusal, not int",
        ),
        (
            b"FW1\n1000 5\xff\xff\xff\xff\xff\xff\n",
            "cannot be read as fixed-width text: UnicodeDecodeError: 'utf-8' codec",
        ),
    ],
)
def test_a_file_that_cannot_be_decoded_fails_with_its_reason(tmp_path, feed, content, reason):
    path = tmp_path / "probe_1.dat"
    path.write_bytes(content)
    assert scan(path, feed, []) is None
    with duckdb.connect() as connection, pytest.raises(FileError) as error:
        Reader(connection).read(path, feed)
    assert f"{error.value}".startswith(reason)
    assert not error.value.passing


def test_damage_of_a_packed_file_is_its_own_reason(tmp_path, feed):
    path = tmp_path / "probe_1.dat.gz"
    path.write_bytes(gzip.compress(CONTENT * 1000)[:-9])
    with duckdb.connect() as connection, pytest.raises(FileError, match="ends in the middle of its gzip data"):
        Reader(connection).read(path, feed)


def test_a_file_without_rows_has_none(tmp_path, feed):
    path = tmp_path / "probe_1.dat"
    path.write_bytes(b"FW1\n")
    assert read(path, feed) == ([], [])


def test_messages_are_decoded_as_they_arrive(tmp_path, feed):
    assert feed.is_streamable
    spool = Spool(feed, tmp_path / "messages")
    messages = [b"1000 5name  ", b"nix", None, b"1001 0name  ", b"1002 5\xff\xff\xff\xff\xff\xff", b"1003 5a\nb   "]
    spool.add(range(10, 16), messages)
    batch = spool.messages("probes", 0, None)
    with duckdb.connect() as connection:
        reading = Reader(connection).read(batch.path, batch.feed.of_messages)
        records = connection.execute("SELECT epoch(begin)::BIGINT, cell, name FROM records").fetchall()
        reading = batch.completed(reading, lambda: connection)
        rejects = connection.execute("FROM rejects ORDER BY line").fetchall()
    assert records == [(1000, 5, "name")]
    assert [(*one[:2], one[2][:44], one[3]) for one in rejects] == [
        (11, "begin", "is of the wrong length", "nix"),
        (12, "", "is null", ""),
        (13, "cell", "is less than 1", "1001,0,name"),
        (14, "", "cannot be read as fixed-width text: UnicodeD", "1002 5" + "\\xff" * 6),
        (15, "", "holds a line end", '1003,5,"a\nb"'),
    ]
    assert (reading.lines, reading.rejects) == (6, 5)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"fixed_width"',
            '"fixed_with"',
            "catalog.toml:5: feeds.probe.format.name names no format: did you mean fixed_width?",
        ),
        (
            "[4, 2, 6]",
            '"a"',
            "catalog.toml:5: feeds.probe.format.options cannot be used: widths must be a list",
        ),
        (
            "options",
            "option",
            "catalog.toml:5: feeds.probe.format.option is not a key of this table; did you mean options?",
        ),
    ],
)
def test_a_catalog_file_that_uses_it_wrongly_has_one_message(old, new, message):
    with pytest.raises(CatalogError) as error:
        declared(CATALOG.format(name="fixed_width", cell="cell").replace(old, new))
    assert message in f"{error.value}"


def test_names_of_files_end_as_the_format_says(feed, objects):
    assert (feed.endings, feed.format.can_be_packed) == ((".dat",), True)
    assert (objects.endings, objects.format.can_be_packed) == ((".fwo",), False)
    assert f"{feed.format}" == "fixed-width text (widths = [4, 2, 6])"


@pytest.mark.parametrize(
    ("name", "changes", "problem"),
    [
        ("Fixed", {}, "must have a name of lower-case letters"),
        ("fixed_width", {}, "is registered twice"),
        ("other", {"lines": "xml"}, "has lines = 'xml', which is neither csv nor json_lines"),
        ("other", {"endings": ".dat"}, "must have a list of at least one ending"),
        ("other", {"rows": None}, "lacks rows"),
    ],
)
def test_a_format_that_cannot_be_one_is_refused(name, changes, problem):
    like = type(
        "Like", (), {"title": "t", "endings": (".x",), "lines": "csv", "check": print, "rows": print, **changes}
    )
    if changes.get("rows", like) is None:
        del like.rows
    with pytest.raises(ValueError, match=problem):
        register_format(name, like())
    assert name not in ("other", "Fixed") or name not in FORMATS


@pytest.mark.parametrize("rest", [b"", b"5", b"[1, 2, 3]", b'["a", "b"]', b'{"a": 1, "b": 2, "c": 3}', b"[" * 100_000])
def test_a_line_of_a_plug_in_that_begins_as_a_refusal_is_none(rest):
    assert refusal_of(REFUSED_MARK + rest) is None


def test_lines_have_what_values_need():
    assert csv_line([1, None, "a", 'b"c', "d,e", "\x1a"]) == b'1,,a,"b""c","d,e","\x1a"\n'
    assert csv_line(["a\nb"]) == Refusal("holds a line end", text='"a\nb"')
    assert json_line({"a": 1, "b": None, "c": "é"}) == '{"a":1,"b":null,"c":"é"}\n'.encode()
