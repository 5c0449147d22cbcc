"""Files of any dialect of CSV: judge, bulk reader and compiled scanner give the same, which is what was written.

``DIALECT_CASES=20000`` tries so many random files instead of the short form's.
"""

from __future__ import annotations

import codecs
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal as Number
from pathlib import Path
from typing import Any

import duckdb
import pytest

from kpis.catalog.columns import Choice, Decimal, Integer, PostalCode, Text
from kpis.catalog.dimensions import Dimension
from kpis.catalog.feeds import BadRow, Column, Feed, moment_of, unix_moment
from kpis.catalog.formats import CSV, THOUSANDS, Header
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.catalog.kpis import KPI
from kpis.catalog.measures import Count, CountDistinct, Mean, Sum
from kpis.catalog.result_columns import BadEntry
from kpis.catalog.sql import RECORD_START
from kpis.engine import scanner as scanner_module
from kpis.engine.folding import add_fold
from kpis.engine.reader import Reader
from kpis.engine.scannable import can_scan
from kpis.engine.scanner import scan
from kpis.engine.table import rows
from kpis.formats import content as content_module
from kpis.formats import lines as lines_module
from kpis.formats.bounds import FileError
from kpis.formats.file_formats import row_format_of
from kpis.formats.judge import ANY_TIME, judge, reject_text
from kpis.formats.lines import Line, first_line_of
from tests.effort import times
from tests.property.test_scanner_feeds import naive_partial

CASES = times("DIALECT_CASES", 240, 8_000)
START = 1_626_566_400_000

PROBE = Feed(
    name="probe",
    description="Probe counters: bytes and load per cell",
    format=CSV(),
    file_names=("probe_*",),
    endings=(".csv",),
    columns=(
        Column("begin", Integer(), headers=("Begin time", "BEGIN_TS")),
        Column("cell", Integer(bits=32, minimum=-5), headers=("Cell",)),
        Column("bytes", Integer(), headers=("Bytes", "Volume")),
        Column("load", Decimal(optional=True, minimum=-1000, maximum=5_000_000, unknown=(97,))),
        Column("operator", Text(optional=True)),
        Column("kind", Choice(words=("CALL", "TEXT"))),
        Column("area", PostalCode(optional=True), required=False),
    ),
    checks=(),
    moment=unix_moment("begin", a_second=1000),
    interval=FIVE_MINUTES,
)
COUNTERS = replace(PROBE, name="counters", columns=PROBE.columns[:3])


