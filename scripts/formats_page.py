"""The reference page of formats."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from kpis.catalog import formats
from scripts.markdown import table

FORMATS_INTRO = """
A feed's format says how its rows are written in bytes. [Feeds](feeds.md) has the format of each.

A row is decoded, split and read by what its feed declares, and by nothing that is guessed from the file: a file of
another delimiter or encoding fails with that reason.
"""

CSV_INTRO = """
A row a line, which ends in LF or CR LF. The options, and what a feed has that does not name them:
"""

CSV_RULES = """
- **Lines.** A line of nothing but white space is blank, and no row, also where tabs or spaces separate the fields.
  Preamble, comments, header and blank lines are no rows: rows = records + rejects. A reject's line number counts all
  lines of the file, so it is the number that an editor shows. With a preamble or comments, blank lines before the
  header are passed over; without, the first line is the header.
- **Header.** Names match in any letter case; spaces and quotes round them do not count. A column whose name in files is
  not its own has its names in `headers`: any of them matches, and its own does not. One of these also matches a name
  with a unit in brackets, `Bytes` both `Bytes [kB]` and `Bytes (kB)`, whatever the unit, unless a column has that very
  name: name the unit too, where another must not be read. A column that is found twice fails the file. Columns that the
  feed does not know are ignored.
- **Without a header** the columns are the feed's, in their order; with an optional one, a first line that names a
  column is the header.
- **Fields.** Spaces and tabs round a value do not count, within quotes neither.
- **Numbers.** Only whole and decimal numbers have thousands separators and a decimal comma. Separators have three
  digits between them: `1.234.567,5`, or none of them: `1234567,5`. Where the decimals have a comma, a point that
  separates no thousands makes the row a reject.
- **Encodings.** What cannot be decoded makes its row a reject, "is not valid UTF-16", and no other. `utf-16` needs a
  byte order mark, the others may have one that fits. A reject's text, and the limits of line lengths, are those of the
  line in UTF-8; a file's digest is that of its bytes as they are.
