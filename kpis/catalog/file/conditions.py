"""Expressions of a catalog file, with messages for those that cannot be computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from kpis.catalog.checks import column_types
from kpis.catalog.expressions import Expression, ExpressionError, condition
from kpis.catalog.feeds import Feed
from kpis.catalog.file.errors import Keys
from kpis.catalog.file.source import Source

Made = TypeVar("Made")


def condition_of(source: Source, at: Keys, text: str, feed: Feed) -> Expression | None:
    """Return a condition over a feed's records, None for no text; raises CatalogError."""
    if not text:
        return None
    return expressed(source, at, lambda: condition(text, column_types(feed.record_columns, feed.place)))


def expressed(source: Source, at: Keys, make: Callable[[], Made]) -> Made:
    """Return what is made of an expression; raises CatalogError if that is wrong."""
    try:
        return make()
    except ExpressionError as error:
        raise source.error(at, f"is no expression that can be computed; at {error}") from None
