"""What the commands about the catalog share."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from django.conf import settings
from django.core.management.base import CommandParser

from kpis.declared.losses import NamesInPlace
from kpis.sources.places import found_in
from kpis.storage import SCHEME, Address, address


def add_place_argument(parser: CommandParser) -> None:
    parser.add_argument(
        "--data-dir",
        type=lambda text: address(text) if text.startswith(SCHEME) else Path(text),
        help="the folder or s3://bucket/prefix whose files can be read again (default: DATA_DIR)",
    )


def names_in(place: Address | None) -> NamesInPlace:
    """Return a function that gives the feed and name of each file of a place, by default of the data folder."""

    @cache
    def names() -> set[tuple[str, str]]:
        return {(file.feed.name, file.name) for file in found_in(place or settings.DATA_DIR, settings.FEED_FILES)}

    return names
