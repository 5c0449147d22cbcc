"""Bad and odd ipflow files, each with what has to become of it: what is harmless counts, what is not says why."""

from __future__ import annotations

import gzip
import random
import zlib
from dataclasses import dataclass

import zstandard

from tests.twin import HEADER, Flow

START = 1626566400  # 2021-07-18T00:00:00Z
COLUMNS = HEADER.split(",")


def flow(number: int, start: int = START) -> Flow:
    """A record; its numbers tell its fields apart."""
    return Flow(
        start, msisdn=31600000000 + number, uplink=number, downlink=10 * number, service=number, cell=900 + number
    )


FLOWS = [flow(number) for number in (1, 2, 3)]
ROWS = [one.line() for one in FLOWS]


@dataclass(frozen=True)
class Case:
    """A file and what it gives.

    ``flows`` are its records and ``rejects`` its other data lines, as (line number, column, reason). A file with a
    ``reason`` fails, and has no records then; ``lines`` is what it counts as data lines in that case.
    """

    name: str
    content: bytes
    flows: tuple[Flow, ...] = ()
    rejects: tuple[tuple[int, str, str], ...] = ()
    reason: str = ""
    lines: int = 0
    suffix: str = ".csv"

    @property
    def file_name(self) -> str:
        return f"ipflow_data.{self.name.replace(' ', '-')}{self.suffix}"


def text(*lines: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *lines, ""]).encode()


def harmless(name: str, content: bytes, flows: list[Flow] = FLOWS, suffix: str = ".csv") -> Case:
    return Case(name, content, tuple(flows), suffix=suffix)


def failed(name: str, content: bytes, reason: str, suffix: str = ".csv") -> Case:
    return Case(name, content, reason=reason, suffix=suffix)


def bad_row(name: str, row: str | bytes, column: str, reason: str) -> Case:
    """A row among good ones that is a reject."""
    line = row if isinstance(row, bytes) else row.encode()
    content = text(ROWS[0]) + line + b"\n" + "\n".join([*ROWS[1:], ""]).encode()
    return Case(name, content, tuple(FLOWS), ((3, column, reason),))


def row(**fields: object) -> str:
    values = dict(zip(COLUMNS, ROWS[0].split(","), strict=True)) | fields
    return ",".join(str(values[column]) for column in COLUMNS)


def bad_field(name: str, column: str, value: object, reason: str) -> Case:
    return bad_row(name, row(**{column: value}), column, reason)


def bad_interval(name: str, start: int, end: int, column: str, reason: str) -> Case:
    return bad_row(name, row(interval_start_timestamp=start, interval_end_timestamp=end), column, reason)


def reordered(line: str, order: list[int]) -> str:
    fields = line.split(",")
    return ",".join(fields[position] for position in order)


def quoted(line: str) -> str:
    return ",".join(f'"{field}"' for field in line.split(","))


PLAIN = text(*ROWS)
MS = START * 1000
NUMBER = "is not a whole number"
NOT_FIVE = "is not 5 minutes after interval_start_timestamp"
BACKWARDS = [6, 5, 4, 3, 2, 1, 0]
JUNK = random.Random(1).randbytes(5000)  # noqa: S311
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + JUNK
# So many rows that the packed forms have several blocks, and no two of them alike.
LONG = text(*(row(msisdn=zlib.crc32(b"%d" % n)) for n in range(1, 4000)))
GZIP = gzip.compress(PLAIN, mtime=0)
LONG_GZIP = gzip.compress(LONG, mtime=0)
ZSTD = zstandard.ZstdCompressor(write_checksum=True).compress(PLAIN)
LONG_ZSTD = zstandard.ZstdCompressor(write_checksum=True).compress(LONG)


def flipped(content: bytes, position: int) -> bytes:
    changed = bytearray(content)
    changed[position] ^= 0xFF
    return bytes(changed)


