"""Definitions: what catalog files say of each feed and KPI, in the parts that a change of it has consequences for."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kpis.catalog.intervals import FIXED_BY_SHORT_NAME

if TYPE_CHECKING:
    from kpis.catalog.file.entries import FeedEntry, KPIEntry
    from kpis.catalog.kpis import KPI

# Keys that change no record and no figure. All others do, also those that are added to the entries later.
FEED_NOTES = {"description", "files", "endings", "archive"}
# Where the schemas of messages are, not what they say.
FORMAT_NOTES = {"schemas"}
COLUMN_NOTES = {"unit", "personal", "source"}
KPI_NOTES = {"description", "plural", "unit", "personal"}
# Keys of a KPI that say what is made of its partials.
MERGING = {"lengths", "top"}

# The interval of a feed that names none.
DEFAULT_INTERVAL = "5m"


class Kind(StrEnum):
    """The kinds of entries."""

    FEED = "feed"
    KPI = "kpi"


@dataclass(frozen=True)
class Definition:
    """What a catalog file says of a feed or a KPI.

    ``key`` is a feed's name or a KPI's id. The parts are JSON, without keys that have their default: ``records`` is
    what a feed's records, or a KPI's partials, depend on; ``merging`` what a KPI's figures depend on besides; ``notes``
    the rest. ``feed`` is the name of a KPI's feed.
    """

    kind: Kind
    key: str
    name: str
    feed: str
    records: str
    merging: str
    notes: str

    @property
    def title(self) -> str:
        """The entry as messages name it."""
        return title_of(self.kind, self.key, self.name)

    @cached_property
    def text(self) -> str:
        """All of the definition in one text."""
        return json.dumps([self.feed, self.records, self.merging, self.notes])

    @property
    def interval_minutes(self) -> int:
        """The minutes of a feed's interval."""
        return FIXED_BY_SHORT_NAME[json.loads(self.records).get("interval", DEFAULT_INTERVAL)].minutes


def title_of(kind: str, key: str, name: str) -> str:
    """Return an entry as messages name it: ``feed probe``, ``KPI 1001 (CellVolume)``."""
    return f"feed {key}" if kind == Kind.FEED else f"KPI {key} ({name})"


def definition(kind: str, key: str, name: str, text: str) -> Definition:
    """Return the definition of a text that ``Definition.text`` gave."""
    return Definition(Kind(kind), key, name, *json.loads(text))


def feed_definition(name: str, entry: FeedEntry) -> Definition:
    """Return the definition of a feed's entry."""
    values = _values(entry)
    # In their order, which rows without a header follow.
    columns = [[column, *_split(value, COLUMN_NOTES)] for column, value in values.pop("columns").items()]
    records, notes = _split(values, FEED_NOTES)
    records["format"], of_format = _split(records["format"], FORMAT_NOTES)
    if of_format:
        notes["format"] = of_format
    records["columns"] = [[column, value] for column, value, _ in columns]
    notes["columns"] = [[column, value] for column, _, value in columns if value]
    return Definition(Kind.FEED, name, name, "", _text(records), "", _text(notes))


def kpi_definition(name: str, entry: KPIEntry, kpi: KPI) -> Definition:
    """Return the definition of a KPI's entry, with what its attributes depend on."""
    records, notes = _split(_values(entry), KPI_NOTES)
    records, merging = _split(records, MERGING)
    merging["lengths"] = sorted(set(merging["lengths"]))
    if kpi.attributes:
        # Files are read again for its partials when they are its own from now on.
        records["partials_of"] = kpi.source.id
        merging["references"] = [one.reference.name for one in kpi.attributes]
    if ignoring := [one.column for one in kpi.attributes if one.reference.ignore_case]:
        records["keys_ignore_case"] = ignoring
    return Definition(
        Kind.KPI, f"{records.pop('id')}", name, records["feed"], _text(records), _text(merging), _text(notes)
    )


def _values(entry: FeedEntry | KPIEntry) -> dict[str, Any]:
    # Every command that writes imports this module, and only those with a catalog need the library.
    import msgspec

    return msgspec.to_builtins(entry)


def _split(values: Mapping[str, Any], keys: Collection[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values without some keys, and those with these keys."""
    return (
        {key: value for key, value in values.items() if key not in keys},
        {key: value for key, value in values.items() if key in keys},
    )


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)
