"""Names that a catalog file refers to, with messages for those that there are not."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from kpis.catalog.file.errors import Keys
from kpis.catalog.file.source import Source


def instead(name: str, known: Mapping[str, object]) -> str:
    """Return what to write instead of an unknown name: the nearest, or all that there are."""
    near = get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def known_column(source: Source, at: Keys, name: str, feed: Mapping[str, object]) -> str:
    """Return the name of a column of a feed, whose columns are given; raises CatalogError if it has no such."""
    if name not in feed:
        raise source.error(at, f"names no column: {instead(name, feed)}")
    return name
