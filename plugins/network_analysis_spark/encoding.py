"""The JSON encoding of what is sent to executors and back."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

from kpis import pipeline
from kpis.catalog import registry
from kpis.catalog.calendar import use_zone, zone_name
from kpis.catalog.formats import Avro
from kpis.clock import Clocks
from kpis.engine.live import LiveCounts
from kpis.formats.bounds import Bounds
from kpis.lake import LakeFile, PartialFile
from kpis.pipeline import Options
from kpis.plugins.registry import PLUGINS, load
from kpis.sources.directory import FoundFile
from kpis.stages.ledger import Entry
from kpis.stages.prepared import Prepared

# The fields of an entry that JSON has types for.
ENTRY_FIELDS = ("is_in", "reason", "retry", "key", "digest", "reading", "lines", "records", "rejects", "lacks_day")


def encode_declared() -> dict[str, Any]:
    """Return what says which feeds and KPIs there are, and whose days they count, as JSON has it."""
    return {"plugins": list(PLUGINS), "catalog": registry.declared_texts(), "time_zone": zone_name()}


def load_declared(encoded: dict[str, Any]) -> None:
    """Load the driver's plug-ins and catalog files, unless they were loaded before, and use its time zone."""
    use_zone(encoded["time_zone"])
    load(encoded["plugins"])
    registry.declare_texts((path, text) for path, text in encoded["catalog"])


def encode_options(options: Options) -> dict[str, Any]:
    """Return the options that say how a file is read, as JSON has them."""
    return {
        **encode_declared(),
        "avro_schemas": _avro_schemas(),
        "interval_from": str(options.interval_from),
        "date": options.date and options.date.isoformat(),
        "max_reject_ratio": options.max_reject_ratio,
        "bounds": asdict(options.bounds),
        "archive_feeds": sorted(options.archive_feeds),
        "duplicates": str(options.duplicates),
        # All executors go by the driver's clocks.
        "clocks": [moment.isoformat() for moment in (options.at_hand.host, options.at_hand.database)],
        "max_clock_ahead": options.max_clock_ahead.total_seconds(),
    }


def _avro_schemas() -> dict[str, dict[str, str]]:
    """Return the schemas of Avro in the driver's folders, see ``folder_texts``."""
    feeds = [feed for feed in registry.DECLARED_FEEDS.values() if isinstance(feed.format, Avro)]
    if not feeds:
        return {}
    from kpis.formats.avro_schemas import folder_texts

    return folder_texts(feeds)


def decode_options(encoded: dict[str, Any]) -> Options:
    """Return the options that ``encode_options`` encoded, and load the driver's plug-ins and catalog files."""
    load_declared(encoded)
    if encoded["avro_schemas"]:
        from kpis.formats.avro_schemas import use_texts

        use_texts(encoded["avro_schemas"])
    return Options(
        interval_from=pipeline.IntervalFrom(encoded["interval_from"]),
        date=date.fromisoformat(encoded["date"]) if encoded["date"] else None,
        max_reject_ratio=encoded["max_reject_ratio"],
        bounds=Bounds(**encoded["bounds"]),
        archive_feeds=frozenset(encoded["archive_feeds"]),
        duplicates=pipeline.Duplicates(encoded["duplicates"]),
        clocks=Clocks(*map(datetime.fromisoformat, encoded["clocks"])),
        max_clock_ahead=timedelta(seconds=encoded["max_clock_ahead"]),
    )


def encode_prepared(one: Prepared) -> dict[str, Any]:
    """Return a prepared batch as JSON has it."""
    entry = one.entry
    return {
        **{name: getattr(entry, name) for name in ENTRY_FIELDS},
        "kpis": sorted(entry.kpis),
        "read_again_at": entry.read_again_at and entry.read_again_at.isoformat(),
        "intervals": {start.isoformat(): records for start, records in entry.intervals.items()},
        "first_rejects": one.first_rejects,
        "written": {str(aside): _encode_file(file) for aside, file in (one.written or {}).items()},
        "newest": one.newest and one.newest.isoformat(),
        "live": one.live and {"groups": one.live.groups, "typical": one.live.typical.isoformat()},
    }


def decode_prepared(encoded: dict[str, Any], file: FoundFile) -> Prepared:
    """Return the prepared batch that ``encode_prepared`` encoded."""
    entry = Entry(
        file,
        **{name: encoded[name] for name in ENTRY_FIELDS},
        kpis=frozenset(encoded["kpis"]),
        read_again_at=datetime.fromisoformat(encoded["read_again_at"]) if encoded["read_again_at"] else None,
        intervals={datetime.fromisoformat(start): records for start, records in encoded["intervals"].items()},
    )
    written = {PurePosixPath(aside): _decode_file(one) for aside, one in encoded["written"].items()}
    live = encoded["live"]
    return Prepared(
        entry,
        [tuple(reject) for reject in encoded["first_rejects"]],
        written=written,
        newest=datetime.fromisoformat(encoded["newest"]) if encoded["newest"] else None,
        live=LiveCounts(_decode_counts(live["groups"]), datetime.fromisoformat(live["typical"])) if live else None,
    )


def _encode_file(file: LakeFile) -> dict[str, Any]:
    """Return a file of the lake as JSON has it."""
    return {**asdict(file), "path": str(file.path), "hour": file.hour.isoformat()}


def _decode_file(encoded: dict[str, Any]) -> LakeFile:
    """Return the file that ``_encode_file`` encoded."""
    return LakeFile(
        **{**encoded, "path": PurePosixPath(encoded["path"]), "hour": datetime.fromisoformat(encoded["hour"])}
    )


def encode_partials(path: PurePosixPath, file: PartialFile) -> dict[str, Any]:
    """Return a file of partials to read as JSON has it."""
    return {"path": str(path), "expected": asdict(file.expected), "keys": sorted(file.keys or ())}


def _decode_counts(groups: dict[str, list[list[Any]]]) -> dict[str, list[tuple[int, str, int]]]:
    return {name: [(second, group, count) for second, group, count in rows] for name, rows in groups.items()}
