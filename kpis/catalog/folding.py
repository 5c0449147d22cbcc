"""Folding: texts that differ only in case, or in the encoding of their accents, make one group.

``fold`` is the truth. Code that groups, filters or compares names of folded dimensions uses it, or SQL that calls it.
"""

from __future__ import annotations

import unicodedata

# The name of ``fold`` in the SQL of connections that have it.
SQL_NAME = "fold"
# Folding makes a text at most so many times as long.
LONGEST_FOLDED = 3


def fold(text: str) -> str:
    """Return the text without case, composed: two texts are the same name if this is equal for both.

    Unicode's canonical caseless matching (Unicode Standard, 3.13, D145), in normal form C: ``ΕΛΛΆΣ``, ``Ελλάς`` and the
    same with combining accents are one; so are ``ß`` and ``ss``, but not ``é`` and ``e``. Folding twice gives the same
    as once.
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def folded_sql(text: str) -> str:
    """Return DuckDB's SQL for the folded text of an SQL expression; the connection has ``fold`` as a function.

    Python is called only for texts that are not ASCII.
    """
    return f"CASE WHEN strlen({text}) = length({text}) THEN lower({text}) ELSE {SQL_NAME}({text}) END"