def kpis_for(feed: Feed) -> list[KPI]:
    made: list[tuple[tuple[Dimension, ...], Any]] = [
        ((Dimension("cell", "cell"),), Sum("total", columns=("bytes",))),
        ((Dimension("cell", "cell"),), CountDistinct("values", column="bytes")),
    ]
    if feed.column_names == PROBE.column_names:
        made += [
            ((Dimension("operator", "operator"), Dimension("kind", "kind")), Count("records")),
            ((Dimension("area", "area"),), Mean("mean_load", column="load", samples="samples", empty="empty")),
        ]
    return [
        KPI(
            id=9_000 + number, name=f"Probe{number}", plural=f"probes {number}", description="Probes", feed=feed, by=by,
            measure=measure, unit="", lengths=(FIVE_MINUTES, ONE_HOUR),
        )
        for number, (by, measure) in enumerate(made)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("dialects")


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as opened:
        add_fold(opened)
        yield opened


# ---- random dialects and files ----------------------------------------------------------------------------------


def random_dialect(chance: random.Random) -> CSV:
    while True:
        try:
            return CSV(
                header=chance.choice([Header.REQUIRED, Header.REQUIRED, Header.OPTIONAL, Header.NONE]),
                delimiter=chance.choice(",;;;\t\t| :^\x01\x1f'\"§¦."),
                quote=chance.choice(["", '"', '"', '"', "'", "|", "$"]),
                decimal=chance.choice(".,,"),
                thousands=chance.choice(["", "", "", *THOUSANDS]),
                encoding=chance.choice(["utf-8", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"]),
                comment=chance.choice(["", "", "#", "//", "%%"]),
                preamble=chance.choice([0, 0, 1, 3]),
                missing=chance.choice([(), (), ("NULL",), ("null", "N/A", "-"), ("-1", "k"), ("0",)]),
            )
        except BadEntry:
            continue


def grouped(chance: random.Random, digits: str, separator: str) -> str:
    """Digits with separators of thousands, mostly."""
    if not separator or chance.random() < 0.3:
        return digits
    head = len(digits) % 3
    groups = [digits[:head]] * bool(head) + [digits[at : at + 3] for at in range(head, len(digits), 3)]
    return separator.join(groups)


def number_text(chance: random.Random, dialect: CSV, number: Number) -> str:
    sign, plain = "-" * (number < 0), f"{abs(number):f}"
    whole, point, part = plain.partition(".")
    return sign + grouped(chance, whole, dialect.thousands) + (dialect.decimal if point else "") + part


def without_value(chance: random.Random, dialect: CSV) -> str:
    if not dialect.missing or chance.random() < 0.5:
        return ""
    word = chance.choice(dialect.missing)
    return chance.choice([word, word.lower(), word.upper(), word.swapcase()])


BAD = [
    "x", "1.5", "1,5", "1.2.3", "1,234", "12,34", "1.234", "1.23.456", "1 234", "1'234", "-", "", "+1", "--1", "1e3",
    "99999999999999999999", "5000000.1", "5000001", "\u212a", "\u017f", "nul", "NULLs", "0", "-0", "97", "97,0", "97.0",
    "1\u00a0234", "\u00a05", "5\u3000", "1\u202f234,5", "#", "//", "a\tb", "\x7f", "é" * 101, "\u200b", "6,", ".6",
]  # fmt: skip
WORDS = ["Vodafone", "Movistar", "Telefónica", "Orange", "a b", "x" * 40, "#1", "//", "it's", "5", "null", "k", "Ök 5"]


def row_of(feed: Feed, chance: random.Random, dialect: CSV) -> tuple[list[str], dict[str, Any] | None]:
    """A row's texts, and its record; None if it may be a reject, or something else than meant."""
    begin = START + 60_000 * chance.randrange(20)
    places = chance.randrange(7)
    load = Number(chance.randrange(-990, 4_900_000) * 10**places + chance.randrange(10**places)).scaleb(-places)
    record: dict[str, Any] = {
        "begin": begin,
        "cell": chance.choice([1, 2, 3, 70_000, 1_234_567]),
        "bytes": chance.choice([1, 17, 999, 1000, 5_300_000_123, chance.randrange(10**12)]),
        "load": chance.choice([None, load, load]),
        "operator": chance.choice([None, *WORDS]),
        "kind": chance.choice(["CALL", "TEXT"]),
        "area": chance.choice([None, "08001", "K1A 0B1"]),
    }
    record = {name: record[name] for name in feed.column_names}
    texts = []
    for column in feed.columns:
        value = record[column.name]
        if value is None:
            texts.append(without_value(chance, dialect))
        elif isinstance(column.type, Integer | Decimal):
            texts.append(number_text(chance, dialect, Number(value)))
        else:
            texts.append(value)
    is_sure = not set(texts) & {"0", "-", "-1", "#1", "//", "null", "k"}
    if "load" in record and record["load"] is not None:
        is_sure = is_sure and -1000 <= load <= 5_000_000 and load != 97
        record["load"] = load.quantize(Number("0.000001"))
    if chance.random() < 0.15:
        texts[chance.randrange(len(texts))] = chance.choice([*BAD, *WORDS])
        is_sure = False
    return texts, record if is_sure else None


def written(texts: list[str], dialect: CSV, chance: random.Random) -> str | None:
    """A row as text; None if the dialect cannot write it."""
    fields = []
    for text in texts:
        needs_quotes = dialect.delimiter in text or (dialect.quote and dialect.quote in text)
        if needs_quotes or (dialect.quote and chance.random() < 0.1):
            if not dialect.quote:
                return None
            text = dialect.quote + text.replace(dialect.quote, dialect.quote * 2) + dialect.quote
        if chance.random() < 0.05 and dialect.delimiter not in " \t":
            text = chance.choice([" {}", "{} ", "\t{}", " {} "]).format(text)
        fields.append(text)
    return dialect.delimiter.join(fields)


def header_of(feed: Feed, columns: list[Column | None], dialect: CSV, chance: random.Random) -> str | None:
    names = []
    for column in columns:
        name = "Note 1"
        if column:
            name = chance.choice(column.names_in_files)
            name = chance.choice([name, name.upper(), name.lower()])
            if column.headers and chance.random() < 0.3:
                name += chance.choice([" [kB]", "[%]", " (s)"])
        names.append(name)
    return written(names, dialect, chance)


def random_file(feed: Feed, chance: random.Random) -> tuple[str, list[tuple[str, dict[str, Any] | None]]]:
    """A file's text, and its rows with the records that they are if that is sure."""
    dialect = feed.format
    columns: list[Column | None] = list(feed.columns)
    has_header = dialect.header is Header.REQUIRED or (dialect.header is Header.OPTIONAL and chance.random() < 0.5)
    if has_header and chance.random() < 0.5:
        chance.shuffle(columns)
        columns.insert(chance.randrange(len(columns) + 1), None)
        columns = [column for column in columns if column is None or column.required or chance.random() < 0.5]
    lines = [chance.choice(["Report 5", "", "begin;cell", "#", dialect.delimiter]) for _ in range(dialect.preamble)]
    if dialect.comment:
        lines += [dialect.comment + chance.choice(["", " a comment", ";,\t"]) for _ in range(chance.randrange(3))]
    header = header_of(feed, columns, dialect, chance) if has_header else None
    if header is None:
        columns = list(feed.columns)
    else:
        lines.append(header)
    found: list[tuple[str, dict[str, Any] | None]] = []
    for _ in range(chance.randrange(1, 40)):
        texts, record = row_of(feed, chance, dialect)
        by_name = dict(zip(feed.column_names, texts, strict=True))
        row = written([by_name[column.name] if column else "Ö" for column in columns], dialect, chance)
        if row is None or (dialect.comment and row.startswith(dialect.comment)) or not row.strip():
            continue
        if record and "area" in record and not any(column and column.name == "area" for column in columns):
            record["area"] = None
        found.append((row, record))
        lines.append(row)
        if chance.random() < 0.05:
            lines.append(chance.choice(["", " ", dialect.delimiter * 3, "\t", "# x", "// y", "%%", " # no comment"]))
    text = chance.choice(["\n", "\n", "\r\n"]).join(lines) + chance.choice(["\n", "\n", ""])
    return text, found


def encoded(text: str, dialect: CSV, chance: random.Random) -> bytes:
    codec = {"utf-16": chance.choice(["utf-16-le", "utf-16-be"])}.get(dialect.encoding, dialect.encoding)
    if dialect.encoding == "utf-16" or (dialect.encoding.startswith("utf") and chance.random() < 0.2):
        text = "\ufeff" + text
    return text.encode(codec, "surrogatepass" if codec.startswith("utf") else "replace")


def damaged(content: bytes, dialect: CSV, chance: random.Random) -> bytes:
    """The content with some bytes of its encoding put wrong, beyond the first lines."""
    is_wide = dialect.encoding.startswith("utf-16")
    odd: list[bytes] = [b"\x81", b"\xff", b"\x8d\x80", b"\0", b";", b"\r", b"\n", b'"', b"9"]
    if is_wide:
        is_little = content.startswith(codecs.BOM_UTF16_LE) or dialect.encoding == "utf-16-le"
        odd = [
            chr(code).encode("utf-16-le" if is_little else "utf-16-be", "surrogatepass")
            for code in (0xD83D, 0xDC00, 0xD83D, 0, 0x2028, 0x0A0A, 0x0A, 0x85, 0xFEFF)
        ]
    text = bytearray(content)
    for _ in range(chance.choice([0, 0, 1, 3])):
        at = chance.randrange(len(text) // 3, len(text) + 1)
        at -= at % 2 if is_wide else 0
        text[at:at] = chance.choice(odd)
    if is_wide and chance.random() < 0.1:
        text += b"5"
    return bytes(text)


# ---- a plain twin -----------------------------------------------------------------------------------------------


def utf_8_lines(content: bytes, dialect: CSV) -> list[bytes]:
    """The lines of a file as UTF-8, each decoded by itself."""
    if dialect.encoding.startswith("utf-16"):
        codec = dialect.encoding
        if codec == "utf-16":
            codec = "utf-16-le" if content.startswith(codecs.BOM_UTF16_LE) else "utf-16-be"
        odd = len(content) % 2
        text = content[: len(content) - odd].decode(codec, "surrogatepass")
        whole = text.encode("utf-8", "surrogatepass") + b"\xff" * odd
    elif dialect.encoding == "utf-8":
        whole = content
    else:
        known = {byte: bytes([byte]).decode(dialect.encoding, "ignore").encode() for byte in range(256)}
        whole = b"".join(known[byte] or bytes([byte]) for byte in content)
    lines = whole.split(b"\n")
    if not lines[-1]:
        return [line.removesuffix(b"\r") for line in lines[:-1]]
    return [*(line.removesuffix(b"\r") for line in lines[:-1]), lines[-1]]


def rows_of(lines: list[bytes], dialect: CSV) -> Iterator[Line]:
    """The lines that are no preamble, comment or blank, header included, with their numbers."""
    for number, content in enumerate(lines, 1):
        if number == 1:
            content = content.removeprefix(codecs.BOM_UTF8)
        is_comment = dialect.comment and content.startswith(dialect.comment.encode())
        if number > dialect.preamble and content.strip() and not is_comment:
            yield Line(number, content)


def judged(feed: Feed, content: bytes) -> tuple[list, list, int] | None:
    """Records with their intervals, rejects, and the number of data lines; None for a file that cannot be read."""
    lines = utf_8_lines(content, feed.format)
    found = list(rows_of(lines, feed.format))
    if not feed.format.preamble and not feed.format.comment:
        # The first line has to be the header, or a row.
        first = lines[0].removeprefix(codecs.BOM_UTF8) if lines else b""
    else:
        first = found[0].content if found else b""
    try:
        row_format = row_format_of(feed, first_line_of(first, feed.format), {})
    except FileError:
        return None
    records, rejects = [], []
    data = found[row_format.has_header :]
    for line in data:
        try:
            record = judge(row_format, line)
            ANY_TIME.check(feed, record)
        except BadRow as bad:
            rejects.append((line.number, bad.column, bad.reason, reject_text(line)))
            continue
        records.append((feed.interval.floor(moment_of(feed, record)).replace(tzinfo=None), record))
    return records, rejects, len(data)


# ---- all of them ------------------------------------------------------------------------------------------------


def read_rows(connection, path: Path, feed: Feed) -> tuple[Any, list, list]:
    reading = Reader(connection).read(path, feed)
    names = ", ".join(f'"{name}"' for name in feed.column_names)
    records = connection.execute(f'SELECT "{RECORD_START}", {names} FROM records').fetchall()
    return reading, records, connection.execute("FROM rejects ORDER BY line").fetchall()


def agrees(connection, path: Path, feed: Feed, content: bytes, with_bulk: bool) -> tuple[list, bool] | None:
    """Check that all give the same; return the records and True if it was scanned, None if it cannot be read."""
    path.write_bytes(content)
    expected = judged(feed, content)
    if expected is None:
        with pytest.raises(FileError):
            Reader(connection).read(path, feed)
        assert scan(path, feed, kpis_for(feed)) is None
        return None
    records, rejects, lines = expected
    counts = (lines, len(records), len(rejects))
    kpis = kpis_for(feed)
    found = scan(path, feed, kpis) if can_scan(feed, kpis) else None
    if found is not None:
        assert (found.reading.lines, found.reading.records, found.reading.rejects) == counts, feed.format
        assert found.rejects == rejects, feed.format
        for kpi in kpis:
            assert list(rows(found.partials[kpi.id])) == naive_partial(kpi, records), feed.format
    if with_bulk or found is None:
        reading, bulk_records, bulk_rejects = read_rows(connection, path, feed)
        assert (reading.lines, reading.records, reading.rejects) == counts, feed.format
        assert bulk_rejects == rejects, feed.format
        assert Counter(bulk_records) == Counter((start, *record.values()) for start, record in records), feed.format
        assert found is None or found.reading == reading
    return records, found is not None


@pytest.mark.parametrize("feed", [PROBE, COUNTERS], ids=["texts", "numbers"])
def test_random_dialects_are_read_alike(folder, connection, monkeypatch, feed):
    chance = random.Random(20261130)  # noqa: S311  test data need no secrecy
    scanned = 0
    for case in range(CASES // 2):
        monkeypatch.setattr(scanner_module, "TEXT_BYTES", chance.choice([2_000, 3_000, 2**20]))
        block = chance.choice([1_500, 2**20])
        for module in (content_module, lines_module):
            monkeypatch.setattr(module, "BLOCK_BYTES", block)
        mine = replace(feed, format=random_dialect(chance))
        text, meant = random_file(mine, chance)
        content = encoded(text, mine.format, chance)
        is_damaged = chance.random() < 0.4
        if is_damaged:
            content = damaged(content, mine.format, chance)
        found = agrees(connection, folder / "probe.csv", mine, content, with_bulk=case % 3 == 0)
        scanned += found is not None and found[1]
        if found is None or is_damaged or mine.format.encoding in ("latin-1", "cp1252"):
            continue
        records = Counter(tuple(record.values()) for _, record in found[0])
        sure = Counter(tuple(record.values()) for _, record in meant if record)
        assert sure <= records, (case, mine.format, content)
    # The others have a delimiter beyond ASCII, or no header that fits.
    assert scanned > 0.75 * (CASES // 2)
