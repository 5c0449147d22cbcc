"""Columns of ``random_catalogs`` as Parquet has them: a type at random that can hold the values, and files of rows."""

from __future__ import annotations

import io
import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

CODECS = ("none", "snappy", "zstd", "gzip", "brotli", "lz4")
TEXTS = (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.binary())
UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
# The least number of 64 bits, as which no database shows a time.
LEAST = -(2**63)

Write = Callable[[Any], Any]


@dataclass(frozen=True)
class Form:
    """A type of Parquet for a column's values, how a value is written as it, and values that are none."""

    type: pa.DataType
    write: Write
    wrong: tuple[Any, ...] = ()


def forms(keys: dict[str, Any], write: Write) -> list[Form]:
    """Return the forms that a column with these keys can have, whose values ``write`` gives as texts."""
    # No value, in a column that must have one and has no default.
    none = () if keys.get("optional") or "default" in keys else (None,)
    found = list(FORMS[keys["type"]](keys, write))
    return [Form(one.type, _or_none(one.write), one.wrong + none) for one in found if one.wrong + none]


def _or_none(write: Write) -> Write:
    return lambda value: None if value is None else write(value)


def _texts(write: Write, *wrong: str) -> list[Form]:
    def text(value: Any) -> str | None:
        # None where the value is the column's default, which may be left out.
        found = write(value)
        return None if found is None else f"{found}"

    return [Form(type_, text, wrong) for type_ in TEXTS]


def _integer(keys: dict[str, Any], write: Write) -> list[Form]:
    least, most = keys["minimum"], keys["maximum"]
    numbers = [pa.int32(), pa.int64(), *([pa.uint32(), pa.uint64()] if least >= 0 else [])]
    wrong = (most + 1, least - 1) if least < 0 else (most + 1,)
    return [
        *(Form(type_, int, wrong) for type_ in numbers),
        Form(pa.float64(), float, (most + 1.0, 1.5, float("nan"), float("inf"))),
        Form(pa.decimal128(14, 2), Decimal, (Decimal("1.5"), Decimal(most + 1))),
        *_texts(write, "x", "1.5", "0x1"),
    ]


def _decimal(keys: dict[str, Any], write: Write) -> list[Form]:
    wrong = Decimal(201), Decimal("-200.1")
    return [
        *(Form(pa.decimal128(digits, places), Decimal, wrong) for digits, places in ((12, 4), (20, 8), (38, 12))),
        Form(pa.float64(), float, (201.0, -200.1, float("nan"), float("-inf"))),
        *_texts(write, "x", "201", "1.2.3"),
    ]


def _boolean(keys: dict[str, Any], write: Write) -> list[Form]:
    return [Form(pa.bool_(), lambda value: value == "true"), *_texts(write, "maybe")]


def _uuid(keys: dict[str, Any], write: Write) -> list[Form]:
    return [Form(pa.uuid(), lambda value: uuid.UUID(value).bytes), *_texts(write, "not-a-uuid")]


def _postal_code(keys: dict[str, Any], write: Write) -> list[Form]:
    return [Form(pa.int32(), int), Form(pa.float64(), float), *_texts(write, "1" * 21)]


def _date(keys: dict[str, Any], write: Write) -> list[Form]:
    def days(second: int) -> int:
        return datetime.fromisoformat(write(second)).replace(tzinfo=UTC).toordinal() - datetime(1970, 1, 1).toordinal()  # noqa: DTZ001

    return [
        Form(pa.date32(), days, (2**30,)),
        Form(pa.timestamp("ms"), lambda second: days(second) * 86_400_000, (1,)),
        *_texts(write, "2026-02-30"),
    ]


def _clock(keys: dict[str, Any], write: Write) -> list[Form]:
    def seconds(second: int) -> int:
        hours, minutes, left = map(int, write(second).split(":"))
        return hours * 3600 + minutes * 60 + left

    return [
        Form(pa.time32("ms"), lambda second: seconds(second) * 1_000),
        Form(pa.time64("us"), lambda second: seconds(second) * 1_000_000),
        *_texts(write, "24:00:00"),
    ]


def _time(keys: dict[str, Any], write: Write) -> list[Form]:
    zone = ZoneInfo(keys.get("zone", "UTC"))

    def local(second: int) -> int:
        return second + int(datetime.fromtimestamp(second, zone).utcoffset().total_seconds())

    found = [
        Form(pa.timestamp(unit, is_utc), lambda second, of=of, moment=moment: moment(second) * of, wrong)
        for unit, of in UNITS.items()
        # Before 1970 in UTC: no zone's clock differs from UTC by 100,000 s.
        for is_utc, moment, early in (("UTC", int, -5), (None, local, -100_000))
        for wrong in [(early * of, *([LEAST] if unit in ("us", "ns") else []))]
    ]
    if keys["format"].startswith("unix"):
        found += [Form(pa.int64(), lambda second: int(write(second)), (-5,))]
        found += [Form(pa.float64(), lambda second: float(write(second)), (float("nan"),))]
    elif keys["format"] == "%Y%m%d%H%M%S":
        found.append(Form(pa.int64(), lambda second: int(write(second)), (5,)))
    return [*found, *_texts(write, "x")]


FORMS: dict[str, Callable[[dict[str, Any], Write], list[Form]]] = {
    "integer": _integer,
    "decimal": _decimal,
    "text": lambda keys, write: _texts(write, "y" * 21, "a\1b"),
    "choice": lambda keys, write: _texts(write, "FAX"),
    "boolean": _boolean,
    "uuid": _uuid,
    "postal_code": _postal_code,
    "date": _date,
    "time_of_day": _clock,
    "time": _time,
}


def content(chance: random.Random, types: dict[str, pa.DataType], rows: Sequence[dict[str, Any]]) -> bytes:
    """Return a file of rows, by the columns' names there, which come in any case and order, and others beside them."""
    columns = {name: _array([row[name] for row in rows], type_) for name, type_ in types.items()}
    columns = {chance.choice([name, name.upper(), name.title()]): column for name, column in columns.items()}
    columns |= {"nested": pa.array([[{"at": 1}]] * len(rows)), "o'th\"er": pa.nulls(len(rows), pa.int8())}
    order = chance.sample(list(columns), len(columns))
    file = io.BytesIO()
    pq.write_table(
        pa.table({name: columns[name] for name in order}),
        file,
        compression=chance.choice(CODECS),
        row_group_size=chance.choice([1, 3, 7, 1_000]),
        use_dictionary=chance.random() < 0.5,
        version="2.6",
        data_page_version=chance.choice(["1.0", "2.0"]),
        write_statistics=chance.random() < 0.5,
    )
    return file.getvalue()


def _array(values: list[Any], type_: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(type_):
        return pa.array(values, type_.value_type).cast(type_)
    if pa.types.is_binary(type_):
        return pa.array([None if value is None else value.encode() for value in values], type_)
    if pa.types.is_temporal(type_):
        return pa.array(values, pa.int32() if type_.bit_width == 32 else pa.int64()).cast(type_)
    return pa.array(values, type_)
