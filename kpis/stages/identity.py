"""The identity of a batch: how it is read, its key, and other batches of the same content."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from kpis.catalog.intervals import to_text
from kpis.formats.bounds import FileError
from kpis.formats.content import content_digests
from kpis.sources.batch import Batch
from kpis.stages.ledger import Entry, Ledger
from kpis.stages.options import Duplicates, IntervalFrom, Options

if TYPE_CHECKING:
    from kpis.engine.file_reader import Reading


def reading_of(file: Batch, options: Options) -> str:
    """Return how a file is read: what its records depend on besides its content and its name."""
    how = f"interval-from={options.interval_from}"
    if options.date and file.feed.needs_date and not file.feed.date_in(file.name):
        how += f" date={options.date}"
    return how


def _effective_reading(file: Batch, reading: str, lacks_day: bool) -> str:
    """Return how a content was read, in the terms that its records depend on, whatever the file's name.

    The day from the name or the command is part of it only where some row of the content has no date of its own.
    """
    parts = dict(part.split("=", 1) for part in reading.split())
    if parts.get("interval-from") == IntervalFrom.FILENAME:
        end = file.feed.interval_end_in(file.name)
        how = f"interval-end={to_text(end) if end else ''}"
    else:
        how = "interval-from=record"
    if lacks_day:
        how += f" date={file.feed.date_in(file.name) or parts.get('date', '')}"
    return how


def gives_the_same(entry: Entry, other: Entry) -> bool:
    """True if a file that was just read gives the same records as one in the ledger: same content, read the same way.

    ``lacks_day`` depends on the content only, so the entry's own holds for both.
    """
    ways = {_effective_reading(one.file, one.reading, entry.lacks_day) for one in (entry, other)}
    return entry.digest == other.digest and len(ways) == 1


def is_same(entry: Entry, former: Entry) -> bool:
    """True if the ledger already has what a file that was read gives, however the file is compressed."""
    return (
        entry.is_in
        and bool(entry.digest)
        and gives_the_same(entry, former)
        and entry.kpis <= former.kpis
        and entry.read_again_at == former.read_again_at
        and (not former.is_in or (entry.lines, entry.records) == (former.lines, former.records))
    )


def key_of(file: Batch, reading: Reading, options: Options) -> str:
    """Return a batch's key, a digest of its content and how it is read; also of its name where copies count again."""
    is_alone = options.duplicates is Duplicates.COUNT or not file.counts_by_content or not reading.records
    how = _effective_reading(file, reading_of(file, options), reading.lacks_day)
    identity = "\0".join((file.feed.name, file.name if is_alone else "", reading.digest, how))
    if reading.ahead.count:
        # Which rows those are follows from how many: the later the clock, the fewer lie ahead.
        identity += f"\0ahead={reading.ahead.count}"
    return hashlib.sha256(identity.encode()).hexdigest()[:24]


def twin_of(entry: Entry, ledger: Ledger, options: Options) -> Entry | None:
    """Return the ingested batch of the same content under another name; None where there is none, or both count."""
    is_alone = options.duplicates is Duplicates.COUNT or not entry.file.counts_by_content
    if is_alone or not entry.is_in or not entry.records:
        return None
    for other in ledger.with_digests(entry.file.feed, [entry.digest]):
        if other.file.name != entry.file.name and gives_the_same(entry, other):
            return other
    return None


def heir_of(entry: Entry, former: Entry | None, ledger: Ledger) -> str:
    """Return the name of the duplicate that takes over a file's former content; empty where the file keeps it."""
    if former is None or not former.is_in or (entry.is_in and gives_the_same(entry, former)):
        return ""
    return next(iter(ledger.duplicates(former)), "")


def is_changed(file: Batch, entry: Entry) -> bool:
    """True if a file's version differs from the ledger's, so that its content may have changed."""
    return file.version != entry.file.version


def is_reread(file: Batch, entry: Entry, options: Options) -> bool:
    """True if a known file is to be read again, because the options read it in another way."""
    return options.reread and entry.is_known and entry.reading != reading_of(file, options)


def _can_be_same(file: Batch, entry: Entry, options: Options) -> bool:
    """True if a changed file may still have the content that the ledger knows, and is to be read the same way."""
    return bool(
        not file.problem and file.size == entry.file.size and entry.digest and not is_reread(file, entry, options)
    )


def known_digest(file: Batch, entry: Entry, options: Options) -> str:
    """Return the digest of a file's content if the ledger knows that content; else an empty text."""
    if not _can_be_same(file, entry, options):
        return ""
    try:
        content, own = content_digests(file.path, options.bounds)
    except FileError:
        return ""
    # Batches of before 0.2 have the digest of a packed file's own bytes.
    return content if entry.digest in (content, own) else ""
