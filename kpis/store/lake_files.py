"""The ledger's rows of the lake files that count."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import ONE_HOUR
from kpis.catalog.registry import kpis_of, lengths_of
from kpis.lake import LakeFile
from kpis.models import Batch, DueCompaction, DueReference, DueRollup, Watermark
from kpis.models import LakeFile as StoredLakeFile
from kpis.store.bulk import ROWS_A_STATEMENT, chunks, insert_rows

KEYS_A_QUERY = 500
FOLDERS_A_QUERY = 400
_COLUMNS = ("folder", "name", "feed", "interval_start_timestamp", "key", "digest", "size", "etag")


class LakeFileLedger:
    """The part of the ledger that says which files of the lake count."""

    def files(self, folders: Collection[PurePosixPath]) -> list[LakeFile]:
        return [
            file
            for some in chunks([str(folder) for folder in folders], FOLDERS_A_QUERY)
            for file in lake_files(StoredLakeFile.objects.filter(folder__in=some))
        ]

    def files_of(self, key: str) -> list[LakeFile]:
        return list(lake_files(StoredLakeFile.objects.filter(key=key)))

    def counts(self, paths: Collection[PurePosixPath]) -> set[PurePosixPath]:
        return set(_ids_by_path(paths))

    @transaction.atomic
    def exchange_files(self, added: Collection[LakeFile], removed: Collection[PurePosixPath]) -> None:
        gone = _ids_by_path([*removed, *(file.path for file in added)])
        for some in chunks(list(gone.values()), ROWS_A_STATEMENT):
            StoredLakeFile.objects.filter(pk__in=some).delete()
        add_lake_files(added)

    def keys_in(self, keys: Collection[str]) -> set[str]:
        """Return the keys that are those of ingested batches."""
        found = Batch.objects.filter(status=Batch.Status.IN).order_by()
        return {
            key
            for some in chunks(list(keys), KEYS_A_QUERY)
            for key in found.filter(key__in=some).values_list("key", flat=True)
        }

    def prunable_before(self, feed: Feed, moment: datetime) -> datetime:
        """Return the latest whole hour, not after the moment (UTC), before which nothing of the feed is due.

        Of a feed's longest days, weeks or months none is divided: while the lake has one's later hours, records of
        these may come, with which all of it is computed again.
        """
        references = {one.reference.name for kpi in kpis_of(feed) for one in kpi.attributes}
        due = [
            DueRollup.objects.filter(feed=feed.name),
            # What is due by a reference that the catalog has no more is never computed.
            DueReference.objects.filter(feed=feed.name, reference__in=references),
        ]
        starts = [rows.values_list("interval_start_timestamp", flat=True).first() for rows in due]
        moment, longest = min([moment, *filter(None, starts)]), lengths_of(feed)[-1]
        return ONE_HOUR.floor(longest.floor(moment) if longest.is_calendar else moment)

    @transaction.atomic
    def keep_from(self, feed: Feed, moment: datetime) -> None:
        """Record that the lake keeps nothing of a feed before a moment (UTC)."""
        StoredLakeFile.objects.filter(feed=feed.name, interval_start_timestamp__lt=moment).delete()
        earlier = Q(kept_from=None) | Q(kept_from__lt=moment)
        Watermark.objects.filter(earlier, feed=feed.name).update(kept_from=moment)
        DueCompaction.objects.filter(feed=feed.name, interval_start_timestamp__lt=moment).delete()


def lake_files(found: QuerySet[StoredLakeFile]) -> Iterator[LakeFile]:
    """Yield the lake's files of some rows."""
    for folder, name, feed, hour, key, digest, size, etag in found.order_by().values_list(*_COLUMNS):
        yield LakeFile(PurePosixPath(folder, name), feed, hour, key, digest, size, etag)


def add_lake_files(files: Collection[LakeFile]) -> None:
    """Insert the rows of files that count from now on."""
    insert_rows(StoredLakeFile, _COLUMNS, map(_row, files))


def _row(file: LakeFile) -> tuple[Any, ...]:
    folder, name = str(file.path.parent), file.path.name
    return folder, name, file.feed, file.hour, file.key, file.digest, file.size, file.etag


def _ids_by_path(paths: Collection[PurePosixPath]) -> dict[PurePosixPath, int]:
    """Return the ids of the rows of those files at the paths that count."""
    wanted, found = set(paths), {}
    for some in chunks(sorted(wanted), FOLDERS_A_QUERY):
        rows_there = StoredLakeFile.objects.filter(
            folder__in={str(path.parent) for path in some}, name__in=[path.name for path in some]
        )
        # The query pairs all of the folders with all of the names: the pairs that were not asked for are dropped below.
        for row, folder, name in rows_there.order_by().values_list("pk", "folder", "name"):
            found[PurePosixPath(folder, name)] = row
    return {path: found[path] for path in found.keys() & wanted}
