"""The adoption of a lake of version 0.1.0, whose ledger had no rows of files: file names alone decided.

Those were ``<key>.parquet`` and ``compacted-<digest of what it compacts>.parquet``. They keep their names, and are
digested now.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from pathlib import PurePosixPath
from typing import Protocol

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import ONE_HOUR
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import FEEDS, partial_kpis
from kpis.lake.errors import DamagedFile, translate_errors
from kpis.lake.lake import Lake
from kpis.lake.layout import COMPACTED, STAGING, LakeFile, hour_of
from kpis.lake.staging import PLAN
from kpis.storage import Storage, Stored

COMPACTING = "compacting-"
SUPERSEDED = "superseded.json"


class KeyLedger(Protocol):
    """The ledger of version 0.1.0, which recorded only the keys of batches."""

    def keys(self, feed: Feed, start: datetime, end: datetime) -> dict[datetime, dict[str, frozenset[int]]]:
        """Return the keys of the batches in each of the feed's intervals, each with the ids of its KPIs."""

    def keys_in(self, keys: Collection[str]) -> set[str]:
        """Return those of the keys that belong to ingested batches."""


def adopted(lake: Lake, ledger: KeyLedger) -> Iterator[LakeFile]:
    """Yield the files of a lake of version 0.1.0 that count, from one listing.

    In a folder each is read to be digested; for a bucket's objects the etags are enough. Missing and unreadable files
    are left out: the batch then lacks them. Raises LakeError.
    """
    _end_compactions(lake.storage)
    for kpi in partial_kpis():
        for hour, files in _hours(lake.storage, PurePosixPath("partials", kpi.name)):
            yield from _digested(lake, _partials(lake, ledger, kpi, hour, files))
    for feed in FEEDS.values():
        for table in ("rejects", "records"):
            for hour, files in _hours(lake.storage, PurePosixPath(table, feed.name)):
                counting = ledger.keys_in([path.stem for path in files])
                found = {path: stored for path, stored in files.items() if path.stem in counting}
                yield from _digested(
                    lake, [_file(path, feed, hour, path.stem, stored) for path, stored in found.items()]
                )


def _hours(storage: Storage, root: PurePosixPath) -> Iterator[tuple[datetime, dict[PurePosixPath, Stored]]]:
    """Yield the files below a table's folder, hour by hour (start, UTC)."""
    with translate_errors(storage.url(root)):
        for folder, found in groupby(storage.files(root), key=lambda file: file[0].parent):
            hour = hour_of(folder.relative_to(root))
            if hour is not None:
                yield hour, {path: stored for path, stored in found if path.suffix == ".parquet"}


def _partials(
    lake: Lake, ledger: KeyLedger, kpi: KPI, hour: datetime, files: dict[PurePosixPath, Stored]
) -> list[LakeFile]:
    """Return those of an hour's files whose partials count: the batches' own, and compacted ones of the others."""
    found = ledger.keys(kpi.feed, hour, hour + ONE_HOUR.delta).values()
    lacking = {key for keys in found for key, kpis in keys.items() if kpi.id in kpis}
    counting = []
    for path, stored in files.items():
        if path.stem in lacking:
            counting.append(_file(path, kpi.feed, hour, path.stem, stored))
            lacking.remove(path.stem)
    for path, stored in files.items():
        if lacking and path.name.startswith(COMPACTED):
            try:
                held = lacking & lake.keys_in(path)
            except DamagedFile:
                continue
            if held:
                counting.append(_file(path, kpi.feed, hour, "", stored))
                lacking -= held
    return counting


def _file(path: PurePosixPath, feed: Feed, hour: datetime, key: str, stored: Stored) -> LakeFile:
    return LakeFile(path, feed.name, hour, key, size=stored.size, etag=stored.etag)


def _digested(lake: Lake, files: Iterable[LakeFile]) -> Iterator[LakeFile]:
    files = list(files)
    yield from (file for file in files if file.etag)
    here = {file.path: file for file in files if not file.etag}
    for path, digest in lake.verifier.digests(here):
        yield replace(here[path], digest=digest)


def _end_compactions(storage: Storage) -> None:
    """Finish compactions that were interrupted: remove what they replace if they were recorded, else the new file."""
    with translate_errors(storage.url(STAGING)):
        for name in storage.names(STAGING):
            for plan in (SUPERSEDED, PLAN) if name.startswith(COMPACTING) else ():
                text = storage.read(STAGING / name / plan)
                if text is not None:
                    storage.remove([PurePosixPath(path) for path in json.loads(text)])
                    storage.remove_folder(STAGING / name)
                    break
