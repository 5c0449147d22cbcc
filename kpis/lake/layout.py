"""The layout of the lake: the folder and the name of each file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath

from blake3 import blake3

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import ONE_HOUR
from kpis.catalog.kpis import KPI
from kpis.catalog.sql import quoted

STAGING = PurePosixPath("staging")
COMPACTED = "compacted-"
GROUP = "group-"
HOUR_FOLDERS = ("year", "month", "day", "hour")
# The columns that all tables have: in their files, from the folders' names, and in views.
OWN_COLUMNS = frozenset({"interval_start", "batch", *HOUR_FOLDERS, "hour_start"})
# The number of hex digits of a file's digest in its name.
DIGEST_DIGITS = 16


@dataclass(frozen=True)
class LakeFile:
    """A file of the lake as the ledger keeps it.

    ``path`` is relative to the lake's root; ``feed`` (a feed's name) and ``hour`` (its start, UTC) are those of its
    rows. ``key`` is that of the batch whose rows it has; a group's or a compacted file has several batches, and no key:
    their keys are in its metadata. ``digest`` is BLAKE3 of the content in hex, "" if unknown; ``size`` is in bytes, and
    ``etag`` is an object's in a bucket.
    """

    path: PurePosixPath
    feed: str
    hour: datetime
    key: str
    digest: str = ""
    size: int = 0
    etag: str = ""

    def written(self, digest: str, size: int) -> LakeFile:
        """Return the file under the final name, with its digest: ``<name>.<first digits of the digest>.parquet``."""
        name = f"{self.path.stem}.{digest[:DIGEST_DIGITS]}.parquet"
        return replace(self, path=self.path.with_name(name), digest=digest, size=size)


def shared_name(keys: Collection[str]) -> str:
    """Return the name of a file with rows of the batches with these keys: the key of a single one."""
    return min(keys) if len(keys) == 1 else GROUP + blake3(",".join(sorted(keys)).encode()).hexdigest()[:24]


def partials_folder(kpi: KPI, hour: datetime) -> PurePosixPath:
    """Return the folder of a KPI's partials of one hour (any moment of it, UTC)."""
    return PurePosixPath("partials", kpi.name, *_hour_folders(hour))


def partials_file(kpi: KPI, hour: datetime, name: str, key: str = "") -> LakeFile:
    """Return the file of a KPI's partials of one hour (any moment of it, UTC), before its digest and size are known."""
    return LakeFile(partials_folder(kpi, hour) / f"{name}.parquet", kpi.feed.name, ONE_HOUR.floor(hour), key)


def rejects_folder(feed: Feed, moment: datetime) -> PurePosixPath:
    """Return the folder of a feed's rejects of the hour of a moment (UTC)."""
    return PurePosixPath("rejects", feed.name, *_hour_folders(moment))


def rejects_file(feed: Feed, moment: datetime, keys: Collection[str]) -> LakeFile:
    """Return the file of batches' rejects, by the hour of a moment (UTC), before its digest and size are known."""
    path = rejects_folder(feed, moment) / f"{shared_name(keys)}.parquet"
    return LakeFile(path, feed.name, ONE_HOUR.floor(moment), min(keys) if len(keys) == 1 else "")


def records_file(feed: Feed, hour: datetime, key: str) -> LakeFile:
    """Return the file of a batch's archived records of one hour (a moment, UTC), before digest and size are known."""
    path = PurePosixPath("records", feed.name, *_hour_folders(hour), f"{key}.parquet")
    return LakeFile(path, feed.name, ONE_HOUR.floor(hour), key)


def archived_columns(feed: Feed) -> dict[str, str]:
    """Return the columns of a feed's archived records, each with its SQL over the records.

    A column that is named like another of the table's, or one of the hour's folders, whose value engines would take for
    it, gets the feed's name as a prefix, and if a column has that name too, more than once. A time of day is kept as
    text, as no other engine reads that type from Parquet.
    """
    names = {column.name for column in feed.record_columns}
    columns = {}
    for column in feed.record_columns:
        name = column.name
        while name in OWN_COLUMNS or (name != column.name and name in names):
            name = f"{feed.name}_{name}"
        sql = quoted(column.name)
        columns[name] = f"CAST({sql} AS VARCHAR)" if column.type.sql_type == "TIME" else sql
    return columns


def by_time(feed: Feed) -> str:
    """Return SQL that sorts a feed's archived records."""
    names = dict(zip((one.name for one in feed.record_columns), archived_columns(feed), strict=True))
    return f" ORDER BY interval_start, {quoted(names[feed.moment.column])}"


def hour_of(folder: PurePosixPath) -> datetime | None:
    """Return the start (UTC) of the hour of a folder below its table's; None if it is not an hour's."""
    found = [part.partition("=") for part in folder.parts]
    if tuple(name for name, _, _ in found) != HOUR_FOLDERS:
        return None
    try:
        year, month, day, hour = (int(value) for _, _, value in found)
        return datetime(year, month, day, hour, tzinfo=UTC)
    except ValueError:
        return None


def _hour_folders(moment: datetime) -> list[str]:
    values = (f"{moment:%Y}", f"{moment:%m}", f"{moment:%d}", f"{moment:%H}")
    return [f"{folder}={value}" for folder, value in zip(HOUR_FOLDERS, values, strict=True)]
