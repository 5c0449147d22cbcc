"""The lines that commands print about events."""

from __future__ import annotations

from kpis import pipeline
from kpis.catalog.intervals import ONE_HOUR, to_text

# The line of a batch that lies over more hours than this says over how many.
MANY_HOURS = 24


def event_line(event: pipeline.Event) -> str:
    """Return the line that reports an event."""
    match event:
        case pipeline.Ingested(entry, touched):
            hours = len({ONE_HOUR.floor(start) for start in touched})
            return (
                f"ingested {entry.file.name}: {entry.records:,} records, {entry.rejects:,} rejects, "
                f"{len(touched):,} intervals{f' in {hours:,} hours' if hours > MANY_HOURS else ''}"
            )
        case pipeline.Unchanged(file):
            return f"unchanged {file.name}"
        case pipeline.Duplicate(file, of, renamed):
            return f"renamed {of} to {file.name}" if renamed else f"duplicate {file.name} of {of}"
        case pipeline.Skipped():
            return pipeline.skipped_line(event)
        case pipeline.Failed(what, reason):
            return f"failed {what}: {reason}"
        case pipeline.Reopened(feed, former, until):
            return (
                f"reopened {feed.name}: intervals were closed until {to_text(former)}, ahead of the clock; "
                f"those that end after {to_text(until)} are provisional again"
            )
        case pipeline.Recreated(what, reason):
            return f"recreated {what}: {reason}"
        case pipeline.RolledUp(feed, interval):
            return f"rolled up {feed.name}, {interval.length} from {to_text(interval.start)}"
        case pipeline.Rejoined(feed, length, reference, changed):
            unit = "interval" if len(changed) == 1 else "intervals"
            return (
                f"revised {feed.name}, {len(changed):,} {unit} of {length} from {to_text(min(changed))}: "
                f"the reference {reference} changed"
            )
        case pipeline.Rebuilt(feed, hour, touched):
            return f"rebuilt {feed.name}, {len(touched):,} intervals of the hour from {to_text(hour.start)}"


def closing_line(report: pipeline.Report, seconds: float) -> str:
    duplicates = f"{report.duplicates:,} duplicates, " if report.duplicates else ""
    return (
        f"{report.files:,} files ingested, {report.failed:,} failed, {duplicates}{report.records:,} records, "
        f"{report.rejects:,} rejects, {report.intervals:,} intervals, {report.rollups:,} rollups, {seconds:.1f} s"
    )


def one_line(error: Exception) -> str:
    """Return an error's text without its line ends."""
    return " ".join(str(error).split())
