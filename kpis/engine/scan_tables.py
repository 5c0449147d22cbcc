"""The compiled scanner's tables, made from a feed's entry: columns by kind, when a row is, checks, reductions."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from kpis.catalog.columns import Boolean, Choice, ColumnType, Decimal, FormattedTimestamp, Integer, Text
from kpis.catalog.columns.zones import Zone
from kpis.catalog.dimensions import Dimension, GridCell
from kpis.catalog.feeds import Column, Feed, Range, Record, moment_of
from kpis.catalog.intervals import EPOCH, LAST_DAY
from kpis.catalog.kpis import KPI
from kpis.engine import compiled
from kpis.engine.compiled import FOR_CHECK, FOR_COLUMN, FOR_CONDITION, FOR_FILTER, KEPT, MISSING, NEEDED, OPTIONAL
from kpis.engine.reductions import TABLE, TOTAL, Declined, Reductions
from kpis.engine.scan_kinds import (
    EARLIEST_TIME,
    LATEST_TIME,
    MICRO,
    OF_TEXTS,
    OF_TIMES,
    UNITS,
    changes_of,
    flags_of,
    kind_of,
    pieces_of,
    unit_of,
    words_of,
    zone_of,
)
from kpis.engine.scan_measures import Plan, plan_of
from kpis.engine.scannable import line_range, objects_of
from kpis.formats.csv_rows import CSVRows
from kpis.formats.grammar import LONGEST_LINE_BYTES
from kpis.formats.judge import Times
from kpis.formats.line_days import LineDays
from kpis.formats.parquet_rows import ParquetRows
from kpis.formats.row_format import RowFormat

if TYPE_CHECKING:
    from kpis.catalog.expressions import Expression
    from kpis.catalog.expressions.nodes import Node

MICROSECOND = timedelta(microseconds=1)
# The scanner reads decimals of up to eleven digits before the point, in millionths.
LARGEST_DECIMAL = 10**17
LARGEST, SMALLEST = 2**63 - 1, -(2**63)
# All reductions count a record, or it satisfies all conditions.
EVERY = 2**64 - 1
# The most times that new texts stop a scan until a file's expressions are computed for them.
MOST_NEW_TEXTS = 10_000
# The most fields of a line: scanner.h.
MOST_FIELDS = 1_000


class Tables:
    """The scanner's tables for the rows of one file, and its state; a column's number is its place in the record.

    ``interval_start`` puts all records into one interval. With ``is_kept`` the records themselves are kept. Unless
    ``live`` is None, records are counted by their own time too, and by it and each of these dimensions.
    """

    def __init__(
        self,
        feed: Feed,
        kpis: Sequence[KPI],
        row_format: RowFormat | ParquetRows,
        interval_start: datetime | None,
        times: Times,
        text_bytes: int,
        is_kept: bool = False,
        live: Sequence[Dimension] | None = None,
    ):
        self.feed, self.kpis, self.row_format = feed, kpis, row_format
        self.interval_start, self.times, self.is_kept, self.live = interval_start, times, is_kept, live
        self.places = {column.name: place for place, column in enumerate(feed.record_columns)}
        self.kinds = [kind_of(column.type) for column in feed.record_columns]
        self.plans = [_planned(kpi) for kpi in kpis]
        # The measures' conditions, by their texts, in the order of their numbers.
        self.conditions = {condition.text: condition for kpi in kpis for condition in kpi.measure.conditions}
        tables = np.zeros(len(feed.record_columns), dtype=TABLE)
        needed = {name for kpi in kpis for one in kpi.by for name in one.columns}
        needed |= {name for plan in self.plans for name in plan.columns}
        needed |= {dimension.column for dimension in live or ()}
        filters = [kpi.filter for kpi in kpis if kpi.filter is not None]
        expressions = (*feed.expressions, *filters, *self.conditions.values())
        needed |= {name for expression in expressions for name in expression.columns}
        for place, column in enumerate(feed.record_columns):
            self._describe(tables[place], column, column.name in needed)
        format, column_of = compiled.JSON, []
        if isinstance(row_format, CSVRows):
            format, column_of = compiled.CSV, self._column_of(row_format)
        self.reductions = Reductions(tables, format, column_of, text_bytes, LONGEST_LINE_BYTES, len(feed.derived))
        if isinstance(row_format, CSVRows):
            self._fill_dialect(row_format)
        elif isinstance(row_format, RowFormat):
            self._fill_keys()
        self._lookups: dict[tuple[int, Node], int] = {}
        # By lookup, how many texts it has.
        self._known_texts: dict[int, int] = {}
        self._new_texts = 0
        self._fill()
        if self._lookups:
            self.look_up()

    def __enter__(self) -> Tables:
        return self

    def __exit__(self, *error: object) -> None:
        self.reductions.library.scanner_free(self.reductions.state)

    def add(self, record: Record) -> None:
        """Add a record that was judged."""
        values, nulls = np.zeros(len(self.feed.record_columns), dtype=np.int64), 0
        for place, column in enumerate(self.feed.record_columns):
            value = record[column.name]
            if value is None:
                nulls |= 1 << place
            else:
                values[place] = self._value(place, value)
        moment = (moment_of(self.feed, record) - EPOCH) // MICROSECOND
        reductions = self.reductions
        true = (
            _bits_of(conditions, record) for conditions in ([kpi.filter for kpi in self.kpis], self.conditions.values())
        )
        status = reductions.library.scanner_add(reductions.state, values.ctypes.data, nulls, *true, moment)
        if status:
            raise Declined

    def use_days(self, days: LineDays) -> None:
        """Give rows that lack their day the one of their line; the first line that is scanned has the first day."""
        # The scanner has only their address.
        self._days = np.ascontiguousarray(days.days, dtype=np.int64)
        self._call("days", self.places[self.feed.moment.column], len(self._days), self._days.ctypes.data)

    def _describe(self, table: np.ndarray, column: Column, is_needed: bool) -> None:
        type_ = column.type
        table["kind"] = kind_of(type_)
        flags = flags_of(type_) | OPTIONAL * type_.optional | NEEDED * (is_needed or self.is_kept) | KEPT * self.is_kept
        if isinstance(self.row_format, CSVRows) and column.derived is None:
            flags |= MISSING * (column.name not in self.row_format.positions)
        table["flags"] = flags
        least, most = SMALLEST, LARGEST
        table["unit"] = unit_of(type_)
        if kind_of(type_) in OF_TIMES:
            least, most = EARLIEST_TIME, LATEST_TIME
        elif isinstance(type_, Integer):
            beyond = 1 << (type_.bits - 1)
            least, most = max(type_.minimum, -beyond), min(beyond - 1, LARGEST)
            most = most if type_.maximum is None else min(most, type_.maximum)
            table["unknown"][: len(type_.unknown)], table["unknowns"] = type_.unknown, len(type_.unknown)
        elif isinstance(type_, Decimal):
            least, most = max(type_.minimum * MICRO, -LARGEST_DECIMAL), min(type_.maximum * MICRO, LARGEST_DECIMAL)
            unknown = [number * MICRO for number in type_.unknown if abs(number) * MICRO <= LARGEST_DECIMAL]
            table["unknown"][: len(unknown)], table["unknowns"] = unknown, len(unknown)
        elif isinstance(type_, Text):
            most = type_.longest
        table["least"], table["most"] = least, most
        name = f'"{column.names_in_files[0].rpartition(".")[2]}"'.encode() if self.feed.format.has_keys else b""
        table["name"], table["name_length"] = name[:128], len(name)

    def _column_of(self, row_format: CSVRows) -> list[int]:
        if not 2 <= len(row_format.names) <= MOST_FIELDS:
            # A line of one field that is empty is blank.
            raise Declined
        column_of = [-1] * len(row_format.names)
        for name, position in row_format.positions.items():
            column_of[position] = self.places[name]
        return column_of

    def _fill(self) -> None:
        """Say when a row is, which checks it has to pass, and what rows are reduced to."""
        feed, reductions = self.feed, self.reductions
        for place, column in enumerate(feed.columns):
            self._fill_column(place, column.type)
            if (default := self.row_format.defaults.get(column.name)) is not None:
                self._call("fallback", place, self._value(place, default))
        self._fill_time()
        for place, column in enumerate(feed.derived, len(feed.columns)):
            self._program(FOR_COLUMN, place, column.derived)
        for check in feed.checks:
            found = line_range(feed, check)
            if found is None:
                self._program(FOR_CHECK, 0, check.expression)
                continue
            values, unit = found
            least, most = _bounds(values, timedelta(microseconds=unit or 0))
            place = self.places[values.of or check.column]
            self._call("check", place, self.places.get(values.less, -1), least, most, values.step)
        if feed.place:
            reductions.library.scanner_place(
                reductions.state, self.places[feed.place.latitude], self.places[feed.place.longitude]
            )
        slots, bucket_of = len(feed.record_columns), dict[str, int]()
        for number, kpi in enumerate(self.kpis):
            keys = []
            for dimension in kpi.by:
                if isinstance(dimension, GridCell):
                    self._call("cell", *(self.places[name] for name in dimension.columns), dimension.per_degree)
                    keys.append(slots)
                    slots += 1
                else:
                    keys.append(self.places[dimension.column])
            plan = self.plans[number]
            if plan.bucket_of:
                if plan.bucket_of not in bucket_of:
                    self._call("bucket", self.places[plan.bucket_of])
                    bucket_of[plan.bucket_of] = slots
                    slots += 1
                keys.append(bucket_of[plan.bucket_of])
            columns = [self.places[name] for name in plan.columns]
            reductions.reduce(plan.kind, keys, columns, bool(kpi.folded), self._totals(plan), plan.width)
            if kpi.filter is not None:
                self._program(FOR_FILTER, number, kpi.filter)
        for number, condition in enumerate(self.conditions.values()):
            self._program(FOR_CONDITION, number, condition)
        if self.live is not None:
            when = [self.places[name] for name, _ in feed.moment.parts]
            for of in ([], *([self.places[dimension.column]] for dimension in self.live)):
                reductions.reduce(compiled.COUNT, [*when, *of], [])

    def _totals(self, plan: Plan) -> np.ndarray:
        """Return the totals of a plan for the scanner: of several columns, each adds to the same place."""
        numbers = {text: number for number, text in enumerate(self.conditions)}
        found, at = [], 0
        for total in plan.totals:
            condition = numbers[total.where.text] if total.where else -1
            columns = [self.places[name] for name in total.columns] or [0]
            found += [(total.kind, column, condition, at) for column in columns]
            at += total.places
        return np.array(found, dtype=TOTAL)

    def _fill_column(self, place: int, type_: ColumnType) -> None:
        """Give a column what only its kind has: words, a layout, a zone."""
        if isinstance(type_, Choice):
            for word in type_.words:
                self.reductions.intern(place, word.encode())
        elif isinstance(type_, Boolean):
            for spelled, value in words_of(type_):
                number = self.reductions.intern(place, value.encode())
                self._call("word", place, spelled, len(spelled), number)
        elif isinstance(type_, FormattedTimestamp):
            pieces = pieces_of(type_.layout) or b""
            self._call("layout", place, len(pieces) // 2, pieces)
        if (zone := zone_of(type_)) is not None:
            self._fill_zone(place, zone)

    def _fill_zone(self, place: int, zone: Zone) -> None:
        changes = changes_of(zone)
        self._call("zone", place, len(changes), changes.ctypes.data)

    def _fill_keys(self) -> None:
        """Say in which object of a row each column's key is."""
        numbers: dict[tuple[str, ...], int] = {(): 0}
        for number, path in enumerate(objects_of(self.feed), 1):
            key = f'"{path[-1]}"'.encode()
            self._call("branch", numbers[path[:-1]], key, len(key))
            numbers[path] = number
        for place, column in enumerate(self.feed.columns):
            *path_of, _ = column.names_in_files[0].split(".")
            self._call("key", place, numbers[tuple(path_of)], not column.required)

    def _fill_dialect(self, rows: CSVRows) -> None:
        """Say how the rows are written."""
        format, numbers = rows.format, 0
        if not rows.numbers.are_plain:
            numbers = sum(1 << self.places[column.name] for column in self.feed.columns if rows.is_number(column))
        marks = (format.thousands.encode(), format.comment.encode(), "".join(f"{w}\n" for w in format.missing).encode())
        thousands, comment, words = ((mark, len(mark)) for mark in marks)
        quote = ord(format.quote) if format.quote else 0
        self._call("dialect", ord(format.delimiter), quote, ord(format.decimal), *thousands, numbers, *comment, *words)

    def _fill_time(self) -> None:
        feed, times = self.feed, self.times
        parts = np.array([self.places[name] for name, _ in feed.moment.parts], dtype=np.int32)
        units = np.array([unit for _, unit in feed.moment.parts], dtype=np.int64)
        # After 1970-01-01T00:00Z and before the last day.
        earliest = max((times.earliest - EPOCH) // MICROSECOND, 1)
        latest = min((times.latest - EPOCH) // MICROSECOND, (LAST_DAY - EPOCH) // MICROSECOND - 1)
        day = self.places[feed.moment.column] if feed.needs_date else -1
        length = feed.interval.delta // MICROSECOND
        is_given = self.interval_start is not None
        if not feed.moment.zone.is_utc:
            self._fill_zone(-1, feed.moment.zone)
        numbers = parts.ctypes.data, units.ctypes.data
        self._call("time", len(parts), *numbers, feed.moment.shift, earliest, latest, length, is_given, day)

    def _program(self, purpose: int, target: int, expression: Expression | None) -> None:
        from kpis.engine.scan_expressions import Unsupported, limits_of, program

        if expression is None:
            raise Declined
        try:
            steps = program(self.feed, expression, self.number_of, self._lookup)
        except Unsupported:
            raise Declined from None
        self.reductions.program(purpose, target, steps, limits_of(expression))

    def _lookup(self, place: int, node: Node) -> int:
        """Return the number of a lookup of a column's texts, which is made unless there is one already."""
        return self._lookups.setdefault((place, node), len(self._lookups))

    def look_up(self) -> None:
        """Compute what expressions need of texts that were not there before."""
        self._new_texts += 1
        if self._new_texts > MOST_NEW_TEXTS:
            raise Declined
        for (place, node), index in self._lookups.items():
            known = self._known_texts.get(index, 0)
            texts: list[str | None] = [*self.reductions.new_texts(place, known)]
            self._known_texts[index] = known + len(texts)
            if texts and not known:
                # The first one stands for none.
                texts[0] = None
            name = self.feed.record_columns[place].name
            found = [node.value({name: text}) for text in texts]
            values = np.array([value or 0 for value in found], dtype=np.int64)
            nones = np.array([value is None for value in found], dtype=np.uint8)
            self.reductions.look_up(index, place, values, nones)

    def _call(self, name: str, *arguments: int | bytes) -> None:
        if getattr(self.reductions.library, f"scanner_{name}")(self.reductions.state, *arguments):
            raise Declined

    def _value(self, place: int, value: Any) -> int:
        """Return a column's value as the scanner has it."""
        kind = self.kinds[place] or 0
        if kind in OF_TEXTS:
            return self.number_of(place, str(value).lower() if kind == compiled.BOOLEAN else value)
        if isinstance(value, datetime):
            return (value.replace(tzinfo=EPOCH.tzinfo) - EPOCH) // (UNITS[kind] * MICROSECOND)
        if isinstance(value, date):
            return value.toordinal() - EPOCH.toordinal()
        if isinstance(value, time):
            return value.hour * 3600 + value.minute * 60 + value.second
        return int(value.scaleb(6)) if kind == compiled.DECIMAL else int(value)

    def number_of(self, place: int, text: str) -> int:
        """Return the number of a text; 0 where nothing depends on it."""
        is_needed = self.reductions.tables["flags"][place] & NEEDED
        # A text that is not ASCII is known from now on, so that further lines with it need not be judged.
        if not is_needed and text.isascii():
            return 0
        is_id = self.kinds[place] == compiled.ID
        return self.reductions.intern(place, uuid.UUID(text).bytes if is_id else text.encode())


def _planned(kpi: KPI) -> Plan:
    plan = plan_of(kpi.measure, kpi.feed)
    if plan is None:
        raise Declined
    return plan


def _bits_of(conditions: Iterable[Expression | None], record: Record) -> int:
    """Return a bit for each condition that is true for a record, or that is none."""
    bits = EVERY
    for number, condition in enumerate(conditions):
        if condition is not None and condition.of(record) is not True:
            bits &= ~(1 << number)
    return bits


def _bounds(values: Range, unit: timedelta) -> tuple[int, int]:
    """Return the least and the most of a range as whole numbers; of times, as numbers of ``unit``."""
    least, most = values.least, values.most
    # The values are whole units: the least is rounded up, the most down.
    least = -(-least // unit) if isinstance(least, timedelta) else least
    most = most // unit if isinstance(most, timedelta) else most
    return SMALLEST if least is None else least, LARGEST if most is None else most
