"""What SQL accepts of a column's texts, the definition in Python accepts too, with the same value: random texts."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta

import duckdb
import numpy as np
import pytest

from kpis.catalog.columns import (
    BadValue,
    Boolean,
    Choice,
    ColumnType,
    FormattedTimestamp,
    Integer,
    ISOTimestamp,
    UnixTimestamp,
)
from tests.effort import times

CASES = times("COLUMN_CASES", 1_000, 100_000)
# Times that are near one another, and near changes of Madrid's, New York's and Casablanca's clocks, and far ones.
NEAR = [
    datetime.fromisoformat(text)
    for text in (
        "2026-03-29 02:30", "2026-10-25 02:30", "2026-03-08 02:30", "2026-11-01 01:30", "2026-02-15 02:30",
        "2026-03-22 02:30", "2026-12-31 23:59:59", "1970-01-01", "2069-12-31 23:59:59", "1999-02-28",
        "9999-12-31 23:30", "1000-01-01 00:30", "0001-01-01 00:30", "1969-12-31 23:59:59", "2000-02-29 12:00",
    )
]  # fmt: skip
OFFSETS = ["Z", "+00:00", "+02:00", "-0330", "+14", "-00:00", "+23:59", "-24:00", "+02:60", "+2:00", " +02:00", "z"]
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def a_time(chance: random.Random) -> datetime:
    near = chance.choice(NEAR)
    try:
        return near + timedelta(microseconds=chance.choice([0, 1, 10**6, 10**9, chance.randrange(-(10**10), 10**10)]))
    except OverflowError:
        return near


def iso(chance: random.Random) -> str:
    when = a_time(chance)
    text = f"{when.year:04}-{when:%m-%d}{chance.choice('TTTT t ')}{when:%H:%M}"
    if chance.random() < 0.8:
        text += f":{when:%S}"
        if chance.random() < 0.4:
            text += (
                chance.choice(".....,")
                + f"{when.microsecond:06}{chance.randrange(10**4):04}"[: chance.randrange(0, 10)]
            )
    return text + ("" if chance.random() < 0.4 else chance.choice(OFFSETS))


def written(format: str) -> Callable[[random.Random], str]:
    def text(chance: random.Random) -> str:
        when = a_time(chance)
        hour = when.hour % 12 or 12
        month = MONTHS[when.month - 1]
        is_short = chance.random() < 0.2
        parts = {
            "%Y": f"{when.year:04}", "%y": f"{when.year % 100:02}", "%m": f"{when.month:02}", "%d": f"{when.day:02}",
            "%H": f"{when.hour:02}", "%I": f"{hour:02}", "%M": f"{when.minute:02}", "%S": f"{when.second:02}",
        }  # fmt: skip
        if is_short:
            parts = {name: part.lstrip("0") or "0" for name, part in parts.items()}
        parts |= {
            "%b": chance.choice([month, month.upper(), month.lower()]),
            "%B": chance.choice([f"{when:%B}", f"{when:%B}".upper(), month]),
            "%p": chance.choice(["AM", "am", "Am"]) if when.hour < 12 else chance.choice(["PM", "pm"]),
            "%f": f"{when.microsecond:06}{chance.randrange(10**4):04}"[: chance.randrange(1, 11)],
            "%z": chance.choice(OFFSETS),
            "%%": "%",
        }
        text = format
        for name, part in parts.items():
            text = text.replace(name, part)
        return text

    return text


def number(chance: random.Random) -> str:
    mantissa = chance.choice(["{:.6e}", "{:.0f}.0", "{:.0f}", "{:.3f}", "{:.2E}", "{:.1f}", "{:g}"])
    value = chance.choice([0, 1, 10, 123, 99, 2**31, 2**31 - 1, 2**63, 31656863000, 1.5, chance.random() * 10**9, -5])
    return mantissa.format(float(value) if "f" in mantissa or "e" in mantissa.lower() else value)


def unix(a_second: int) -> Callable[[random.Random], str]:
    def text(chance: random.Random) -> str:
        micro = (a_time(chance) - datetime.fromisoformat("1970-01-01")) // timedelta(microseconds=1)
        whole = str(micro * a_second // 10**6)
        return whole if chance.random() < 0.6 else f"{whole}.{chance.randrange(10**9):09}"[: -chance.randrange(1, 9)]

    return text


def word(chance: random.Random) -> str:
    return chance.choice(
        ["true", "TRUE", "1", "0", "No", "yes", "ſí", "sí", "SÍ", "N/A", "n/a", "fal\u017fe", "off", "'"]
    )


# Each of them means something in a regular expression or in SQL.
WORDS = ("N/A", "a|b", "it's", "C++", "(x)", "100%", "[y]", ".")
TYPES: dict[str, tuple[ColumnType, Callable[[random.Random], str]]] = {
    "iso": (ISOTimestamp(), iso),
    "iso in Madrid": (ISOTimestamp(zone="Europe/Madrid", days=True, optional=True), iso),
    "iso in New York": (ISOTimestamp(zone="America/New_York"), iso),
    "iso in Casablanca": (ISOTimestamp(zone="Africa/Casablanca"), iso),
    **{
        format: (FormattedTimestamp(format=format, zone=zone), written(format))
        for format, zone in [
            ("%d.%m.%Y %H:%M:%S", "Europe/Madrid"),
            ("%Y%m%d%H%M%S", "UTC"),
            ("%Y%m%d%H%M%S%f", "America/St_Johns"),
            ("%m/%d/%Y %I:%M:%S %p", "America/New_York"),
            ("%d-%b-%y %H.%M.%S.%f", "UTC"),
            ("%B %d, %Y %H:%M", "Asia/Kolkata"),
            ("%d/%b/%Y:%H:%M:%S %z", "UTC"),
            ("%y%m%d", "Europe/Madrid"),
            ("'%Y' \\%m|%d%% (%H)", "Africa/Casablanca"),
        ]
    },
    "seconds": (UnixTimestamp(), unix(1)),
    "milliseconds": (UnixTimestamp(a_second=1_000), unix(1_000)),
    "microseconds": (UnixTimestamp(a_second=1_000_000), unix(1_000_000)),
    "scientific": (Integer(scientific=True), number),
    "scientific in 32 bits": (Integer(scientific=True, bits=32, minimum=-10, unknown=(99, -5)), number),
    "unknown": (Integer(unknown=(-5, 99)), number),
    "words": (
        Choice(words=WORDS),
        lambda chance: chance.choice([*WORDS, *WORDS, "n/a", "IT'S", "a", "b", "C", "", "CC"]),
    ),
    "yes or no": (Boolean(true=("true", "1", "sí", "'"), false=("false", "0", "No", "N/A")), word),
}


@pytest.fixture(scope="module")
def connection():
    """An in-memory DuckDB of these tests' own."""
    with duckdb.connect(config={"threads": 1}) as connection:
        yield connection


