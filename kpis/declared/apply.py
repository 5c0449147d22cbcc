"""Apply the catalog: make the tables and the ledger fit what the catalog files say, in steps that a kill leaves safe.

1. *Forget*: for each entry whose records or partials are computed again, one transaction deletes what the database has
   of it, and records that the entry is being applied. Until that is done no run works.
2. *Lake*: remove those entries' files, to which nothing refers any more.
3. *Tables*: write the migration beside the catalog file, and apply it.
4. *Record*: mark the intervals that cannot be computed, and record the definitions as applied.
5. *Archive*: aggregate the archived records of batches that cannot be read again.

A kill in between leaves the entry as being applied, and the next call goes through all steps for it again. The next
run reads the files again and computes what is due.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import PurePosixPath

from django.db import transaction

from kpis import clock
from kpis.catalog.file.definitions import Definition, Kind
from kpis.catalog.intervals import to_text
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import DECLARED_KPIS
from kpis.declared.losses import Loss, NamesInPlace, archived_batches, gone_batches, losses, starts_of, without_kpi
from kpis.declared.tables import Tables, table_of
from kpis.ingest.incomplete import mark_incomplete
from kpis.lake.errors import translate_errors
from kpis.lake.identity import read_identity, write_identity
from kpis.models import Batch
from kpis.storage import Storage
from kpis.store import forgetting
from kpis.store.applied import Change, What, catalog_changes, dropped, former_names, kept_entries
from kpis.store.binding import check_ids, lake_storage
from kpis.store.errors import StoreError

GONE = "a batch's source was gone when the catalog changed, so that it could not be read again"


class NeedsDrop(StoreError):
    """The changes lose what cannot be computed again."""


@dataclass(frozen=True)
class Plan:
    """How the catalog differs from what was applied, what its changes lose, and how the tables change.

    ``former`` are the names of KPIs before changes that a process began and did not end.
    """

    changes: list[Change] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    tables: Tables = field(default_factory=Tables)
    former: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to apply."""
        return not (self.changes or self.former or self.tables.migration or self.tables.pending)

    def lines(self) -> Iterator[str]:
        """Yield a line for each change and each table that changes."""
        for change in self.changes:
            yield describe(change)
        for table in self.tables.changes:
            yield str(table)
        for loss in self.losses:
            yield str(loss)


def plan_changes(names_in_place: NamesInPlace, drop: bool) -> Plan:
    """Return what applying the catalog changes; with ``drop`` also what was removed before is dropped."""
    changes = catalog_changes(with_removed=drop)
    if drop:
        changes = list(dropped(changes))
    gone = [change.entry.name for change in changes if change.is_dropped and change.kind is Kind.KPI]
    gone += [one.former.name for one in changes if one.what is What.CHANGED and one.former and _is_renamed(one)]
    former = former_names()
    return Plan(changes, losses(changes, names_in_place), Tables([*gone, *former]), former)


def _is_renamed(change: Change) -> bool:
    former = change.former
    return change.kind is Kind.KPI and former is not None and former.name.lower() != change.entry.name.lower()


def _is_finer(change: Change) -> bool:
    """Return True if a feed's records are counted in shorter intervals than before."""
    if change.kind is not Kind.FEED or change.now is None or change.former is None:
        return False
    return change.now.interval_minutes < change.former.interval_minutes


def describe(change: Change) -> str:
    """Return the line that says what a change is, and what follows from it."""
    title, keys = change.entry.title, ", ".join(change.changed_keys)
    is_feed = change.kind is Kind.FEED
    match change.what:
        case What.NEW:
            return f"{title}: new"
        case What.CHANGED if change.former is None:
            return f"{title}: was being applied, and is applied from the beginning"
        case What.CHANGED:
            follows = "its files are read again" if is_feed else "its partials are computed from the files again"
            return f"{title}: {keys} changed; {follows}"
        case What.MERGING:
            return f"{title}: {f'{keys} changed' if keys else 'back'}; its results are computed from the lake again"
        case What.NOTES:
            return f"{title}: {f'{keys} changed; no record and no result changes' if keys else 'back'}"
        case What.REMOVED if change.is_dropped:
            return f"{title}: dropped, with its rows and files of the lake"
        case What.REMOVED:
            return f"{title}: removed; its rows stay until apply_catalog --drop"


