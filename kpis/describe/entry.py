"""The catalog entry of a sample, as TOML with comments."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from kpis.catalog.feeds import LONGEST_FEED_NAME, Feed
from kpis.catalog.file.entry import FIRST_ID
from kpis.catalog.file.load import parsed
from kpis.catalog.file.source import parse
from kpis.catalog.kpis import KPI
from kpis.describe.guesses import Guess, Role, guess, words_of
from kpis.describe.samples import Sample, read_sample
from kpis.describe.suggestions import Suggestion, suggestions
from kpis.describe.trial import Trial, try_feed
from kpis.formats.content import UNPACKERS

LONGEST_TEXT = 200
# The line of an entry without a time, which cannot be used as it is.
NO_TIME = 'time = {column = ""}'


def describe(path: Path, name: str, feeds: Mapping[str, Feed], kpis: Collection[KPI]) -> str:
    """Return a catalog file, as TOML with comments, for files like the sample at a path; ``name`` is the feed's.

    It does not use the names and ids of the ``feeds`` and ``kpis`` that there are. If no column looks like a time, it
    has a line that must be edited: see ``line_to_edit``. Raises FileError if the sample cannot be read.
    """
    sample = read_sample(path)
    guesses = guess(sample)
    entry = "\n".join(_lines(sample, _other(name, feeds), guesses, kpis)) + "\n"
    if not _times(guesses):
        return entry
    (feed,) = parsed([parse(entry.encode(), Path("catalog.toml"))], feeds, kpis).feeds.values()
    return entry + "\n" + "".join(f"# {line}\n" for line in _trial(try_feed(path, feed)))


def line_to_edit(entry: str) -> int | None:
    """Return the number of the line, from 1, without whose edit an entry cannot be used; None if there is none."""
    lines = entry.splitlines()
    return next((number for number, line in enumerate(lines, 1) if line.startswith(NO_TIME)), None)


def _other(name: str, taken: Collection[str]) -> str:
    return name if name not in taken else f"{name[: LONGEST_FEED_NAME - 2]}_2"


def _trial(trial: Trial) -> Iterator[str]:
    rows = trial.records + trial.rejects
    yield f"Of the sample's {rows:,} rows, {trial.records:,} would be records, {trial.rejects:,} rejects."
    for one in trial.reasons:
        text = one.text if len(one.text) <= LONGEST_TEXT else f"{one.text[:LONGEST_TEXT]}..."
        yield f"{one.rejects:,}: {f'{one.column} {one.reason}'.strip()}, first in line {one.line:,}: {text}"


def name_of(path: Path) -> str:
    """Return a name for the feed of a file: the letters that its name begins with."""
    words = [word for word in words_of(path.name.partition(".")[0]) if not re.search("[0-9]", word)]
    return "_".join(words)[:LONGEST_FEED_NAME].strip("_") or "records"


def pattern_of(path: Path) -> str:
    """Return a pattern for the names of files like this one: numbers may differ."""
    name = path.name
    for ending in UNPACKERS:
        name = name.removesuffix(ending)
    return re.sub(r"[0-9]+([-_.]?[0-9]+)*", "*", re.sub(r"([\[\]*?])", r"[\1]", name))


def _lines(sample: Sample, name: str, guesses: list[Guess], kpis: Collection[KPI]) -> Iterator[str]:
    yield f"# From {sample.path.name}: {sample.rows:,} rows. Read it through, and change what is not right."
    yield f"[feeds.{name}]"
    description = f"{name.replace('_', ' ').capitalize()} records"
    yield f"description = {_value(description)}  # what they are, in a line"
    yield f"files = [{_value(pattern_of(sample.path))}]"
    yield f"format = {_table({'type': sample.format, **sample.options})}"
    yield 'interval = "5m"  # the shortest interval: 1m, 5m, 15m or 1h'
    yield _time(guesses)
    yield ""
    yield f"[feeds.{name}.columns]"
    for one in guesses:
        yield _column(one, sample)
    for header in sample.left_out:
        yield f"# Left out: {_value(header)}, a name that {'comes twice' if header else 'is empty'}"
    first = max([FIRST_ID, *(kpi.id for kpi in kpis)]) + 1
    for number, suggestion in enumerate(suggestions(guesses, name, [kpi.name for kpi in kpis])):
        yield from _kpi(suggestion, name, first + number)


def _times(guesses: list[Guess]) -> dict[str, str]:
    """Return the key ``time`` of a feed; empty if no column has times."""
    found = {role: [one.name for one in guesses if one.role is role] for role in (Role.TIME, Role.DAY, Role.CLOCK)}
    if found[Role.TIME]:
        return {"column": found[Role.TIME][0]}
    if found[Role.DAY] and found[Role.CLOCK]:
        return {"day": found[Role.DAY][0], "clock": found[Role.CLOCK][0]}
    return {}


def _time(guesses: list[Guess]) -> str:
    times = _times(guesses)
    if not times:
        return (
            f"{NO_TIME}  # EDIT THIS LINE: no column looks like a time. Name the one that is, and in its own line "
            'below say type = "time" and its format'
        )
    others = [one.name for one in guesses if one.role is Role.TIME and one.name not in times.values()]
    return f"time = {_table(times)}" + (f"  # or {', '.join(others)}" if others else "")


def _column(one: Guess, sample: Sample) -> str:
    table: dict[str, Any] = {"type": one.type}
    if one.header != one.name and "header" not in sample.options:
        table["header"] = one.header
    table |= one.keys
    if one.unit:
        table["unit"] = one.unit
    if one.role is Role.PERSON:
        table["personal"] = True
    comments = [f"{one.role}: {', '.join(one.seen)}" if one.seen else one.role] if one.role else []
    if one.type == "time" and one.keys["format"] not in ("unix_s", "unix_ms", "unix_us"):
        comments.append('UTC unless it says zone = "Europe/Madrid"')
    if one.doubt:
        comments.append(one.doubt)
    return f"{one.name} = {_table(table)}" + (f"  # {'; '.join(comments)}" if comments else "")


def _kpi(one: Suggestion, feed: str, id_: int) -> Iterator[str]:
    yield ""
    yield f"[kpis.{one.name}]"
    yield f"id = {id_}"
    yield f"description = {_value(one.description)}"
    yield f"feed = {_value(feed)}"
    yield f"by = {_value(list(one.by))}"
    yield f"measure = {_table(one.measure)}"
    yield f"unit = {_value(one.unit)}"
    if one.is_top:
        yield "top = true  # keep the TOP_N largest of an interval"


def _table(values: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{key} = {_value(value)}" for key, value in values.items()) + "}"


def _value(value: Any) -> str:
    """Return a value in TOML, whose texts are written as JSON's are."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