@pytest.mark.parametrize("name", TYPES)
def test_sql_reads_no_text_otherwise_than_python(connection, name):
    of, text_of = TYPES[name]
    chance = random.Random(20260301)  # noqa: S311  test data need no secrecy
    texts = [text_of(chance) for _ in range(CASES)]
    texts += [damaged(chance, text) for text in texts[: CASES // 2]] + ["", " ", "-", "0", "1", "%", "null"]
    connection.register("texts", {"number": np.arange(len(texts)), "text": np.array(texts, dtype=object)})
    found = connection.execute(
        f"SELECT number, text, {of.is_plain('text')}, {of.value('text')} FROM texts ORDER BY number"
    ).fetchall()
    connection.unregister("texts")
    plain = accepted = 0
    for number, text, is_plain, value in found:
        assert text == texts[number]
        try:
            expected = of.parse(text)
        except BadValue:
            assert not is_plain, text
            continue
        accepted += 1
        plain += bool(is_plain)
        if is_plain:
            assert value == expected, text
    # Most that is accepted is plain: not the far times, and those whose column has another zone.
    assert plain > 0.6 * accepted > 0.1 * CASES


def damaged(chance: random.Random, text: str) -> str:
    place = chance.randrange(len(text) + 1)
    return (
        text[:place]
        + chance.choice("0159:.-+ TZeEa\u017f\xb2%") * chance.randrange(2)
        + text[place + chance.randrange(2) :]
    )
