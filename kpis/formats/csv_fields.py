"""Fields of CSV: where they are in a row, and how its numbers are written."""

from __future__ import annotations

import re

from kpis.catalog.columns import BadValue, Decimal, Integer
from kpis.catalog.feeds import BadRow
from kpis.catalog.formats import CSV
from kpis.formats.row_format import quoted

NUMBERS = (Integer, Decimal)


class Fields:
    """The fields of a format's rows."""

    def __init__(self, format: CSV):
        self._delimiter, self._quote = format.delimiter, format.quote
        if not self._quote:
            return
        blanks = " \t".replace(self._delimiter, "")
        delimiter, quote = re.escape(self._delimiter), re.escape(self._quote)
        self._field = re.compile(
            f"[{blanks}]*+{quote}((?:[^{quote}]|{quote}{quote})*+){quote}[{blanks}]*+|[^{quote}{delimiter}]*+"
        )

    def split(self, text: str) -> list[str]:
        """Return the fields of one row, without quotes but otherwise as they are written; raises BadRow."""
        delimiter, quote = self._delimiter, self._quote
        if not quote or quote not in text:
            return text.split(delimiter)
        fields = []
        end = -1
        while end < len(text):
            found = self._field.match(text, end + 1)
            if found is None or text[found.end() : found.end() + 1] not in ("", delimiter):
                raise BadRow("", "has a badly placed quote")
            fields.append(found[0] if found[1] is None else found[1].replace(quote * 2, quote))
            end = found.end()
        return fields


class Numbers:
    """How a format writes numbers; they ``are_plain`` if with a point and without separators of thousands."""

    def __init__(self, format: CSV):
        self._decimal, self._thousands = format.decimal, format.thousands
        self.are_plain = self._decimal == "." and not self._thousands
        self._groups = f"-?[0-9]{{1,3}}({re.escape(self._thousands)}[0-9]{{3}})+({re.escape(self._decimal)}[0-9]*)?"
        self._grouped = re.compile(self._groups, re.ASCII)

    def plain(self, text: str) -> str:
        """Return a number's text with a point and without separators; raises BadValue if one is misplaced."""
        if self._thousands and self._thousands in text:
            if not self._grouped.fullmatch(text):
                raise BadValue("has a thousands separator where none can be")
            text = text.replace(self._thousands, "")
        if self._decimal == ".":
            return text
        if "." in text:
            raise BadValue("has a point, but a comma precedes its decimals")
        return text.replace(self._decimal, ".")

    def plain_sql(self, text: str) -> str:
        """Return the same in SQL; what ``plain`` refuses gives a text that is no number."""
        if self._thousands:
            removed = f"replace({text}, {quoted(self._thousands)}, '')"
            text = f"CASE WHEN regexp_full_match({text}, {quoted(self._groups)}) THEN {removed} ELSE {text} END"
        return text if self._decimal == "." else f"translate({text}, ',.', '.,')"
