"""The JSON Schema of a feed's records says what the judge says, for random feeds and messages.

What the judge accepts is valid. What it rejects for the type, the range or the words of a value is not valid.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace

from jsonschema import Draft202012Validator

from kpis.catalog.columns import Integer, UnixTimestamp
from kpis.catalog.feeds import BadRow, Column, Feed
from kpis.catalog.formats import JSONLines
from kpis.contracts.json_schema import record_schema
from kpis.formats.file_formats import row_format_of
from kpis.formats.row_format import RowFormat
from tests.effort import times
from tests.property.test_scanner_columns import json_lines, random_feed

CASES = times("CONTRACT_CASES", 50, 5_000)
# The reasons of rejects that a schema knows: type, range, words, and a key that is missing.
KNOWN = re.compile(
    "is not a whole number|is not a number|is not a text|is negative|is less than|is more than|is beyond .* bits"
    "|is not between|is none of|is not a UUID|is missing|is not a decimal number"
)
# Further values of JSON, of which each type takes some.
VALUES = [
    "1",
    "-1",
    "0",
    "99",
    "2.5",
    "1e3",
    "true",
    "false",
    "null",
    '""',
    '" "',
    '"7"',
    '"B"',
    "[1]",
    '{"a": 1}',
    str(2**63),
]


def with_others(line: bytes, feed: Feed, chance: random.Random) -> bytes:
    """The line, with some values exchanged for others."""
    try:
        values = json.loads(line, parse_float=lambda text: text)
    except ValueError:
        return line
    if chance.random() < 0.5:
        return line
    text = line.decode()
    for column in feed.columns:
        if column.name in values and chance.random() < 0.3:
            shown = re.escape(json.dumps(values[column.name], ensure_ascii=False))
            text = re.sub(f'"{column.name}": {shown}', f'"{column.name}": {chance.choice(VALUES)}', text)
    return text.encode()


def reject_of(rows: RowFormat, text: str) -> BadRow | None:
    try:
        rows.record(text)
    except BadRow as bad:
        return bad
    return None


def is_beyond_a_schema(feed: Feed, bad: BadRow, values: dict) -> bool:
    """True where a number is written as a text, or a whole one with a point, which is the same number in JSON."""
    value = values.get(bad.column)
    of = feed.column(bad.column).type if bad.column else None
    if isinstance(value, float) and isinstance(of, Integer | UnixTimestamp):
        return value.is_integer()
    return isinstance(value, str) and "is not between" in bad.reason


def test_a_schema_accepts_what_the_judge_accepts_and_nothing_of_another_type():
    chance = random.Random(20260301)  # noqa: S311
    accepted = refused = 0
    for _ in range(CASES):
        feed, columns = random_feed(chance)
        feed = replace(feed, format=JSONLines())
        schema = record_schema(feed)
        Draft202012Validator.check_schema(schema)
        validator = Draft202012Validator(schema)
        rows = row_format_of(feed, b"", {})
        for line in json_lines(feed, columns, chance):
            text = with_others(line, feed, chance).decode()
            bad = reject_of(rows, text)
            try:
                values = json.loads(text)
            except ValueError:
                continue
            if bad is None:
                accepted += 1
                assert validator.is_valid(values), (text, list(validator.iter_errors(values)))
            elif KNOWN.search(bad.reason) and not is_beyond_a_schema(feed, bad, values):
                refused += 1
                assert not validator.is_valid(values), (bad, text)
    assert min(accepted, refused) > CASES


def test_a_value_within_objects_is_found_and_required_there():
    feed, _ = random_feed(random.Random(1))  # noqa: S311
    columns = (
        *(column for column in feed.columns if column.name in [name for name, _ in feed.moment.parts]),
        Column("cell", Integer(minimum=1), headers=("radio.cell.id", "cid")),
        Column("rank", Integer(optional=True, maximum=9), required=False, headers=("more.rank",)),
    )
    schema = record_schema(replace(feed, format=JSONLines(), columns=columns, checks=(), derived=()))
    schema["required"] = []
    validator = Draft202012Validator(schema)
    valid = [{"radio": {"cell": {"id": 1}}}, {"cid": 7, "more": {"rank": None}}, {"radio.cell.id": 2, "more": 5}]
    wrong = [{}, {"radio": {"cell": {}}}, {"radio": {"cell": {"id": 0}}}, {"cid": 1, "more": {"rank": 10}}]
    assert [validator.is_valid(one) for one in valid + wrong] == [True] * 3 + [False] * 4