HARMLESS = [
    harmless("plain", PLAIN),
    harmless("txt", PLAIN, suffix=".txt"),
    harmless("bom", b"\xef\xbb\xbf" + PLAIN),
    harmless("bom-within", PLAIN + b"\xef\xbb\xbf" + flow(4).line().encode(), [*FLOWS, flow(4)]),
    harmless("crlf", PLAIN.replace(b"\n", b"\r\n")),
    harmless("bom-crlf-quotes", b"\xef\xbb\xbf" + "\r\n".join(map(quoted, [HEADER, *ROWS])).encode()),
    harmless("mixed-line-ends", f"{HEADER}\r\n{ROWS[0]}\n{ROWS[1]}\r\n{ROWS[2]}\r".encode()),
    harmless("crlf-after-the-header-only", f"{HEADER}\r\n".encode() + "\n".join(ROWS).encode()),
    harmless("no-line-end-at-the-end", PLAIN[:-1]),
    harmless("quoted", text(*map(quoted, ROWS))),
    harmless("quoted-here-and-there", text(ROWS[0], quoted(ROWS[1]), ROWS[2].replace(",3,", ',"3",'))),
    harmless("quoted-header", text(*ROWS, header=quoted(HEADER))),
    harmless("blank-lines", text("", ROWS[0], "", "", ROWS[1], " ", "\t", "\r", ROWS[2], "")),
    harmless("spaces-round-numbers", text(*(line.replace(",", " , ") + " " for line in ROWS))),
    harmless("tabs-round-numbers", text(*("\t" + line.replace(",", "\t,\t") for line in ROWS))),
    harmless("spaces-round-quotes", text(*(f" {quoted(line)} ".replace(",", " , ") for line in ROWS))),
    harmless("spaces-in-quotes", text(*(quoted(line.replace(",", " , ")) for line in ROWS))),
    harmless("trailing-comma-everywhere", text(*(line + "," for line in ROWS), header=HEADER + ",")),
    harmless("upper-case-header", text(*ROWS, header=HEADER.upper())),
    harmless("spaces-in-header", text(*ROWS, header=HEADER.replace(",", " , "))),
    harmless(
        "other-column-order", text(*(reordered(one, BACKWARDS) for one in ROWS), header=reordered(HEADER, BACKWARDS))
    ),
    harmless("unknown-columns", text(*(f'x,{one},"a ""b"", c"' for one in ROWS), header=f"first,{HEADER},note")),
    harmless("leading-zeros", text(*(line.replace(",3160", "," + "0" * 30 + "3160") for line in ROWS))),
    harmless("minus-zero", text(row(bytes_uplink="-0")), [Flow(START, 31600000001, 0, 10, 1, 901)]),
    harmless(
        "negative-service-and-cell",
        text(row(service_id=-(2**31), cell_id=-(2**63))),
        [Flow(START, 31600000001, 1, 10, -(2**31), -(2**63))],
    ),
    harmless(
        "largest-numbers",
        text(Flow(START + 86400, 2**63 - 1, 2**63 - 1, 0, 2**31 - 1, 2**63 - 1).line()),
        [Flow(START + 86400, 2**63 - 1, 2**63 - 1, 0, 2**31 - 1, 2**63 - 1)],
    ),
    harmless("the-first-interval-of-all", text(flow(1, 300).line()), [flow(1, 300)]),
    harmless(
        "several-intervals",
        text(*(flow(number, START + number * 900).line() for number in range(20, 0, -1))),
        [flow(number, START + number * 900) for number in range(20, 0, -1)],
    ),
    harmless("the-same-row-twice", text(ROWS[0], ROWS[0]), [FLOWS[0], FLOWS[0]]),
    harmless("header-only", text(), []),
    harmless("header-without-line-end", HEADER.encode(), []),
    harmless("header-and-blank-lines", text("", " ", ""), []),
    harmless("gzip", GZIP, suffix=".csv.gz"),
    harmless("gzip-upper-case", GZIP, suffix=".csv.GZ"),
    harmless(
        "gzip-of-several-members",
        gzip.compress(PLAIN[:50]) + gzip.compress(b"") + gzip.compress(PLAIN[50:]),
        suffix=".csv.gz",
    ),
    harmless("gzip-padded-with-nul", GZIP + b"\0" * 3000, suffix=".csv.gz"),
    harmless("gzip-of-header-only", gzip.compress(text()), [], suffix=".csv.gz"),
    harmless("zstd", ZSTD, suffix=".csv.zst"),
    harmless(
        "zstd-of-several-frames", zstandard.compress(PLAIN[:50]) + zstandard.compress(PLAIN[50:]), suffix=".csv.zst"
    ),
]

