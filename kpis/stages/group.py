"""Group: gather prepared batches of a feed, within bounds, to commit them together.

Each interval that they touch is then merged once, and they share one transaction and one lake file a KPI and hour.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime

from kpis.catalog.feeds import Feed
from kpis.catalog.registry import partial_kpis
from kpis.catalog.sql import quoted
from kpis.engine.aggregate import Partials
from kpis.engine.table import held_bytes
from kpis.lake import Rows
from kpis.sources.batch import Batch
from kpis.stages.commit import ingest
from kpis.stages.engine import Engine
from kpis.stages.events import Event
from kpis.stages.ledger import Entry, Ledger
from kpis.stages.options import Options
from kpis.stages.prepare import prepare
from kpis.stages.prepared import NUMBER, Prepared

# About how many bytes of a group a record takes where it, or its part of the partials, is in DuckDB's tables.
BYTES_A_RECORD = 64


class Group:
    """Prepared batches of one feed, each with its former entry in the ledger; all have other names and contents.

    What is kept of a batch is copied, as the next one is prepared in the same tables. The last one need not be.
    """

    def __init__(self, feed: Feed, engine: Engine, options: Options):
        self.batches: list[tuple[Prepared, Entry | None]] = []
        self.size = 0
        self.since = time.monotonic()
        self._feed, self._engine, self._archived = feed, engine, options.archive_feeds
        self._names: set[str] = set()
        self._digests: set[str] = set()
        self._tables: set[str] = set()

    def has(self, entry: Entry) -> bool:
        """Return True if a batch of this name or content is in the group."""
        return entry.file.name in self._names or entry.digest in self._digests

    def add(self, one: Prepared, former: Entry | None) -> None:
        """Add a batch that is committed, or kept, before the next one is prepared."""
        self.batches.append((one, former))
        self.size += size_of(one)
        if self._feed.name in self._archived:
            self.size += one.records.size or 2 * BYTES_A_RECORD * one.entry.records
        self._names.add(one.entry.file.name)
        if one.entry.digest and one.entry.file.counts_by_content:
            self._digests.add(one.entry.digest)

    def keep(self) -> None:
        """Copy what the connection's tables have of the batch that was added last."""
        one, former = self.batches[-1]
        if not one.entry.is_in or one.written is not None:
            return
        number = len(self.batches)
        partials: dict[int, Partials] = {}
        for kpi in partial_kpis(self._feed) if one.partials else ():
            ((table, columns),) = one.partials[kpi.id].items()
            partials[kpi.id] = {table: columns} if columns is not None else {self._copied(table, number): None}
        one = replace(one, partials=partials, number=number)
        if one.entry.rejects:
            one = replace(one, rejects=self._copied(one.rejects, number))
        if self._feed.name in self._archived and not one.records.columns:
            table = self._copied("records", number)
            rows = Rows(f"SELECT * EXCLUDE ({quoted(NUMBER)}) FROM {table} WHERE {quoted(NUMBER)} = {number}")
            one = replace(one, records=rows)
        self.batches[-1] = one, former

    def close(self) -> None:
        """Drop the copies."""
        for table in self._tables:
            self._engine.connection.execute(f"DROP TABLE IF EXISTS {table}")

    def _copied(self, table: str, number: int) -> str:
        """Copy a table into the one of its name that all batches share; return that one's name."""
        shared = f'"group_{self._feed.name}_{table}"'
        rows = f"SELECT *, {number}::INTEGER AS {quoted(NUMBER)} FROM {table}"
        if shared in self._tables:
            self._engine.connection.execute(f"INSERT INTO {shared} BY NAME {rows}")
        else:
            self._tables.add(shared)
            self._engine.connection.execute(f"CREATE OR REPLACE TEMP TABLE {shared} AS {rows}")
        return shared


class Groups:
    """The open groups of a run: one a feed, as files of several feeds may come by turns.

    All are committed once together they have as many batches or bytes as the options allow, or the first was added
    that many seconds ago.
    """

    def __init__(self, ledger: Ledger, engine: Engine, options: Options):
        self._ledger, self._engine, self._options = ledger, engine, options
        self._open: dict[str, Group] = {}

    def add(self, one: Prepared, former: Entry | None) -> list[Event]:
        """Add a prepared batch, and commit what is full; return the events. Its own tables are no longer needed then.

        A batch of a name or content that its group has comes after the others: it may be a duplicate of one.
        """
        feed = one.entry.file.feed
        events = []
        if feed.name in self._open and self._open[feed.name].has(one.entry):
            events += list(self._commit(feed.name))
        group = self._open.setdefault(feed.name, Group(feed, self._engine, self._options))
        group.add(one, former)
        if self._are_full():
            return [*events, *self.commit()]
        group.keep()
        return events

    def commit(self) -> Iterator[Event]:
        """Commit all groups; yield the events."""
        for name in list(self._open):
            yield from self._commit(name)

    def _commit(self, name: str) -> Iterator[Event]:
        group = self._open.pop(name)
        try:
            yield from ingest(group.batches, self._ledger, self._engine, self._options)
        finally:
            group.close()

    def _are_full(self) -> bool:
        groups, options = self._open.values(), self._options
        return (
            sum(len(group.batches) for group in groups) >= options.group_batches
            or sum(group.size for group in groups) >= options.group_bytes
            or time.monotonic() - min(group.since for group in groups) >= options.group_seconds
        )


@contextmanager
def prepare_all(batches: Sequence[Batch], engine: Engine, options: Options, earliest: datetime) -> Iterator[Group]:
    """Prepare batches of one feed, and yield them as a group for ``pipeline.run_group``; see ``prepare``.

    Its tables are dropped at the end.
    """
    group = Group(batches[0].feed, engine, options)
    with ExitStack() as stack:
        stack.callback(group.close)
        for batch in batches[:-1]:
            with prepare(batch, engine, options, earliest=earliest) as one:
                group.add(one, None)
                group.keep()
        group.add(stack.enter_context(prepare(batches[-1], engine, options, earliest=earliest)), None)
        yield group


def size_of(one: Prepared) -> int:
    """Return about how many bytes a batch takes in memory."""
    columns = [found for partials in one.partials.values() for found in partials.values()]
    if one.written is not None:
        return 0
    if any(table is None for table in columns):
        return one.entry.records * BYTES_A_RECORD
    return sum(held_bytes(table) for table in columns if table is not None)
