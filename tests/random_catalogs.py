"""Catalogs made at random, with files of their feeds, and what a plain-Python twin says the tables hold.

A value is drawn first and written as text after, so that the twin never parses: it groups and adds up the values that
were drawn. Nothing of the product is used.
"""

from __future__ import annotations

import gzip
import json
import math
import random
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from unicodedata import normalize
from zoneinfo import ZoneInfo

import pyarrow as pa

from tests.measures import percentiles
from tests.random_parquet import content, forms

LENGTHS = {"1m": (3, 60), "5m": (1, 300), "15m": (6, 900), "1h": (2, 3600)}
# Days, weeks and months, each with its code.
CALENDAR = {"1d": 4, "1w": 5, "1mo": 7}
# 2026-03-02T22:00:00Z: files reach over midnight.
START = 1_772_488_800
# Of a measure's condition.
WHERE_AT_LEAST = 8
WORDS = ("Acme", "ACME", "Beta", "beta", "Zoë", "zoë", "Gamma-1", "x y", "d'Or")
CHOICES = ("VOICE", "DATA", "SMS")
ZONES = ("UTC", "Europe/Madrid", "America/New_York", "Asia/Kolkata")
LAYOUTS = ("%d.%m.%Y %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%b %d %Y %H:%M:%S", "%Y%m%d%H%M%S", "%m/%d/%Y %I:%M:%S %p")


@dataclass(frozen=True)
class Column:
    """A column: its entry, functions that draw a value, write it, and draw what is none, and its kind of values.

    Files of Parquet have it as the type ``arrow``.
    """

    name: str
    keys: dict[str, Any]
    draw: Callable[[], Any]
    write: Callable[[Any], Any]
    wrong: Callable[[], Any]
    kind: str
    arrow: pa.DataType | None = None

    @property
    def optional(self) -> bool:
        return bool(self.keys.get("optional"))

    @property
    def required(self) -> bool:
        return self.keys.get("required", True)


@dataclass(frozen=True)
class TwinKPI:
    """A KPI; with ``at_least`` only records count whose ``number_a`` is not less."""

    id: int
    name: str
    by: tuple[tuple[str, bool], ...]
    measure: dict[str, Any]
    lengths: tuple[str, ...]
    top: bool
    at_least: int | None = None


@dataclass(eq=False)
class Made:
    """A feed with its KPIs, as TOML, and files: each name with its content, records and number of rejects."""

    name: str
    toml: str
    kpis: list[TwinKPI]
    interval: str
    files: dict[str, bytes] = field(default_factory=dict)
    records: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    rejects: dict[str, int] = field(default_factory=dict)


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