BAD_ROWS = [
    bad_field("text", "bytes_uplink", "many", NUMBER),
    bad_field("float", "bytes_uplink", "1.5", NUMBER),
    bad_field("float-that-is-whole", "msisdn", "31600000001.0", NUMBER),
    bad_field("exponent", "bytes_downlink", "1e3", NUMBER),
    bad_field("hex", "cell_id", "0x1F", NUMBER),
    bad_field("nan", "bytes_downlink", "NaN", NUMBER),
    bad_field("infinity", "bytes_downlink", "inf", NUMBER),
    bad_field("null-word", "msisdn", "NULL", NUMBER),
    bad_field("true", "service_id", "true", NUMBER),
    bad_field("underscore", "bytes_uplink", "1_000", NUMBER),
    bad_field("plus-sign", "msisdn", "+31600000001", NUMBER),
    bad_field("two-signs", "cell_id", "--1", NUMBER),
    bad_field("minus-alone", "cell_id", "-", NUMBER),
    bad_field("full-width-digits", "service_id", "\uff11\uff12", NUMBER),
    bad_field("arabic-digits", "service_id", "\u0663", NUMBER),
    bad_field("space-within", "bytes_uplink", "1 000", NUMBER),
    bad_field("thousands-in-quotes", "bytes_uplink", '"1,000"', NUMBER),
    bad_field("apostrophe", "msisdn", "'31600000001", NUMBER),
    bad_field("formula", "cell_id", "=1+1", NUMBER),
    bad_field("carriage-return-within", "cell_id", "1\r2", NUMBER),
    bad_field("empty", "bytes_uplink", "", "is empty"),
    bad_field("empty-quotes", "service_id", '""', "is empty"),
    bad_field("only-spaces-in-a-field", "cell_id", "  ", "is empty"),
    bad_field("negative-bytes", "bytes_downlink", -1, "is negative"),
    bad_field("negative-msisdn", "msisdn", -31600000001, "is less than 1"),
    bad_field("zero-msisdn", "msisdn", 0, "is less than 1"),
    bad_field("beyond-64-bits", "bytes_uplink", 2**63, "is beyond 64 bits"),
    bad_field("beyond-64-bits-downwards", "cell_id", -(2**63) - 1, "is beyond 64 bits"),
    bad_field("beyond-128-bits", "msisdn", 2**128, "is beyond 64 bits"),
    bad_field("five-thousand-digits", "cell_id", "9" * 5000, "is beyond 64 bits"),
    bad_field("service-beyond-32-bits", "service_id", 2**31, "is beyond 32 bits"),
    bad_field("service-beyond-32-bits-downwards", "service_id", -(2**31) - 1, "is beyond 32 bits"),
    bad_interval("misaligned", MS + 1, MS + 300_001, COLUMNS[0], "is not aligned to 5 minutes"),
    bad_interval("misaligned-by-a-minute", MS + 60_000, MS + 360_000, COLUMNS[0], "is not aligned to 5 minutes"),
    bad_interval("reversed", MS + 300_000, MS, COLUMNS[1], NOT_FIVE),
    bad_interval("ten-minutes", MS, MS + 600_000, COLUMNS[1], NOT_FIVE),
    bad_interval("zero-length", MS, MS, COLUMNS[1], NOT_FIVE),
    bad_interval("seconds-for-milliseconds", START, START + 300, COLUMNS[1], NOT_FIVE),
    bad_interval(
        "the-last-interval-of-all",
        253402214100_000,
        253402214400_000,
        COLUMNS[0],
        "lies more than 86,400 seconds ahead of the clock",
    ),
    bad_interval("last-day-of-9999", 253402214400_000, 253402214700_000, COLUMNS[0], "lies beyond 9999-12-30"),
    bad_interval("year-10000", 253402300800_000, 253402301100_000, COLUMNS[0], "lies beyond 9999-12-30"),
    bad_interval("end-of-64-bits", 2**63 - 1, 2**63 - 1, COLUMNS[0], "lies beyond 9999-12-30"),
    bad_interval("a-clock-never-set", 0, 300_000, COLUMNS[0], "is Unix time 0, as of a clock that was never set"),
    bad_interval("before-1970", -300_000, 0, COLUMNS[0], "is negative"),
    bad_row("too-few-fields", ROWS[0].rpartition(",")[0], "", "has 6 fields where the header has 7"),
    bad_row("too-many-fields", ROWS[0] + ",7", "", "has 8 fields where the header has 7"),
    bad_row("trailing-comma", ROWS[0] + ",", "", "has 8 fields where the header has 7"),
    bad_row("only-commas", ",,,,,,", COLUMNS[0], "is empty"),
    bad_row("one-field", "31600000001", "", "has 1 field where the header has 7"),
    bad_row("other-delimiter-in-a-row", ROWS[0].replace(",", ";"), "", "has 1 field where the header has 7"),
    bad_row("cut-short", ROWS[0][:20], "", "has 2 fields where the header has 7"),
    bad_row("header-again", HEADER, "", "repeats the header"),
    bad_row("header-again-after-bom", "\ufeff" + HEADER.upper(), "", "repeats the header"),
    bad_row("comment", "# end of part 1", "", "has 1 field where the header has 7"),
    bad_row("quote-not-closed", '"' + ROWS[0], "", "has a badly placed quote"),
    bad_row("quote-within", row(cell_id='9"9'), "", "has a badly placed quote"),
    bad_row("text-after-quote", row(cell_id='"9"9'), "", "has a badly placed quote"),
    bad_row("nul-bytes", row(cell_id="9\0"), "", "holds a NUL byte"),
    bad_row("invalid-utf-8", row(cell_id="").encode() + b"\xff", "", "is not valid UTF-8"),
    bad_row("latin-1", row(cell_id="é").encode("latin-1"), "", "is not valid UTF-8"),
    bad_row("utf-16-row", ROWS[0].encode("utf-16-le"), "", "holds a NUL byte"),
    bad_row("line-of-digits-too-long", b"7" * (2**20 + 1), "", "is longer than 1,048,576 bytes"),
    Case(
        "line-break-in-quotes",
        text(*ROWS, row(cell_id='"9\n9"')),
        tuple(FLOWS),
        ((5, "", "has a badly placed quote"), (6, "", "has a badly placed quote")),
    ),
    Case("half-of-it-rejects", text(ROWS[0], "x"), (FLOWS[0],), ((3, "", "has 1 field where the header has 7"),)),
    Case(
        "all-kinds-of-lines-at-once",
        text(quoted(ROWS[0]), "", ROWS[1] + ".", row(msisdn=0), " " + ROWS[1], row(cell_id=2**63), ROWS[2], ROWS[2]),
        (FLOWS[0], FLOWS[1], FLOWS[2], FLOWS[2]),
        ((4, "cell_id", NUMBER), (5, "msisdn", "is less than 1"), (7, "cell_id", "is beyond 64 bits")),
    ),
]

