"""Names in SQL: columns are called what users call them, which may be a word of SQL.

Names of a catalog file are letters, digits and single ``_``: internal columns beside a feed's have a space in theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# The column of a table of records with the start of their interval.
RECORD_START = "interval start"


def quoted(name: str) -> str:
    """Return a name as SQL, also if it is a word of SQL."""
    return '"' + name.replace('"', '""') + '"'


def listed(names: Iterable[str]) -> str:
    """Return names as SQL, with commas between them."""
    return ", ".join(map(quoted, names))


def aliased(columns: Mapping[str, str]) -> str:
    """Return the list of a SELECT: each column by its name, with its SQL."""
    return ", ".join(f"{sql} AS {quoted(name)}" for name, sql in columns.items())