class Maker:
    """Makes feeds with KPIs and files by a random number generator."""

    def __init__(self, seed: int):
        self.chance = random.Random(seed)  # noqa: S311
        self.seed = seed

    def made(self) -> Made:
        chance = self.chance
        name = f"feed_{self.seed}"
        type_ = chance.choices(["csv", "json_lines", "parquet"], [4, 3, 3])[0]
        self.is_json, self.is_parquet = type_ == "json_lines", type_ == "parquet"
        self.format: dict[str, Any] = self._csv() if type_ == "csv" else {"type": type_}
        interval = chance.choice(list(LENGTHS))
        times, moment = self._times()
        self.columns = [*times, self._integer("number_a"), self._text("name_a")]
        kinds = [
            self._integer, self._text, self._decimal, self._choice, self._uuid, self._postal_code, self._boolean,
        ]  # fmt: skip
        for number in range(chance.randint(1, 5)):
            self.columns.append(chance.choice(kinds)(f"col_{number}"))
        chance.shuffle(self.columns)
        if self.is_parquet:
            self.columns = [self._in_parquet(column) for column in self.columns]
        self.defaults: dict[str, Any] = {}
        self.columns = [self._with_default(one) if chance.random() < 0.25 else one for one in self.columns]
        other = "in.side.{}" if self.is_json and chance.random() < 0.5 else "The {} [x]"
        self.headers = {
            column.name: other.format(column.name) if chance.random() < 0.3 else column.name for column in self.columns
        }
        self.refused = chance.choice([None, 8])
        self.has_derived = chance.random() < 0.4
        self.at_end = chance.random() < 0.2
        self.time = moment | {"at": "end" if self.at_end else "start"}
        kpis = [self._kpi(1000 + self.seed * 4 + number, interval) for number in range(chance.randint(1, 3))]
        made = Made(name, self._toml(name, interval, kpis), kpis, interval)
        ending = {"csv": "csv", "json_lines": "jsonl", "parquet": "parquet"}[type_]
        for number in range(4):
            packed = ".gz" if not self.is_parquet and chance.random() < 0.2 else ""
            self.add_file(made, f"{name}.{number}.{ending}{packed}")
        return made

    def add_file(self, made: Made, file_name: str) -> None:
        """Add a file, or give it other content."""
        chance = self.chance
        lines, records, rejects = [], [], 0
        hour = START + 3600 * chance.randrange(3)
        has_names = self.format["type"] != "csv" or self.format["header"] == "required"
        absent = {one.name for one in self.columns if not one.required and has_names and chance.random() < 0.3}
        there = [one for one in self.columns if one.name not in absent]
        for _ in range(chance.randrange(1, 40)):
            values = {column.name: column.draw() for column in self.columns}
            # Whole minutes are the ends of intervals too.
            second = hour + chance.choice([chance.randrange(3600), 60 * chance.randrange(60)])
            values |= {column.name: second for column in self.columns if column.kind == "time"}
            values |= {name: self.defaults[name] for name in absent}
            written = {column.name: column.write(values[column.name]) for column in there}
            if chance.random() < 0.1:
                column = chance.choice(there)
                written[column.name] = column.wrong()
                rejects += 1
            elif values["number_a"] == self.refused:
                rejects += 1
            else:
                values["moment"] = second - self.at_end
                values["twice"] = 2 * values["number_a"] - 1
                records.append(values)
            lines.append(written)
        if self.is_parquet:
            found = {self.headers[one.name]: [line[one.name] for line in lines] for one in there}
            rows = [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]
            made.files[file_name] = content(
                chance, {self.headers[one.name]: one.arrow for one in there if one.arrow}, rows
            )
        else:
            found_text = self._content(lines)
            made.files[file_name] = gzip.compress(found_text, mtime=0) if file_name.endswith(".gz") else found_text
        made.records[file_name], made.rejects[file_name] = records, rejects

    def _csv(self) -> dict[str, Any]:
        chance = self.chance
        found: dict[str, Any] = {"type": "csv", "delimiter": chance.choice(",;|\t^")}
        found["header"] = chance.choice(["required", "optional", "none"])
        found["decimal"] = chance.choice([",", "."])
        found["quote"] = chance.choice(['"', "'", *([""] if found["delimiter"] != found["decimal"] else [])])
        # A number with them needs quotes, where they are the delimiter.
        others = {found["decimal"], found["quote"], *([] if found["quote"] else [found["delimiter"]])}
        found["thousands"] = chance.choice(["", "", *sorted(set(".,' _\u00a0") - others)])
        found["encoding"] = chance.choice(["utf-8", "utf-8", "utf-16", "utf-16-le", "latin-1", "cp1252"])
        found["missing"] = chance.choice([[], ["NULL", "n/a"]])
        found["preamble"] = chance.choice([0, 0, 2])
        found["comment"] = chance.choice(["", "", "#"])
        return found

    def _content(self, rows: list[dict[str, Any]]) -> bytes:
        if self.is_json:
            named = [self._object(row) for row in rows]
            extra = [row | {"more": {"nested": [1, "x"]}} if self.chance.random() < 0.3 else row for row in named]
            return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in extra).encode()
        form, names = self.format, [column.name for column in self.columns if column.name in rows[0]]
        lines = [[self._quoted(self._text_of(row[name])) for name in names] for row in rows]
        if form["header"] == "required" or (form["header"] == "optional" and self.chance.random() < 0.5):
            lines.insert(0, [self.headers[name] for name in names])
        texts = [form["delimiter"].join(line) for line in lines]
        if form["comment"]:
            texts.insert(self.chance.randrange(len(texts) + 1), form["comment"] + " a comment")
        if self.chance.random() < 0.3:
            texts.append("")
        text = "".join(line + self.chance.choice(["\n", "\r\n"]) for line in ["preamble"] * form["preamble"] + texts)
        return text.encode(form["encoding"])

    def _object(self, row: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in row.items():
            *path, key = self.headers[name].split(".")
            place = found
            for step in path:
                place = place.setdefault(step, {})
            place[key] = value
        return found

    def _text_of(self, text: str) -> str:
        return self.chance.choice(self.format["missing"]) if not text and self.format["missing"] else text

    def _quoted(self, text: str) -> str:
        quote = self.format["quote"]
        if not quote:
            return text
        if self.format["delimiter"] in text or quote in text or self.chance.random() < 0.1:
            return quote + text.replace(quote, quote * 2) + quote
        return text

    def _number(self, text: str) -> str:
        if self.format["type"] != "csv":
            return text
        mark = self.format["thousands"]
        whole, _, part = text.partition(".")
        if mark and self.chance.random() < 0.5:
            whole = f"{int(whole):,}".replace(",", mark) if whole not in ("-0", "") else whole
        return whole + (self.format["decimal"] + part if part else "")

    def _optional(self, keys: dict[str, Any], draw: Callable[[], Any]) -> tuple[dict[str, Any], Callable[[], Any]]:
        if self.chance.random() < 0.6:
            return keys, draw
        return keys | {"optional": True}, lambda: None if self.chance.random() < 0.2 else draw()

    def _with_default(self, column: Column) -> Column:
        """Return a column like another, in which a value that is missing is its default."""
        wrong = [one for one in (column.wrong() for _ in range(20)) if one not in ("", None)]
        if column.keys["type"] in ("time", "date", "time_of_day", "uuid") or not wrong:
            return column
        default = next(value for value in iter(column.draw, object()) if value is not None)
        self.defaults[column.name] = default
        keys = {key: value for key, value in column.keys.items() if key != "optional"}
        keys["default"] = {"true": True, "false": False}.get(default, default)
        if isinstance(default, Decimal):
            keys["default"] = float(default)
        if self.chance.random() < 0.5:
            keys["required"] = False

        def draw() -> Any:
            value = column.draw()
            return default if value is None or self.chance.random() < 0.3 else value

        def write(value: Any) -> Any:
            if value != default or self.chance.random() < 0.3:
                return column.write(value)
            if self.is_parquet or (self.is_json and column.kind == "integer"):
                return None
            return self._none()

        return replace(column, keys=keys, draw=draw, write=write, wrong=lambda: self.chance.choice(wrong))

    def _none(self) -> str | None:
        """How a value that is not there is written."""
        return self.chance.choice(["", None]) if self.is_json else ""

    def _in_parquet(self, column: Column) -> Column:
        """The column as one of the types that Parquet can have it as."""
        form = self.chance.choice(forms(column.keys, column.write))
        return replace(column, arrow=form.type, write=form.write, wrong=lambda: self.chance.choice(form.wrong))

    def _integer(self, name: str) -> Column:
        least, most = self.chance.choice([0, -50]), self.chance.choice([1_000, 1_000_000_000])
        keys: dict[str, Any] = {
            "type": "integer",
            "minimum": least,
            "maximum": most,
            "bits": self.chance.choice([32, 64]),
        }
        if self.chance.random() < 0.3:
            keys["scientific"] = True
        wrong = [most + 1, -51] if self.is_json else [f"{most + 1}", "-51", "x", "", "0x1"]
        return Column(
            name,
            keys,
            lambda: self.chance.choice([least, 7, 8, 1000, self.chance.randint(least, most)]),
            lambda value: self._whole(value, keys),
            lambda: self.chance.choice(wrong),
            "integer",
        )

    def _whole(self, value: int, keys: dict[str, Any]) -> Any:
        if "scientific" in keys and self.chance.random() < 0.5:
            return float(value) if self.is_json else self._number(f"{value}.0")
        return value if self.is_json else self._number(f"{value}")

    def _decimal(self, name: str) -> Column:
        # JSON has decimals as texts.
        keys, draw = self._optional(
            {"type": "decimal", "minimum": -200, "maximum": 200, "unknown": [99]},
            lambda: Decimal(self.chance.randint(-150_000, 80_000)) / 10 ** self.chance.randint(3, 4),
        )
        return Column(
            name, keys, draw, lambda value: self._none() if value is None else self._number(f"{value:f}"),
            lambda: self.chance.choice(["x", "201", self._number("-200.1"), "1e3", "1.2.3"]), "decimal",
        )  # fmt: skip

    def _text(self, name: str) -> Column:
        keys, draw = self._optional({"type": "text", "longest": 20}, lambda: self.chance.choice(WORDS))
        return Column(name, keys, draw, lambda value: value or self._none(), lambda: "y" * 21, "text")

    def _choice(self, name: str) -> Column:
        keys, draw = self._optional({"type": "choice", "words": list(CHOICES)}, lambda: self.chance.choice(CHOICES))
        return Column(
            name, keys, draw, lambda value: self.chance.choice([value, value.lower()]) if value else self._none(),
            lambda: "FAX", "text",
        )  # fmt: skip

    def _boolean(self, name: str) -> Column:
        keys = {"type": "boolean", "true": ["yes", "Y"], "false": ["no", "N"]}
        return Column(
            name, keys, lambda: self.chance.choice(["true", "false"]),
            lambda value: self.chance.choice({"true": ["yes", "YES", "y"], "false": ["no", "n"]}[value]),
            lambda: "maybe", "text",
        )  # fmt: skip

    def _uuid(self, name: str) -> Column:
        return Column(
            name, {"type": "uuid"}, lambda: str(uuid.UUID(int=self.chance.randrange(4))),
            lambda value: self.chance.choice([value, value.upper()]), lambda: "not-a-uuid", "text",
        )  # fmt: skip

    def _postal_code(self, name: str) -> Column:
        keys, draw = self._optional({"type": "postal_code"}, lambda: f"{self.chance.randint(10000, 10005)}")
        return Column(
            name, keys, draw, lambda value: value + self.chance.choice(["", ".0"]) if value else self._none(),
            lambda: "1" * 21, "text",
        )  # fmt: skip

    def _times(self) -> tuple[list[Column], dict[str, str]]:
        """The columns that make a record's time, and the feed's entry for it."""
        if self.chance.random() < 0.8:
            return [self._time("at_time")], {"column": "at_time"}
        zone = self.chance.choice(ZONES)
        day = Column(
            "the_day", {"type": "date"}, lambda: 0, lambda second: local_text(second, "%Y-%m-%d", zone),
            lambda: "2026-02-30", "time",
        )  # fmt: skip
        clock = Column(
            "the_clock", {"type": "time_of_day"}, lambda: 0, lambda second: local_text(second, "%H:%M:%S", zone),
            lambda: "24:00:00", "time",
        )  # fmt: skip
        return [day, clock], {"day": "the_day", "clock": "the_clock", "zone": zone}

    def _time(self, name: str) -> Column:
        write, keys = self._written_time()
        wrong = self.chance.choice([-5, True]) if self.is_json else "x"
        return Column(name, {"type": "time", **keys}, lambda: 0, write, lambda: wrong, "time")

    def _written_time(self) -> tuple[Callable[[int], Any], dict[str, str]]:
        way, zone = self.chance.choice(["unix", "iso", "offset", "local", "layout"]), self.chance.choice(ZONES)
        if way == "unix":
            name, unit = self.chance.choice([("unix_s", 1), ("unix_ms", 1000), ("unix_us", 10**6)])
            return lambda value: value * unit if self.is_json else f"{value * unit}", {"format": name}
        layout = (
            self.chance.choice(LAYOUTS)
            if way == "layout"
            else {"iso": "%Y-%m-%dT%H:%M:%SZ", "offset": "%Y-%m-%d %H:%M:%S%z", "local": "%Y-%m-%dT%H:%M:%S"}[way]
        )
        given = "UTC" if way == "iso" else zone
        keys = {"format": layout if way == "layout" else "iso"} | ({"zone": zone} if way in ("local", "layout") else {})
        return lambda value: local_text(value, layout, given), keys

    def _kpi(self, id_: int, interval: str) -> TwinKPI:
        chance = self.chance
        groups = [one for one in self.columns if one.kind == "text" or (one.kind == "integer" and not one.optional)]
        chosen = chance.sample(groups, chance.randint(1, min(3, len(groups))))
        by = tuple((one.name, one.keys["type"] == "text" and chance.random() < 0.5) for one in chosen)
        integers = [one.name for one in self.columns if one.kind == "integer"] + ["twice"] * self.has_derived
        numbers = [one.name for one in self.columns if one.kind in ("integer", "decimal")]
        others = [one.name for one in self.columns if one.kind in ("text", "integer") and one not in chosen]
        added = chance.sample(integers, chance.randint(1, min(2, len(integers))))
        measures: list[dict[str, Any]] = [
            {"type": "sum", "name": "total_value", "columns": added},
            {"type": "count", "name": "records_seen", **({"share": "share"} if chance.random() < 0.5 else {})},
            {"type": "mean", "name": "average_value", "column": chance.choice(numbers)},
            *({"type": "count_distinct", "name": "different", "column": name} for name in others),
            {"type": chance.choice(["minimum", "maximum"]), "name": "extreme", "column": chance.choice(numbers)},
            {"type": "last", "name": "newest", "column": chance.choice(numbers)},
            {"type": "standard_deviation", "name": "spread", "column": chance.choice(numbers)},
            {"type": "percentile", "name": "size", "column": chance.choice(numbers)},
            {
                "type": "ratio",
                "name": "rate",
                "numerator": "3 * added - seen",
                "denominator": "seen",
                "scale": 100,
                "zero": chance.choice(["empty", "0", "1"]),
                "terms": [
                    {"name": "added", "columns": added},
                    {"name": "seen", "where": f"number_a >= {WHERE_AT_LEAST}"},
                ],
            },
        ]
        if chance.random() < 0.3:
            for measure in measures[:2]:
                measure["where"] = f"number_a >= {WHERE_AT_LEAST}"
        lengths = [length for length in LENGTHS if LENGTHS[length][1] >= LENGTHS[interval][1]]
        kept = tuple(sorted({interval, *chance.sample(lengths, chance.randint(1, len(lengths)))}))
        if chance.random() < 0.6:
            kept += tuple(chance.sample(list(CALENDAR), chance.randint(1, 3)))
        at_least = chance.choice([None, None, 7])
        return TwinKPI(id_, f"Kpi{id_}", by, chance.choice(measures), kept, chance.random() < 0.3, at_least)

    def _toml(self, name: str, interval: str, kpis: list[TwinKPI]) -> str:
        lines = [
            f"[feeds.{name}]",
            f'description = "Made at random with {self.seed}"',
            f'files = ["{name}.*"]',
            f"format = {toml(self.format)}",
            f'interval = "{interval}"',
            f"time = {toml(self.time)}",
            f"[feeds.{name}.columns]",
            *(f"{column.name} = {toml(column.keys | self._header(column))}" for column in self.columns),
        ]
        if self.has_derived:
            lines += [f"[feeds.{name}.derived]", 'twice = {value = "2 * number_a - 1"}']
        if self.refused is not None:
            lines += [f"[[feeds.{name}.checks]]", 'column = "number_a"', f'holds = "number_a != {self.refused}"']
            lines.append('reason = "is refused"')
        for kpi in kpis:
            by = [{"name": one, "ignore_case": True} if folded else one for one, folded in kpi.by]
            lines += [
                f"[kpis.{kpi.name}]",
                f"id = {kpi.id}",
                f'description = "KPI {kpi.id}"',
                f'feed = "{name}"',
                f"by = {toml(by)}",
                f"measure = {toml(kpi.measure)}",
                'unit = "units"',
                f"lengths = {toml(kpi.lengths)}",
                f"top = {toml(kpi.top)}",
            ]
            if kpi.at_least is not None:
                lines.append(f'filter = "number_a >= {kpi.at_least}"')
        return "\n".join(lines) + "\n"

    def _header(self, column: Column) -> dict[str, Any]:
        header = self.headers[column.name]
        if header == column.name:
            return {}
        return {"header": header if self.is_json or len(header) % 2 else [f"no {column.name}", header]}


def expected(made: Made, closed_until: int, top_n: int = 10, zone: str = "UTC") -> tuple[dict, dict]:
    """Return the rows and summaries of a feed's KPIs, once its files are in and its intervals closed until a time.

    Days, weeks and months are those of the zone.

    Rows are ``{(KPI, interval, start): [[rank, dimensions..., values...], ...]}``, summaries ``{...: [total or mean,
    groups, records, batches, state]}``.
    """
    rows, summaries = {}, {}
    for kpi in made.kpis:
        for length in kpi.lengths:
            code = CALENDAR[length] if length in CALENDAR else LENGTHS[length][0]
            intervals: dict[tuple[int, int], list[tuple[str, dict]]] = defaultdict(list)
            for name, records in made.records.items():
                for record in records:
                    intervals[bounds(length, record["moment"], zone)].append((name, record))
            for (start, end), found in intervals.items():
                is_closed = end <= closed_until
                if length != made.interval and not is_closed:
                    continue
                records = [record for _, record in found]
                total, groups = _figures(kpi, records)
                key = kpi.id, code, moment(start)
                kept = groups[:top_n] if kpi.top else groups
                if kept:
                    rows[key] = [[rank, *group] for rank, group in enumerate(kept, 1)]
                batches = len({name for name, _ in found})
                state = "final" if is_closed else "provisional"
                summaries[key] = [total, len(groups), len(records), batches, state]
    return rows, summaries


def bounds(length: str, seconds: int, zone: str) -> tuple[int, int]:
    """Return the start and end of the interval of a length that contains a time, in a zone without odd midnights."""
    if length in LENGTHS:
        start = seconds // LENGTHS[length][1] * LENGTHS[length][1]
        return start, start + LENGTHS[length][1]
    day = datetime.fromtimestamp(seconds, ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    if length == "1mo":
        first = day.replace(day=1)
        after = (first + timedelta(days=31)).replace(day=1)
    else:
        first = day - timedelta(days=day.weekday()) if length == "1w" else day
        after = first + timedelta(days=7 if length == "1w" else 1)
    # Local arithmetic: each has the offset of its own day.
    return int(first.timestamp()), int(after.timestamp())


def value_columns(measure: dict[str, Any]) -> list[str]:
    """The columns of a measure's values, in the order of ``_values``, then the share."""
    more = {
        "mean": ["samples", "empty_values"],
        "standard_deviation": ["samples"],
        "ratio": ["numerator", "denominator"],
    }
    if measure["type"] == "percentile":
        return [f"{measure['name']}_p{percent}" for percent in (50, 90, 95, 99)]
    return [measure["name"], *more.get(measure["type"], []), *(["share"] if measure.get("share") else [])]


def _figures(kpi: TwinKPI, records: list[dict]) -> tuple[Any, list[list]]:
    spellings: dict[tuple[int, str], Counter] = defaultdict(Counter)
    groups: dict[tuple, list[dict]] = defaultdict(list)
    counted = [record for record in records if kpi.at_least is None or record["number_a"] >= kpi.at_least]
    for record in counted:
        key = []
        for number, (name, folded) in enumerate(kpi.by):
            value = "" if record[name] is None else record[name]
            if folded:
                spellings[number, caseless(value)][value] += 1
                value = caseless(value)
            key.append(value)
        groups[tuple(key)].append(record)
    rows = []
    for key, found in groups.items():
        names = [
            min(spellings[number, value], key=lambda one: (-spellings[number, value][one], one)) if folded else value
            for number, (value, (_, folded)) in enumerate(zip(key, kpi.by, strict=True))
        ]
        rows.append([*names, *_values(kpi.measure, found)])
    width = len(kpi.by)
    rows.sort(key=lambda row: (row[width] is None, -(row[width] or 0), row[:width]))
    if kpi.measure.get("share"):
        total = _values(kpi.measure, counted)[0]
        rows = [[*row, rounded(row[width] / total) if total else None] for row in rows]
    return rounded(_values(kpi.measure, counted)[0]), [[rounded(value) for value in row] for row in rows]


def _values(measure: dict[str, Any], records: list[dict]) -> list[Any]:
    if "where" in measure:
        records = [record for record in records if record["number_a"] >= WHERE_AT_LEAST]
    match measure["type"]:
        case "sum":
            return [sum(record[name] for record in records for name in measure["columns"])]
        case "count":
            return [len(records)]
        case "count_distinct":
            return [len({record[measure["column"]] for record in records} - {None})]
        case "ratio":
            added = sum(record[name] for record in records for name in measure["terms"][0]["columns"])
            seen = sum(record["number_a"] >= WHERE_AT_LEAST for record in records)
            zero = {"empty": None, "0": 0.0, "1": 100.0}[measure["zero"]]
            return [float(Fraction(100 * (3 * added - seen), seen)) if seen else zero, 3 * added - seen, seen]
    found = [value for record in records if (value := record[measure["column"]]) is not None]
    if measure["type"] == "last":
        times = [(record["moment"], record[measure["column"]]) for record in records]
        _, newest = max((one for one in times if one[1] is not None), default=(0, None))
        return [float(newest) if isinstance(newest, Decimal) else newest]
    if measure["type"] == "standard_deviation":
        if len(found) < 2:
            return [None, len(found)]
        spread = sum((Fraction(one) - Fraction(sum(found)) / len(found)) ** 2 for one in found)
        return [math.sqrt(spread / (len(found) - 1)), len(found)]
    if measure["type"] == "percentile":
        return percentiles(found, (50, 90, 95, 99))
    if measure["type"] in ("minimum", "maximum"):
        extreme = (min if measure["type"] == "minimum" else max)(found, default=None)
        return [float(extreme) if isinstance(extreme, Decimal) else extreme]
    mean = rounded(float(sum(map(Fraction, found)) / len(found))) if found else None
    return [mean, len(found), len(records) - len(found)]


def caseless(text: str) -> str:
    return normalize("NFC", normalize("NFD", text).casefold())


def rounded(value: Any) -> Any:
    # The last digits depend on the order of additions, and a large value has fewer after its point.
    return float(f"{value:.11e}") if isinstance(value, float) else value


def moment(seconds: int) -> str:
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


def local_text(seconds: int, layout: str, zone: str) -> str:
    return datetime.fromtimestamp(seconds, ZoneInfo(zone)).strftime(layout)
