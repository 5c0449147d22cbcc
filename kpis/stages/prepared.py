"""A prepared batch: the output of ``prepare`` and the input of ``ingest``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

from kpis.engine.aggregate import Partials
from kpis.engine.live import LiveCounts
from kpis.engine.reader import Reject
from kpis.lake import LakeFile, Staging
from kpis.stages.ledger import Entry
from kpis.stages.options import Options


@dataclass(frozen=True)
class Prepared:
    """A parsed and aggregated batch: its entry, its first rejects and, unless it failed, its partials by KPI id.

    ``written`` maps files that a cluster's executor wrote to the lake's staging to what they become in the lake; then
    there are no partials here. Of a stream's batch, ``newest`` is the newest of its records' times (UTC) that are not
    ahead of the clock, and ``live`` counts its messages for the live page.
    """

    entry: Entry
    first_rejects: list[Reject] = field(default_factory=list)
    partials: Mapping[int, Partials] = field(default_factory=dict)
    written: Mapping[PurePosixPath, LakeFile] | None = None
    newest: datetime | None = None
    live: LiveCounts | None = None

    def stage(self, staging: Staging, options: Options) -> None:
        """Add to a staging what the lake keeps of the batch, or adopt what an executor wrote for it."""
        entry = self.entry
        if self.written is not None:
            staging.adopt(self.written)
            return
        feed = entry.file.feed
        with_records = feed.name in options.archive_feeds
        moment = entry.file.age_key[0]
        staging.add_batch(feed, entry.intervals, self.partials, moment, bool(entry.rejects), with_records)
