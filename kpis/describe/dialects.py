"""How a sample is written: its encoding, and the delimiter, quote, header and numbers of CSV."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import duckdb

SAMPLE_BYTES = 4 * 2**20
MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
# What the sniffer says of a character that there is not.
_NONE = "(empty)"
_POINT = re.compile(r"[-+]?[0-9]+\.[0-9]+")
_COMMA = re.compile(r"[-+]?([0-9]+|[0-9]{1,3}(?:[. '][0-9]{3})+),[0-9]+")
_GROUPS = re.compile(r"[-+]?[0-9]{1,3}(?:([., '\u00a0\u202f])[0-9]{3})(?:\1[0-9]{3})*(?:[.,][0-9]+)?")
# Any number with separators or decimals, and one whose thousands are separated for certain: twice, or before decimals.
_SEPARATED = re.compile(r"[-+]?[0-9]+(?:[., '\u00a0\u202f][0-9]{3})*(?:[.,][0-9]+)?")
_CLEAR_GROUPS = re.compile(
    r"[-+]?[0-9]{1,3}([., '\u00a0\u202f])[0-9]{3}(?:(?:\1[0-9]{3})+(?:(?!\1)[.,][0-9]+)?|(?!\1)[.,][0-9]+)"
)
# Such as an IPv4 address.
_FOUR_PARTS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
MISSING_WORDS = ("NULL", "N/A", "NA", "NaN", "None", "-", "\\N")


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written, in the terms of ``kpis.catalog.formats.CSV``."""

    delimiter: str
    quote: str
    comment: str
    preamble: int
    has_header: bool


def encoding_of(content: bytes) -> str:
    """Return the encoding of a file by its first bytes: the first that fits of UTF-8, UTF-16, Windows-1252, Latin-1."""
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            return encoding
    even, odd = content[0::2].count(0), content[1::2].count(0)
    if max(even, odd) > len(content) // 8:
        return "utf-16-le" if odd > even else "utf-16-be"
    try:
        # The sample may end within a character.
        content[: content.rfind(b"\n") + 1 or None].decode()
        return "utf-8"
    except UnicodeDecodeError:
        # Latin-1 has control characters where Windows-1252 has letters and quotes.
        return "cp1252" if re.search(rb"[\x80-\x9f]", content) else "latin-1"


def dialect_of(text: str) -> Dialect:
    """Return how a CSV text is written, as DuckDB's sniffer finds it; raises ValueError if it finds nothing."""
    found = None
    with tempfile.NamedTemporaryFile("w", suffix=".csv", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        with duckdb.connect() as connection, suppress(duckdb.Error):
            found = connection.execute(
                "SELECT Delimiter, Quote, Comment, SkipRows, HasHeader FROM sniff_csv(?, sample_size = 20000)",
                [file.name],
            ).fetchone()
    if found is None:
        raise ValueError("is not CSV that can be recognized: no delimiter gives all its rows the same fields")
    delimiter, quote, comment, skipped, has_header = found
    quote, comment = ("" if one == _NONE else one for one in (quote, comment))
    return Dialect(
        delimiter=delimiter,
        # Without a quote in the sample, one may still come.
        quote=quote or ('"' if delimiter != '"' else ""),
        comment=comment,
        preamble=skipped,
        has_header=has_header,
    )


def decimal_mark_of(columns: Sequence[Sequence[str]], delimiter: str) -> tuple[str, str]:
    """Return the decimal mark and the thousands separator of numbers, by the values of each column."""
    commas = points = 0
    groups: Counter[str] = Counter()
    clear: Counter[str] = Counter()
    for values in columns:
        filled = [value for value in values if value]
        if not filled or all(_FOUR_PARTS.fullmatch(value) for value in filled):
            continue
        if all(value.lstrip("+-").isdigit() or _SEPARATED.fullmatch(value) for value in filled):
            separators = Counter(found[1] for value in filled if (found := _CLEAR_GROUPS.fullmatch(value)))
            clear.update(separators)
            # What separates thousands is no decimal mark, also in numbers that have it once.
            if "," in separators or "." in separators:
                points += separators[","]
                commas += separators["."]
                groups["."] += separators["."]
                continue
        if all(_COMMA.fullmatch(value) or value.lstrip("+-").isdigit() or _GROUPS.fullmatch(value) for value in filled):
            commas += sum(bool(_COMMA.fullmatch(value)) for value in filled)
            groups.update(found[1] for value in filled if (found := _GROUPS.fullmatch(value)))
        points += sum(bool(_POINT.fullmatch(value)) for value in filled)
    if commas > points and delimiter != ",":
        del groups[","]
        return ",", max(groups, key=lambda one: groups[one], default="")
    del clear["."]
    return ".", max(clear, key=lambda one: clear[one], default="")
