"""The base of columns' types.

``parse`` is the definition in Python, for a single field, and is the truth. ``is_plain`` and ``value`` are the same in
SQL, for fields by the million: a text that is plain is accepted by ``parse``, and ``value`` gives the same value. A
text that is not plain may still be valid; such rows are judged one by one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from kpis.catalog.result_columns import ResultType

# A text without escapes.
JSON_TEXT = r'"([^"\\]*)"'


class BadValue(ValueError):
    """A field's text that its column cannot hold; the message gives the reason, without repeating the text."""


@dataclass(frozen=True)
class JSONNumber:
    """A number of JSON with a point or an exponent, as it is written: a float would round it."""

    text: str


@dataclass(frozen=True)
class ColumnType(ABC):
    """A column's type. An empty field of an ``optional`` column is None, NULL in SQL.

    ``default`` is the value that a record has instead: a row without one, of an optional column, is read as a row with
    it. It is one of the type's own values.
    """

    optional: bool = False
    default: Any = field(default=None, kw_only=True)

    @property
    def may_be_none(self) -> bool:
        """True if a record may have no value in the column."""
        return self.can_be_missing and self.default is None

    @property
    def can_be_missing(self) -> bool:
        """True if a row may have no value in the column."""
        return self.optional

    @property
    def default_value(self) -> Any:
        """The default as JSON has it; None for none."""
        return self.default

    @property
    def default_text(self) -> str:
        """The default as a field of a file may have it; "" for none."""
        return "" if self.default is None else f"{self.default}"

    @property
    def accepted(self) -> str:
        """The accepted values, and those that mean "unknown", in words; "" if the type's name is enough."""
        return ""

    @property
    def kept(self) -> str:
        """The same of the values that records have."""
        return self.accepted

    @property
    def result_type(self) -> ResultType | None:
        """The type of a result's column whose groups the values name; None if they cannot name groups."""
        return None

    @property
    def help_text(self) -> str:
        """A description of the values for readers of a result's column; "" if there is nothing to say."""
        return ""

    @property
    @abstractmethod
    def sql_type(self) -> str:
        """The value's type in DuckDB."""

    @abstractmethod
    def parse_text(self, text: str) -> Any:
        """Return the value of a text that is not empty; raises BadValue."""

    @property
    @abstractmethod
    def pattern(self) -> str:
        """A regular expression for plain texts that are not empty; valid in Python and in RE2."""

    @abstractmethod
    def value_of(self, text: str) -> str:
        """Return SQL for the value of a plain text (an SQL expression); NULL if the pattern accepts too much."""

    def parse(self, text: str) -> Any:
        """Return the value of a field's text, or None for an empty one that is optional; raises BadValue."""
        if not text:
            if self.optional:
                return None
            raise BadValue("is empty")
        return self.parse_text(text)

    def text_of_json(self, value: Any) -> str:
        """Return the field's text of a value in JSON, which is None only if the column is not optional.

        Raises BadValue for a value of another type.
        """
        if not isinstance(value, str):
            raise BadValue("is not a text")
        return value.strip(" \t")

    @property
    def json_patterns(self) -> tuple[str, ...]:
        """Regular expressions, in RE2, of values in JSON whose text SQL can read: that of their one group."""
        return (JSON_TEXT,)

    def is_plain(self, text: str) -> str:
        """Return an SQL condition: true if SQL can parse a text (an SQL expression)."""
        plain = f"(regexp_full_match({text}, '{self.pattern}') AND {self.takes(text)})"
        return f"({text} IS NULL OR {text} = '' OR {plain})" if self.optional else f"coalesce({plain}, false)"

    def takes(self, text: str) -> str:
        """Return an SQL condition: true if a text that matches the pattern is accepted."""
        return f"{self.value_of(text)} IS NOT NULL"

    def group_sql(self, value: str) -> str:
        """Return SQL for what names the group of a value (an SQL expression): the value itself, or a text of it."""
        return value

    def value(self, text: str) -> str:
        """Return SQL for the value of a plain text."""
        return f"CASE WHEN {text} <> '' THEN {self.value_of(text)} END"


def json_number_text(value: Any) -> str | None:
    """Return the text of a value in JSON that is a number; None for any other."""
    if isinstance(value, JSONNumber):
        return value.text
    return str(value) if type(value) is int else None
