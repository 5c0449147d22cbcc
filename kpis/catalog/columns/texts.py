"""Columns of texts: free ones, words, postal codes and UUIDs."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

from kpis.catalog.columns.base import BadValue, ColumnType
from kpis.catalog.result_columns import Label, ResultType


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
        return "|".join(self.words)

    def parse_text(self, text: str) -> str:
        for word in self.words:
            if text.lower() == word.lower():
                return word
        raise BadValue(f"is none of {', '.join(self.words)}")

    def value_of(self, text: str) -> str:
        return text


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
