"""What a batch is: how it is read, which key it has, and which other batch has its content."""

from __future__ import annotations

import hashlib

from kpis.catalog.intervals import to_text
from kpis.engine.reader import Reading
from kpis.formats.bounds import FileError
from kpis.formats.content import content_digests
from kpis.sources.batch import Batch
from kpis.stages.ledger import Entry, Ledger
from kpis.stages.options import Duplicates, IntervalFrom, Options


def reading_of(file: Batch, options: Options) -> str:
    """How a file is read: what decides on its records besides its content and its name."""
    how = f"interval-from={options.interval_from}"
    if options.date and file.feed.needs_date and not file.feed.date_in(file.name):
        how += f" date={options.date}"
    return how


def _effective_reading(file: Batch, reading: str, lacks_day: bool) -> str:
    """How a content was read, whatever the file's name and from where that was told: what decides on its records.

    The day of the name or the command does where some row of the content lacks its own.
    """
    told = dict(part.split("=", 1) for part in reading.split())
    if told.get("interval-from") == IntervalFrom.FILENAME:
        end = file.feed.interval_end_in(file.name)
        how = f"interval-end={to_text(end) if end else ''}"
    else:
        how = "interval-from=record"
    if lacks_day:
        how += f" date={file.feed.date_in(file.name) or told.get('date', '')}"
    return how


def gives_the_same(entry: Entry, other: Entry) -> bool:
    """True if a file that was read just now gives the records of one in the ledger: it has that content, read as that.

    Of one content all files lack the day, or none.
    """
    ways = {_effective_reading(one.file, one.reading, entry.lacks_day) for one in (entry, other)}
    return entry.digest == other.digest and len(ways) == 1


def is_same(entry: Entry, former: Entry) -> bool:
    """True if a file that was read gives what the ledger has of it already, in whatever form it is packed."""
    return (
        entry.is_in
        and bool(entry.digest)
        and gives_the_same(entry, former)
        and entry.kpis <= former.kpis
        and entry.read_again_at == former.read_again_at
        and (not former.is_in or (entry.lines, entry.records) == (former.lines, former.records))
    )


def key_of(file: Batch, reading: Reading, options: Options) -> str:
    """Names a batch by its content and the way it is read; also by its name where others may have the same content."""
    is_alone = options.duplicates is Duplicates.COUNT or not file.counts_by_content or not reading.records
    how = _effective_reading(file, reading_of(file, options), reading.lacks_day)
    identity = "\0".join((file.feed.name, file.name if is_alone else "", reading.digest, how))
    if reading.ahead.count:
        # Which rows those are follows from how many: the later the clock, the fewer lie ahead.
        identity += f"\0ahead={reading.ahead.count}"
    return hashlib.sha256(identity.encode()).hexdigest()[:24]


def twin_of(entry: Entry, ledger: Ledger, options: Options) -> Entry | None:
    """The batch that is in with the same content under another name; None where there is none, or both count."""
    is_alone = options.duplicates is Duplicates.COUNT or not entry.file.counts_by_content
    if is_alone or not entry.is_in or not entry.records:
        return None
    for other in ledger.with_digest(entry.file.feed, entry.digest):
        if other.file.name != entry.file.name and gives_the_same(entry, other):
            return other
    return None


def heir_of(entry: Entry, former: Entry | None, ledger: Ledger) -> str:
    """The name of the duplicate that is to hold a file's former content, which is no longer the file's; else empty."""
    if former is None or not former.is_in or (entry.is_in and gives_the_same(entry, former)):
        return ""
    return next(iter(ledger.duplicates(former)), "")


def is_changed(file: Batch, entry: Entry) -> bool:
    return file.version != entry.file.version


def is_reread(file: Batch, entry: Entry, options: Options) -> bool:
    return options.reread and entry.is_known and entry.reading != reading_of(file, options)


def _can_be_same(file: Batch, entry: Entry, options: Options) -> bool:
    """Whether a file that changed may have the content that the ledger knows, and need not be read otherwise."""
    return bool(
        not file.problem and file.size == entry.file.size and entry.digest and not is_reread(file, entry, options)
    )


def known_digest(file: Batch, entry: Entry, options: Options) -> str:
    """The digest of a file's content, where that is the content that the ledger knows; else empty."""
    if not _can_be_same(file, entry, options):
        return ""
    try:
        content, own = content_digests(file.path, options.bounds)
    except FileError:
        return ""
    # Batches of before 0.2 have the digest of a packed file's own bytes.
    return content if entry.digest in (content, own) else ""
