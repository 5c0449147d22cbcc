"""References: what is known of the things that records name, such as the site and the vendor of a cell.

A reference is a table with one key, loaded from a file by ``manage.py load_reference``. A row is a version: what holds
of a key in the half-open span ``[valid_from, valid_to)`` of time. Without a ``valid_from`` it holds since EPOCH,
without a ``valid_to`` it has no end. The versions of a key do not overlap. What holds in an interval is the version
that is valid at its start.

The reference ``describes`` columns of feeds: their values are its keys. Rows of KPIs with a dimension of such a column
have the version's name beside the value, and are found by either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kpis.catalog.columns import UUID, Choice, Decimal, Integer, PostalCode, Text
from kpis.catalog.feeds import Column
from kpis.catalog.folding import LONGEST_FOLDED, fold
from kpis.catalog.result_columns import BadEntry, Label

# What the database keeps of a key and of a name.
LONGEST_KEY, LONGEST_NAME = 255, 200
VALID_FROM, VALID_TO = "valid_from", "valid_to"

# The types of keys, each with the name that messages have for it.
_KEYS: dict[type, str] = {Integer: "integer", Text: "text", Choice: "text", PostalCode: "text", UUID: "uuid"}


@dataclass(frozen=True)
class ReferenceTable:
    """One reference: ``columns`` are those of its files, among them the ``key``.

    The column ``shown`` has the name of a version, ``place`` its latitude and longitude in degrees; without them it has
    none. ``describes`` are the feeds' columns whose values are its keys, each as the names of the feed and the column.
    Keys that differ only by case are one with ``ignore_case``.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    key: str
    describes: frozenset[tuple[str, str]]
    shown: str = ""
    place: tuple[str, str] | None = None
    ignore_case: bool = False

    def __post_init__(self) -> None:
        """Raise BadEntry if the entry contradicts itself."""
        if contradiction := next(self._contradictions(), ""):
            raise BadEntry(contradiction, f"Reference {self.name}")

    @cached_property
    def key_column(self) -> Column:
        """The column of its keys."""
        return self.column(self.key)

    @property
    def key_kind(self) -> str:
        """The kind of its keys: integer, text or uuid. It describes columns of this kind alone."""
        return kind_of_key(self.key_column)

    @property
    def attributes(self) -> tuple[Column, ...]:
        """The columns besides key, name and place."""
        others = {self.key, self.shown, *(self.place or ())}
        return tuple(column for column in self.columns if column.name not in others)

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns of texts by which KPIs can group: the name and attributes."""
        others = {self.key, *(self.place or ())}
        texts = [column for column in self.columns if isinstance(column.type.result_type, Label)]
        return tuple(column.name for column in texts if column.name not in others)

    @property
    def is_personal(self) -> bool:
        """True if a version has personal data."""
        return any(column.is_personal for column in self.columns)

    def column(self, name: str) -> Column:
        """Return the column of that name; raises KeyError."""
        return {column.name: column for column in self.columns}[name]

    def stored_key(self, value: Any) -> str:
        """Return a value of the key's column as the database has it: versions with the same one are of one key."""
        return fold(value) if self.ignore_case else f"{value}"

    def _contradictions(self) -> Iterator[str]:
        known = {column.name: column for column in self.columns}
        for name in (self.key, *filter(None, [self.shown]), *(self.place or ())):
            if name not in known:
                yield f"it has no column {name}"
                return
        roles = [self.key, *filter(None, [self.shown]), *(self.place or ())]
        if len({*roles}) < len(roles):
            yield "a column has two of the roles key, name, latitude and longitude"
        for name in (VALID_FROM, VALID_TO):
            if name in known:
                yield f"a column cannot be named {name}, which each reference has"
        yield from self._unfit_key(known[self.key])
        if self.shown:
            label = known[self.shown].type.result_type
            if kind_of_key(known[self.shown]) != "text" or not isinstance(label, Label):
                yield f"its name, the column {self.shown}, is no column of texts"
            elif label.longest > LONGEST_NAME:
                yield f"its name, the column {self.shown}, can have {label.longest} characters; {LONGEST_NAME} fit"
        for name, most in zip(self.place or (), (90, 180), strict=False):
            degrees = known[name].type
            if not isinstance(degrees, Decimal) or degrees.minimum < -most or degrees.maximum > most:
                yield f"its place, the column {name}, is no column of decimals from -{most} to {most}, degrees"

    def _unfit_key(self, column: Column) -> Iterator[str]:
        if not kind_of_key(column):
            yield f"its key, the column {column.name}, is a {type(column.type).__name__}, and must be {_or(_KEYS)}"
        if column.type.may_be_none or not column.required:
            yield f"its key, the column {column.name}, is optional"
        label = column.type.result_type
        if not isinstance(label, Label):
            if self.ignore_case:
                yield f"it ignores case, and its key, the column {column.name}, has no texts"
        elif label.longest * (LONGEST_FOLDED if self.ignore_case else 1) > LONGEST_KEY:
            most = LONGEST_KEY // (LONGEST_FOLDED if self.ignore_case else 1)
            yield f"its key, the column {column.name}, can have {label.longest} characters; {most} fit"


def kind_of_key(column: Column) -> str:
    """Return the kind of keys that a column's values can be: integer, text or uuid; "" for a column that has none."""
    return next((kind for type_, kind in _KEYS.items() if type(column.type) is type_), "")


def _or(kinds: dict[type, str]) -> str:
    *most, last = dict.fromkeys(kinds.values())
    return f"{', '.join(most)} or {last}"