- **Messages** of a stream are a row each, in UTF-8 whatever the encoding of the feed's files, with the feed's columns
  in their order and no header line, also where files must have one. A column that files may lack is an empty field. A
  message of Kafka may name its own columns, [in a record header](../how-to/streams.md#what-a-message-is). No message is
  a comment or part of a preamble.
- **Speed.** The compiled scanner reads every dialect but those with a delimiter beyond ASCII, of which each row is
  judged singly. A file in another encoding than UTF-8 is decoded while it is scanned: one in UTF-16 takes about a
  quarter more CPU time than the same rows in UTF-8.
"""

JSON_INTRO = """
An object a line, in UTF-8. It has no options.

- **Keys** match as they are spelled. A column whose key is not its own name has its keys in `headers`: `Cell ID`, or
  `radio.cell.id` for `{"radio": {"cell": {"id": 5}}}`. A key of the object that is all of it, `"radio.cell.id"`, comes
  before the path. Of several keys a row must have only one.
- **Other keys**, and whatever they hold, are passed over. A key that comes twice in one object makes the row a reject.
- **Missing keys** make the row a reject, unless the feed says that its files may lack the column. `null` is an empty
  field.
- **Messages** of a stream are an object each.
- **Numbers** are read exactly as they are written: `1.5`, `3e2`. Decimal numbers may also be texts, `"1.5"`, whole ones
  may not.
- **Speed.** The compiled scanner reads all of it, but leaves feeds with several keys for a column to the bulk reader,
  which judges each row singly where keys lie within objects, or may be missing.
"""

PARQUET_INTRO = """
Columns are found by their names, as in a header of CSV: in any letter case, by their names in files, with or without a
unit in brackets. Other columns, and nested ones, are ignored. Row groups, pages, encodings and dictionaries may be any;
columns may be packed with Snappy, Zstandard, gzip, LZ4, Brotli or not at all. A file is read some
ten thousand rows at a time, so that memory is bounded whatever its size or that of its row groups. Its name has no
`.gz` or `.zst` after it, as Parquet packs its columns itself. A message of a stream is never Parquet, which is for many
rows.

- **Values** are read as the text that CSV would have: the whole number 5, the DOUBLE 5.0, the DECIMAL 5.00 and the
  STRING `5` are the same. NULL is an empty field. The types of a file's columns may be:

| column | in the file |
| --- | --- |
| whole number | INT8 to INT64, UINT8 to UINT64, FLOAT, DOUBLE and DECIMAL if they are whole, STRING |
| decimal number | the same, rounded half to even at the sixth place from the exact value of a FLOAT or DOUBLE |
| text | STRING, BYTE_ARRAY in UTF-8, integers, DECIMAL, BOOLEAN, UUID |
| one of a few words | STRING, BYTE_ARRAY in UTF-8, integers, BOOLEAN |
| true or false | BOOLEAN, integers, STRING |
| postal code | STRING, integers, FLOAT, DOUBLE, DECIMAL |
| UUID | UUID, STRING |
| day | DATE, TIMESTAMP if it is a midnight, STRING |
| time of day | TIME, STRING |
| time | TIMESTAMP, STRING; for Unix time also numbers, for a format also integers |

- **Times** are exact to the microsecond; what they have below is cut off. A TIMESTAMP that is adjusted to UTC is UTC;
  any other is local time of the column's zone.
- **A column of another type** fails the file, with the column, both types and the type to write it as. A value that the
  column cannot hold makes its row a reject, with the row's number, from 1, and the feed's columns of the row as JSON.
- **A file fails as a whole** if it is cut off, damaged, encrypted, packed in another way or no Parquet, if a STRING is
  not UTF-8, or if it unpacks to more than `MAX_UNPACKED_MB` or `MAX_UNPACKED_RATIO` allow, each value counted as 8
  bytes at least; also if a TIMESTAMP in milliseconds lies beyond the year 294246, which DuckDB cannot read.
- **Speed.** DuckDB decodes and checks the rows, and the compiled scanner reduces them: 10,000,000 IP flows take the
  same 231 MB as 1,000,000, and half a CPU second per million, about three times that of CSV. Feeds that are archived,
  or that the scanner does not support, go through a table of DuckDB, which takes up to `MEMORY_LIMIT_MB` and then the
  disk.
"""

AVRO_INTRO = """
Records of Apache Avro, in files and in messages of a stream; it needs the extra `avro`. A record is read as the JSON
object that it would be, by the same rules as [JSON lines](#json-lines): a column is found by its name in files, or by a
path such as `radio.cell.id` in records and maps within. Other fields are passed over.

- **Messages** are in the wire format of Confluent's schema registry: a zero byte, the id of the schema in four bytes,
  the highest first, and the record. `schemas` says where the schemas are: a folder with a file `ID.avsc` for each, or
  the address of a registry, which is asked with `GET /schemas/ids/ID`, also for schemas that a schema refers to. Each
  schema is loaded once a process. The account is `SCHEMA_REGISTRY_USERNAME` with `SCHEMA_REGISTRY_PASSWORD`, or that of
  the registry's host in netrc's file, never in the catalog file; certificates are the system's, or those of
  `SSL_CERT_FILE`.
- **A registry that does not answer** within 10 seconds, refuses the account or answers anything unknown stops the
  consumer with that reason; so does a folder that is not there. Nothing is lost: the messages are read again. An id
  that the registry or the folder does not have makes the message a reject, and is asked for again after a minute.
- **Files** (`.avro`) have their schema within, and need no `schemas`. Blocks may be compressed with deflate, Snappy,
  Zstandard, bzip2, xz or not at all, and have 64 MB at most, as they are and unpacked; a file is read by blocks, so
  that memory is bounded whatever its size. A file that is cut off or damaged fails as a whole. One that ends exactly
  where a block does is whole as far as anyone can tell.
- **Values** become what JSON lines would have:

| Avro | read as |
| --- | --- |
| null, boolean, int, long, string, enum | the same in JSON; an enum is its symbol |
| float, double | a number, exactly; NaN and the infinities make the row a reject |
| decimal | its digits, for whole and decimal numbers and texts |
| bytes, fixed | their text in UTF-8; what is not valid makes the row a reject |
| timestamp-millis, timestamp-micros | a time in UTC, also as Unix time of any unit; at midnight also a day |
| local-timestamp-millis, local-timestamp-micros | a time in the column's zone |
| date, time-millis, time-micros, uuid | a day, a time of day, a UUID |
| a union | the value of the type that it has |
| record, map | an object, whose values columns name by paths |
| array, or a record where a column needs a value | a reject |

- **A time in a format** of directives (`%d.%m.%Y`) cannot be an Avro timestamp: give its column `iso` or a Unix format.
- **Rejects** of messages that cannot be decoded have the message's bytes as text, others the feed's values as JSON.
- **Spark.** Executors need fastavro, cramjam and orjson. The driver sends them the schemas of a folder; a registry they
  ask themselves, with the account from their own environment.
"""

OWN_INTRO = """
Another format than these comes from a plug-in, which turns the bytes of a file, or of a stream's message, into rows as
lines of CSV or of JSON. All that follows is the same for every format: columns, checks, rejects, the compiled scanner,
packed files, streams, Spark. A catalog file names it, with the options that it has:

```toml
[feeds.probe]
description = "Probe counters"
files = ["probe_*"]
format = {type = "plugin", name = "fixed_width", options = {widths = [10, 8, 12]}}
```

It is an object. [The plug-in](plugins.md) names its place:
`formats={"fixed_width": "network_analysis_probes.fixed_width:FORMAT"}`.

```python
from kpis.catalog.plugin_formats import Refusal
from kpis.formats.decoded import csv_line


class FixedWidth:
    title = "fixed-width text"
    endings = (".dat",)
    lines = "csv"

    def check(self, options):
        widths = options.get("widths")
        if not isinstance(widths, list) or not all(isinstance(width, int) and width > 0 for width in widths):
            raise ValueError("widths must be a list of whole numbers, one a column")

    def rows(self, file, columns, options):
        for row in file:
            yield self.line(row.rstrip(b"\\n"), columns, options)

    def line(self, message, columns, options):
        fields, start = [], 0
        for width in options["widths"]:
            fields.append(message[start : start + width].decode().strip())
            start += width
        if len(message) != start:
            return Refusal("is of the wrong length", text=message.decode())
        return csv_line(fields)


FORMAT = FixedWidth()
```
"""

OWN_RULES = """
- **The object has no state.** A file may be decoded twice, and several at once, in threads and in processes. `columns`
  are the feed's, in their order: each has a `name`, its `names_in_files`, a `type` and a `unit`. `options` are those of
  the catalog file, checked before.
- **A row** is a line in UTF-8, as `bytes`: of `csv` its fields are the feed's columns in their order, with the
  delimiter between them, quoted as CSV is, and empty for no value; of `json_lines` it is an object, its keys the
  columns' names in files. `csv_line(values)`, with commas, and `json_line(values)` make one. `rows` may yield many
  lines at a time, which is faster: about 100 KB are best. A blank line is no row. A field that holds the delimiter,
  within quotes, costs the bulk reader much time.
- **A row that cannot be decoded** is a `Refusal(reason, column="", text="")`, in its place among the others: a reject
  with that reason. All other checks of values are the feed's.
- **Numbers in rejects** count the rows that `rows` yields, from 1; of messages they are offsets.
- **A file that cannot be decoded** as a whole raises `ValueError` with the reason, as it follows the file's name:
  "ends in the middle of a block". It fails with that, and is read again when it changes. Any other error fails it too,
  with the error's kind and text, and logs the traceback. Of a message both are a reject's reason.
- **Errors of the machine**, such as a full disk or a library that is not installed, stop the run as they do elsewhere:
  `OSError` with a number, `MemoryError`, `ImportError`. `kpis.formats.decoded.DecoderUnavailable` says that something
  the format needs does not answer: it stops a stream with that message, and a file is tried again by the next run.
- **Memory** stays bounded if `rows` reads piece by piece: `file` is a stream of the unpacked content, from front to
  back, that can be read once. A format that has to seek copies it first, into a temporary file. A format that unpacks
  data itself has to bound what it unpacks.
- **Speed.** The lines are scanned while the next are decoded, in another thread. A format that passes text through, in
  large pieces, takes a sixth more CPU time than the same text as CSV; one that yields each row by itself about 0.3
  microseconds a row more.
"""


# What a plug-in's format has: each name with its meaning, and what it is by default.
MEMBERS: Sequence[tuple[str, str, str]] = (
    ("title", "its name in pages and messages", "needed"),
    ("endings", "how names of finished files end, for patterns that end in `*`", "needed"),
    ("lines", "how its rows come: `csv` or `json_lines`", "needed"),
    (
        "check(options)",
        "raises `ValueError` if the options cannot be used: the message follows the catalog file's line",
        "needed",
    ),
    ("rows(file, columns, options)", "yields the rows of a file", "needed"),
    ("line(message, columns, options)", "returns the row of a message", "without it, the format is not for streams"),
    ("delimiter", "of `csv`: what is between two fields; best a character that no value has", "`,`"),
    ("can_be_packed", "whether `.gz` or `.zst` may follow a file's name", "`True`"),
)


def formats_page() -> str:
    """Return the page of formats: the options of each, with defaults."""
    options = ((f"`{one.name}`", one.metadata["help"], _shown(one.default)) for one in dataclasses.fields(formats.CSV))
    csv = ["## CSV", CSV_INTRO.strip(), table(("option", "meaning", "default"), options), CSV_RULES.strip()]
    others = ["## JSON lines", JSON_INTRO.strip(), "## Parquet", PARQUET_INTRO.strip(), "## Avro", AVRO_INTRO.strip()]
    members = ((f"`{name}`", meaning, default) for name, meaning, default in MEMBERS)
    own = ["## A format of your own", OWN_INTRO.strip(), table(("attribute", "meaning", "default"), members)]
    return "\n\n".join(["# Formats", FORMATS_INTRO.strip(), *csv, *others, *own, OWN_RULES.strip()])


def _shown(default: Any) -> str:
    if isinstance(default, formats.Header):
        return f"{default}"
    return f"`{default}`" if default not in ("", ()) else "none"