class Application:
    """The steps that apply a plan. The caller holds the lock."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._again = [change for change in plan.changes if change.what in (What.NEW, What.CHANGED)]
        self._gone = [change for change in plan.changes if change.is_dropped]

    def check(self, drop: bool) -> None:
        """Raise NeedsDrop if the plan loses something without ``drop``, and StoreError if it cannot be carried out."""
        removed = [change.entry for change in self._plan.changes if change.what is What.REMOVED]
        for entry in [] if drop else [*removed, *kept_entries()]:
            for change in self._plan.changes:
                is_taken = change.now and change.key != entry.key and change.entry.name.lower() == entry.name.lower()
                if is_taken and change.kind is Kind.KPI and entry.kind is Kind.KPI:
                    raise NeedsDrop(
                        f"{entry.title} is removed, and KPI {change.key} would take its table: "
                        "run manage.py apply_catalog --drop, or choose another name."
                    )
        if self._plan.losses and not drop:
            raise NeedsDrop(
                f"{'. '.join(map(str, self._plan.losses))}. Nothing was changed. Bring the files back, or run "
                "manage.py apply_catalog --drop, which marks intervals that cannot be computed as incomplete."
            )
        for loss in self._plan.losses:
            if loss.batches and _is_finer(loss.change):
                raise StoreError(
                    f"{loss}. Their records were counted in longer intervals than the feed's now: bring the files "
                    "back, or give the feed another name."
                )
        self._plan.tables.check_folder()

    def run(self, names_in_place: NamesInPlace) -> Iterator[str]:
        """Carry out the plan; yield a line for each thing that was done besides its lines."""
        storage = lake_storage()
        check_ids(storage)
        self._forget()
        self._clear_lake(storage)
        written = self._plan.tables.apply()
        if written is not None:
            yield f"wrote {written}"
        yield from self._record(names_in_place)

    def _forget(self) -> None:
        lost = {(loss.change.kind, loss.change.key): loss.batches for loss in self._plan.losses}
        for change in [*self._again, *self._gone]:
            with transaction.atomic():
                if change.now:
                    forgetting.begin_applying(change.now)
                else:
                    forgetting.begin_dropping(change.entry)
                for entry in _distinct(change.former, change.now):
                    if change.kind is Kind.FEED:
                        kept = lost.get((change.kind, change.key), ()) if not change.is_dropped else ()
                        forgetting.forget_feed(entry.key, kept, with_streams=change.is_dropped)
                    else:
                        forgetting.forget_kpi(entry, table_of(entry.name))
        for change in self._again:
            for kpi in DECLARED_KPIS.values() if change.kind is Kind.FEED else ():
                if kpi.feed.name == change.key:
                    entry = Definition(Kind.KPI, f"{kpi.id}", kpi.name, change.key, "", "", "")
                    forgetting.forget_kpi(entry, table_of(kpi.name))

    def _clear_lake(self, storage: Storage) -> None:
        """Remove the lake's files of what the database has forgotten."""
        again = {change.key for change in self._again if change.kind is Kind.KPI}
        others = {kpi.name for kpi in DECLARED_KPIS.values() if f"{kpi.id}" not in again}
        folders = {PurePosixPath("partials", name) for name in self._plan.former if name not in others}
        feeds = set()
        for change in [*self._again, *self._gone]:
            for entry in _distinct(change.former, change.now):
                if change.kind is Kind.FEED:
                    feeds.add(entry.key)
                    folders |= {PurePosixPath("rejects", entry.key), PurePosixPath("records", entry.key)}
                    of_feed = [kpi.name for kpi in DECLARED_KPIS.values() if kpi.feed.name == entry.key]
                    folders |= {PurePosixPath("partials", name) for name in of_feed}
                else:
                    folders.add(PurePosixPath("partials", entry.name))
        for folder in sorted(folders):
            with translate_errors(storage.url(folder)):
                if storage.names(folder):
                    storage.remove_folder(folder)
        identity = read_identity(storage)
        if identity is not None and feeds & identity.kept_from.keys():
            kept = {feed: moment for feed, moment in identity.kept_from.items() if feed not in feeds}
            write_identity(storage, replace(identity, kept_from=kept))

    def _record(self, names_in_place: NamesInPlace) -> Iterator[str]:
        """Record what was applied; mark the intervals of batches that cannot be read again as incomplete."""
        with transaction.atomic():
            for kpi in self._computed_again():
                starts = _lacking_starts(kpi, names_in_place)
                if starts:
                    mark_incomplete(kpi, starts, f"Cannot be computed: {GONE}.", clock.now())
                    yield (
                        f"KPI {kpi.id} ({kpi.name}): {len(starts):,} intervals of {kpi.feed.interval} from "
                        f"{to_text(min(starts))} to {to_text(max(starts))} are incomplete: {GONE}"
                    )
            for change in self._plan.changes:
                if change.now:
                    declared = DECLARED_KPIS[int(change.key)] if change.kind is Kind.KPI else None
                    # The lake has the partials of another KPI for all that was ingested.
                    is_shared = declared is not None and declared.source.id != declared.id
                    if declared and (change.what is What.MERGING or (is_shared and change.what is not What.NOTES)):
                        forgetting.compute_again(declared, table_of(change.entry.name))
                    forgetting.record_applied(change.now)
                elif change.is_dropped:
                    forgetting.record_dropped(change.entry)
                else:
                    forgetting.record_removed(change.entry)
            forgetting.forget_former_names()

    def _computed_again(self) -> Iterator[KPI]:
        """Yield the KPIs whose partials are computed again, by themselves or with their feed."""
        keys = {(change.kind, change.key) for change in self._again}
        for kpi in DECLARED_KPIS.values():
            if (Kind.KPI, f"{kpi.id}") in keys or (Kind.FEED, kpi.feed.name) in keys:
                yield kpi


def _lacking_starts(kpi: KPI, names_in_place: NamesInPlace) -> set[datetime]:
    """Return the starts (UTC) of the intervals with records of batches without a KPI that cannot be read again."""
    batches = Batch.objects.filter(feed=kpi.feed.name, status=Batch.Status.IN, records__gt=0)
    gone = gone_batches(without_kpi(batches, kpi), kpi.feed.name, names_in_place)
    gone -= archived_batches(gone, kpi.feed.name)
    return starts_of(gone)


def _distinct(*entries: Definition | None) -> list[Definition]:
    """Return the entries that are there, of those with the same key and name one."""
    found = {(entry.key, entry.name): entry for entry in entries if entry is not None}
    return list(found.values())
