"""Columns of texts: free ones, words, postal codes and UUIDs."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kpis.catalog.columns.base import JSON_TEXT, BadValue, ColumnType
from kpis.catalog.columns.layouts import literal_pattern
from kpis.catalog.result_columns import BadEntry, Label, ResultType

TRUE, FALSE = "true", "false"


@dataclass(frozen=True)
class Text(ColumnType):
    """Text of at most ``longest`` characters, none of them a control character."""

    longest: int = 100

    sql_type = "VARCHAR"

    @property
    def result_type(self) -> ResultType:
        return Label(self.longest)

    @property
    def pattern(self) -> str:
        return rf"[ -~]{{1,{self.longest}}}"

    def parse_text(self, text: str) -> str:
        if len(text) > self.longest:
            raise BadValue(f"is longer than {self.longest} characters")
        if not text.isprintable():
            raise BadValue("holds a control character")
        return text

    def value_of(self, text: str) -> str:
        return text


@dataclass(frozen=True)
class Choice(ColumnType):
    """One of a few words, in any case; kept as it is spelled here."""

    words: tuple[str, ...] = ()

    sql_type = "VARCHAR"

    @property
    def result_type(self) -> ResultType:
        return Label(max(map(len, self.words)))

    @property
    def help_text(self) -> str:
        return " or ".join(self.words)

    @property
    def pattern(self) -> str:
        return "|".join(map(literal_pattern, self.words))

    def parse_text(self, text: str) -> str:
        for word in self.words:
            if text.lower() == word.lower():
                return word
        raise BadValue(f"is none of {', '.join(self.words)}")

    def value_of(self, text: str) -> str:
        return text


@dataclass(frozen=True)
class Boolean(ColumnType):
    """True or false, by the words that say so, in any case. The groups that it makes are named true and false."""

    true: tuple[str, ...] = (TRUE, "1", "yes")
    false: tuple[str, ...] = (FALSE, "0", "no")

    sql_type = "BOOLEAN"
    result_type = Label(len(FALSE))
    help_text = f"{TRUE} or {FALSE}"
    # Only ASCII, whose lower case is the same everywhere.
    pattern = "[ -~]{1,100}"

    def __post_init__(self) -> None:
        """Raise BadEntry unless each word says one thing; JSON's own ``true`` and ``false`` have their meaning."""
        if not self.true or not self.false or "" in (*self.true, *self.false):
            raise BadEntry("a Boolean needs words for true and for false, none of them empty")
        both = {*_lower(self.true), TRUE} & {*_lower(self.false), FALSE}
        if both:
            raise BadEntry(f"the word {sorted(both)[0]!r} of a Boolean means both true and false")

    @property
    def accepted(self) -> str:
        return f"true: {', '.join(self.true)}; false: {', '.join(self.false)}"

    @property
    def kept(self) -> str:
        return ""

    @property
    def default_text(self) -> str:
        words = self.true if self.default else self.false
        return "" if self.default is None else words[0]

    @cached_property
    def words(self) -> dict[str, bool]:
        """The words in lower case, each with the value."""
        return dict.fromkeys(_lower(self.true), True) | dict.fromkeys(_lower(self.false), False)

    def parse_text(self, text: str) -> bool:
        try:
            return self.words[text.lower()]
        except KeyError:
            raise BadValue(f"is none of {', '.join((*self.true, *self.false))}") from None

    def text_of_json(self, value: Any) -> str:
        if isinstance(value, bool):
            return (self.true if value else self.false)[0]
        if type(value) is int:
            return str(value)
        return super().text_of_json(value)

    @property
    def json_patterns(self) -> tuple[str, ...]:
        bare = [word for word in (TRUE, FALSE) if word in self.words]
        bare += [word for word in self.words if re.fullmatch("0|[1-9][0-9]{0,8}", word)]
        return (f"({'|'.join(bare)})", JSON_TEXT) if bare else (JSON_TEXT,)

    def value_of(self, text: str) -> str:
        cases = (
            f"WHEN lower({text}) IN ({', '.join(map(_quoted, _lower(words)))}) THEN {value}"
            for words, value in ((self.true, TRUE), (self.false, FALSE))
        )
        return f"CASE {' '.join(cases)} END"

    def group_sql(self, value: str) -> str:
        return f"CAST({value} AS VARCHAR)"


@dataclass(frozen=True)
class PostalCode(Text):
    """A postal code as text; one that was saved by a spreadsheet, as ``250236.0``, loses its ``.0``."""

    longest: int = 20

    pattern = r"[0-9]{1,18}(\.0)?"

    def parse_text(self, text: str) -> str:
        return super().parse_text(re.sub(r"^([0-9]+)\.0+$", r"\1", text))

    def value_of(self, text: str) -> str:
        return rf"regexp_replace({text}, '\.0$', '')"


@dataclass(frozen=True)
class UUID(ColumnType):
    """A UUID, kept in its canonical form: lower case with hyphens."""

    sql_type = "VARCHAR"
    result_type = Label(36)
    help_text = "UUID"
    pattern = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    _any_case = re.compile(pattern, re.IGNORECASE | re.ASCII)

    def parse_text(self, text: str) -> str:
        if not self._any_case.fullmatch(text):
            raise BadValue("is not a UUID")
        return str(uuid.UUID(text))

    def value_of(self, text: str) -> str:
        return text


def _lower(words: tuple[str, ...]) -> list[str]:
    return [word.lower() for word in words]


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "''") + "'"
