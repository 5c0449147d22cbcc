"""How the files and messages of a feed are decoded, by its format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from kpis.catalog.feeds import Feed
from kpis.catalog.formats import Avro, Plugin
from kpis.catalog.plugin_formats import Rows
from kpis.formats.decoded import Decoded


def decoded_of(feed: Feed) -> Decoded | None:
    """Return how a feed's files and messages are decoded; None if they are lines themselves."""
    if isinstance(feed.format, Avro):
        # Most installations have no such feed.
        from kpis.formats.avro import avro_of

        return avro_of(feed, feed.format)
    return _plugin(feed, feed.format) if isinstance(feed.format, Plugin) else None


def _plugin(feed: Feed, format: Plugin) -> Decoded:
    plugin, options, columns = format.plugin, format.options, feed.columns
    line = getattr(plugin, "line", None)

    def rows(file: BinaryIO) -> Iterator[Rows]:
        return plugin.rows(file, columns, options)

    return Decoded(
        plugin.title, format.lines, rows, None if line is None else lambda message: line(message, columns, options)
    )
