"""Folding: what makes one group of texts that differ in letter case, or in how their accents are encoded.

``fold`` is the truth. Whoever groups, filters or compares names of folded dimensions uses it, or SQL that calls it.
"""

from __future__ import annotations

import unicodedata

# The name by which SQL calls ``fold``, where a connection has it.
SQL_NAME = "fold"


def fold(text: str) -> str:
    """The text without letter case, composed: two texts are one name where this is the same of both.

    Unicode's canonical caseless matching (Unicode Standard, 3.13, D145), in normal form C: ``ΕΛΛΆΣ``, ``Ελλάς`` and
    the same with accents of their own are one; so are ``ß`` and ``ss``, but not ``é`` and ``e``. Folding twice gives
    the same as once.
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def folded_sql(text: str) -> str:
    """DuckDB's SQL for the folded text of an SQL expression; the connection has ``fold`` as a function.

    Python is asked only for what is not ASCII.
    """
    return f"CASE WHEN strlen({text}) = length({text}) THEN lower({text}) ELSE {SQL_NAME}({text}) END"