NO_HEADER = "has no header: it is empty, or its first line is"
NO_TEXT = "is not UTF-8 text: its first line holds NUL bytes"
NO_COLUMNS = f"has no column {', '.join(COLUMNS)} in its header"

FAILED = [
    failed("empty-file", b"", NO_HEADER),
    failed("one-line-end", b"\n", NO_HEADER),
    failed("line-ends-only", b"\n" * 5000, NO_HEADER),
    failed("spaces-only", b"   ", NO_HEADER),
    failed("bom-only", b"\xef\xbb\xbf", NO_HEADER),
    failed("blank-line-first", b"\n" + PLAIN, NO_HEADER),
    failed("no-header", "\n".join(ROWS).encode(), "has no header: its first line is a row of numbers"),
    failed("wrong-header", b"time,user,bytes\n1,2,3\n", NO_COLUMNS),
    failed("misspelt-column", PLAIN.replace(b"msisdn", b"msidsn"), "has no column msisdn in its header"),
    failed("two-columns-missing", ",".join(COLUMNS[:5]).encode(), "has no column service_id, cell_id in its header"),
    failed("doubled-column", text(*ROWS, header=HEADER + ",msisdn"), "has the column msisdn 2 times in its header"),
    failed(
        "doubled-column-in-other-case",
        text(header=HEADER + ",MSISDN, msisdn"),
        "has the column msisdn 3 times in its header",
    ),
    failed("semicolons", PLAIN.replace(b",", b";"), "separates its fields by semicolons; it must be commas"),
    failed("tabs", PLAIN.replace(b",", b"\t"), "separates its fields by tabs; it must be commas"),
    failed("bars", PLAIN.replace(b",", b"|"), "separates its fields by bars; it must be commas"),
    failed("spaces", PLAIN.replace(b",", b" "), "separates its fields by spaces; it must be commas"),
    failed(
        "quoted-semicolons",
        quoted(HEADER).replace(",", ";").encode(),
        "separates its fields by semicolons; it must be commas",
    ),
    failed("cr-alone", PLAIN.replace(b"\n", b"\r"), "ends its lines with CR alone; they must end with LF or CR LF"),
    failed("badly-quoted-header", b'"' + PLAIN, "has a header with a badly placed quote"),
    failed("header-in-latin-1", "é,".encode("latin-1") + PLAIN, "has a header that is not valid UTF-8"),
    failed(
        "too-many-columns",
        text(header=HEADER + "," * 1000),
        "has 1,007 columns in its header; it can have 1,000 at most",
    ),
    failed("first-line-too-long", b"x" * 2**21, "has no header: its first line is longer than 1,048,576 bytes"),
    failed("utf-16-le", b"\xff\xfe" + PLAIN.decode().encode("utf-16-le"), "is UTF-16 text; it must be UTF-8"),
    failed("utf-16-be", b"\xfe\xff" + PLAIN.decode().encode("utf-16-be"), "is UTF-16 text; it must be UTF-8"),
    failed("utf-16-le-without-bom", PLAIN.decode().encode("utf-16-le"), NO_TEXT),
    failed("utf-16-be-without-bom", PLAIN.decode().encode("utf-16-be"), NO_TEXT),
    failed("utf-32", PLAIN.decode().encode("utf-32-be"), NO_TEXT),
    failed("only-nul-bytes", b"\0" * 5000, NO_TEXT),
    failed("png", PNG, "has a header that is not valid UTF-8"),
    failed("json", b'{"msisdn": 1, "cell_id": 2}\n', "has a header with a badly placed quote"),
    failed("html", b"<!DOCTYPE html>\n<p>404</p>\n", NO_COLUMNS),
    failed("gzip-with-a-plain-name", GZIP, "holds gzip data, but its name does not end in .gz"),
    failed("zstd-with-a-plain-name", ZSTD, "holds zstd data, but its name does not end in .zst"),
    failed("plain-with-a-gzip-name", PLAIN, "is no gzip data, though its name ends in .gz", ".csv.gz"),
    failed("plain-with-a-zstd-name", PLAIN, "is no zstd data, though its name ends in .zst", ".csv.zst"),
    failed("zstd-with-a-gzip-name", ZSTD, "is no gzip data, though its name ends in .gz", ".csv.gz"),
    failed("empty-gzip-name", b"", NO_HEADER, ".csv.gz"),
    failed("empty-zstd-name", b"", NO_HEADER, ".csv.zst"),
    failed("gzip-of-nothing", gzip.compress(b""), NO_HEADER, ".csv.gz"),
    failed("gzip-of-gzip", gzip.compress(GZIP), "holds gzip data, but its name does not end in .gz", ".csv.gz"),
    failed("gzip-cut-in-its-header", GZIP[:5], "ends in the middle of its gzip data", ".csv.gz"),
    failed(
        "gzip-cut-in-the-middle", LONG_GZIP[: len(LONG_GZIP) // 2], "ends in the middle of its gzip data", ".csv.gz"
    ),
    failed("gzip-cut-in-its-trailer", GZIP[:-3], "ends in the middle of its gzip data", ".csv.gz"),
    failed("gzip-damaged-in-the-middle", flipped(LONG_GZIP, len(LONG_GZIP) // 2), "holds damaged gzip data", ".csv.gz"),
    failed("gzip-with-a-wrong-checksum", flipped(GZIP, -6), "holds damaged gzip data", ".csv.gz"),
    failed("gzip-with-a-wrong-length", flipped(GZIP, -2), "holds damaged gzip data", ".csv.gz"),
    failed("gzip-followed-by-text", GZIP + b"the end", "holds something else after its gzip data", ".csv.gz"),
    failed("zstd-cut-in-its-header", ZSTD[:3], "ends in the middle of its zstd data", ".csv.zst"),
    failed(
        "zstd-cut-in-the-middle", LONG_ZSTD[: len(LONG_ZSTD) // 2], "ends in the middle of its zstd data", ".csv.zst"
    ),
    failed("zstd-cut-in-its-checksum", ZSTD[:-2], "ends in the middle of its zstd data", ".csv.zst"),
    failed("zstd-with-a-wrong-checksum", flipped(ZSTD, -1), "holds damaged zstd data", ".csv.zst"),
    failed("zstd-damaged-at-its-first-block", flipped(LONG_ZSTD, 9), "holds damaged zstd data", ".csv.zst"),
    failed("zstd-followed-by-text", ZSTD + b"\n", "holds something else after its zstd data", ".csv.zst"),
    failed(
        "zstd-that-needs-much-memory",
        b"\x28\xb5\x2f\xfd\x00\xa8" + b"\x01\x00\x00",
        "needs too much memory to unpack",
        ".csv.zst",
    ),
    Case(
        "rows-of-another-delimiter",
        text(*(one.replace(",", ";") for one in ROWS)),
        rejects=tuple((number, "", "has 1 field where the header has 7") for number in (2, 3, 4)),
        reason="is the wrong file: 3 of its 3 rows are rejects",
        lines=3,
    ),
    Case(
        "most-of-it-rejects",
        text(ROWS[0], "x", "y"),
        rejects=((3, "", "has 1 field where the header has 7"), (4, "", "has 1 field where the header has 7")),
        reason="is the wrong file: 2 of its 3 rows are rejects",
        lines=3,
    ),
]

CASES = [*HARMLESS, *BAD_ROWS, *FAILED]
