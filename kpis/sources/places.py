"""The places of batches: a folder or a bucket. The client of object storage is imported only for a bucket."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from kpis.catalog.feeds import Feed
from kpis.catalog.registry import FEED_FILES, FEEDS
from kpis.sources.batch import Version
from kpis.sources.directory import FoundFile, SourceError, Unfinished, files_in, files_named
from kpis.storage import Address, BucketAddress


def found_in(
    place: Address,
    feed_files: Mapping[str, str] = FEED_FILES,
    feed: Feed | None = None,
    known: Callable[[Feed, Collection[Version]], Iterable[Version]] = lambda feed, versions: (),
    names: Collection[str] | None = None,
    unfinished: Unfinished = lambda feed, name: None,
) -> list[FoundFile]:
    """Return the place's files that belong to a feed and are not known, oldest interval first.

    ``names`` limits it to files of these names; ``unfinished`` is called for each file that is skipped as unfinished.
    See ``files_in`` and ``objects_in``, which raise SourceError where the place cannot be listed.
    """
    if isinstance(place, BucketAddress):
        from kpis.sources.bucket import objects_in

        return objects_in(place, feed_files, feed, known, names, unfinished)
    return files_in(place, feed_files, feed, known, names, unfinished)


def named(
    addresses: Collection[Address], feed_files: Mapping[str, str] = FEED_FILES, feed: Feed | None = None
) -> list[FoundFile]:
    """Return the files and objects with these addresses, oldest interval first.

    Their feed is ``feed``, or by default what their names say. Raises SourceError for one that is missing or
    unfinished, whose feed is unknown, or whose name occurs twice.
    """
    found = files_named([one for one in addresses if isinstance(one, Path)], feed_files, feed)
    objects = [one for one in addresses if isinstance(one, BucketAddress)]
    if objects:
        from kpis.sources.bucket import objects_named

        found += objects_named(objects, feed_files, feed)
    names = {(file.feed.name, file.name): number for number, file in enumerate(found)}
    for number, file in enumerate(found):
        if names[file.feed.name, file.name] != number:
            raise SourceError(f"{file.name}: two files have this name, which would make them one batch.")
    return sorted(found, key=lambda file: file.age_key)


def encode_file(file: FoundFile) -> dict[str, Any]:
    """Encode a found file as JSON for another process, which reads it at its place."""
    return {
        "feed": file.feed.name,
        "name": file.name,
        "address": file.address,
        "size": file.size,
        "modified_ns": file.modified_ns,
        "problem": file.problem,
        "etag": file.etag,
        "mark": file.mark,
    }


def decode_file(encoded: Mapping[str, Any], scratch: Path) -> FoundFile:
    """Return the found file that ``encode_file`` encoded; raises SourceError where object storage cannot be used."""
    names = ("name", "size", "modified_ns", "problem", "etag", "mark")
    file = FoundFile(FEEDS[encoded["feed"]], path=Path(encoded["address"]), **{name: encoded[name] for name in names})
    if not file.etag:
        return file
    from kpis.sources.bucket import object_of

    return object_of(file, encoded["address"], scratch)
