"""Files that leave the lake when batches are replaced: their own, and shared ones, written again without their rows.

Shared files of partials keep such rows until they are compacted, and readers leave them out. Those of rejects are not
compacted, and other engines read all that is in them, so they are written again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from pathlib import PurePosixPath

from kpis.catalog.registry import FEEDS
from kpis.lake import DamagedFile, Expected, Lake, PartialFile, Staging
from kpis.lake.layout import rejects_folder
from kpis.stages.ledger import Entry, Ledger


def replaced_files(
    leaving: Collection[tuple[Entry, Collection[datetime]]], staging: Staging, ledger: Ledger, lake: Lake
) -> list[PurePosixPath]:
    """Return the paths of the files that no longer count once ingested batches of one feed are replaced.

    Each batch comes with the starts (UTC) of the intervals that it has records in. Shared files of rejects are written
    again to the staging without the batches' rows.
    """
    replaced = [file.path for entry, _ in leaving for file in ledger.files_of(entry.key)]
    rejected: dict[PurePosixPath, set[str]] = defaultdict(set)
    for entry, starts in leaving:
        if entry.rejects and starts:
            rejected[rejects_folder(entry.file.feed, min(starts))].add(entry.key)
    for file in ledger.files(rejected) if rejected else ():
        if file.key:
            continue
        try:
            held = lake.keys_in(file.path)
            kept = held - rejected[file.path.parent]
            if kept == held:
                continue
            if kept:
                whole = {file.path: PartialFile(Expected.of(file), frozenset(kept))}
                with lake.tables(whole) as (rows,):
                    staging.add_rejects(FEEDS[file.feed], file.hour, kept, f"FROM {rows}")
        except DamagedFile:
            # It stays for the check of the lake to report, and readers leave out the batches' rows.
            continue
        replaced.append(file.path)
    return replaced
