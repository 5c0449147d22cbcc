"""The catalog files' entries as the database has them: how they differ from the registry's."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from django.db import connection

from kpis.catalog.file.definitions import Definition, Kind, definition
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import DECLARED_KPIS, DEFINITIONS
from kpis.models import AppliedEntry

# The kind of rows with names that KPIs had until a change that is being applied; it is none of Kind.
FORMER = "former"
# So many entries are named in a message.
MOST_NAMED = 3


class What(StrEnum):
    """How an entry differs from what was applied."""

    NEW = "new"
    # What records or partials depend on.
    CHANGED = "changed"
    # What is made of partials; also a KPI that was removed, and is there again.
    MERGING = "merging"
    NOTES = "notes"
    REMOVED = "removed"


@dataclass(frozen=True)
class Change:
    """An entry that differs from what was applied.

    ``now`` is its definition (None: the catalog has it no more), ``former`` the one that was applied (None: there was
    none, or it is not complete). ``is_dropped`` is True for one that is removed with its rows.
    """

    what: What
    now: Definition | None = None
    former: Definition | None = None
    is_dropped: bool = False

    @property
    def entry(self) -> Definition:
        """The definition, or the former one."""
        entry = self.now or self.former
        assert entry is not None  # noqa: S101  one of both is there
        return entry

    @property
    def kind(self) -> Kind:
        """Whether it is a feed or a KPI."""
        return self.entry.kind

    @property
    def key(self) -> str:
        """The feed's name, or the KPI's id."""
        return self.entry.key

    @property
    def changed_keys(self) -> list[str]:
        """The keys of the entry that changed, in the order of the alphabet."""
        if self.now is None or self.former is None:
            return []
        now, former = _values(self.now), _values(self.former)
        found = {key for key in now.keys() | former.keys() if now.get(key) != former.get(key)}
        return sorted(found | ({"name"} if self.now.name != self.former.name else set()))


def catalog_changes(with_removed: bool = False, definitions: Collection[Definition] = DEFINITIONS) -> list[Change]:
    """Return how the catalog differs from what was applied: feeds first, then KPIs, each in their order.

    ``with_removed`` also returns what was removed before and whose rows are still there.
    """
    applied = {(row.kind, row.key): row for row in AppliedEntry.objects.exclude(kind=FORMER)}
    changes = []
    for one in definitions:
        row = applied.pop((one.kind, one.key), None)
        if row is None:
            changes.append(Change(What.NEW, one))
        elif not row.definition:
            changes.append(Change(What.CHANGED, one))
        elif what := _difference(one, row):
            changes.append(Change(what, one, _former(row)))
    for row in applied.values():
        if with_removed or not row.is_removed:
            changes.append(Change(What.REMOVED, former=_former(row)))
    return changes


def kept_entries() -> list[Definition]:
    """Return the entries that the catalog has no more, and whose rows are still there."""
    return [_former(row) for row in AppliedEntry.objects.filter(is_removed=True)]


def former_names() -> list[str]:
    """Return the names that KPIs had until a change that is being applied: their tables and folders may be there."""
    return list(AppliedEntry.objects.filter(kind=FORMER).order_by("key").values_list("name", flat=True))


def _former(row: AppliedEntry) -> Definition:
    if row.definition:
        return definition(row.kind, row.key, row.name, row.definition)
    return Definition(Kind(row.kind), row.key, row.name, "", "{}", "{}", "{}")


def _difference(now: Definition, row: AppliedEntry) -> What | None:
    """Return how a definition differs from what was applied; None if it does not."""
    if now.text == row.definition and now.name == row.name and not row.is_removed:
        return None
    former = _former(row)
    if (now.records, now.name) != (former.records, former.name):
        return What.CHANGED
    # Batches may have come meanwhile without the KPI. Without a feed, none of it can have.
    if now.merging != former.merging or (row.is_removed and now.kind == Kind.KPI):
        return What.MERGING
    return What.NOTES


def _values(entry: Definition) -> dict:
    return {
        key: value
        for part in (entry.records, entry.merging, entry.notes)
        for key, value in (json.loads(part or "{}")).items()
    } | {"columns": _columns(entry)}


def _columns(entry: Definition) -> list:
    return [json.loads(part or "{}").get("columns") for part in (entry.records, entry.notes)]


def unapplied() -> str:
    """Return which entries of the catalog are not applied, but for their notes, as a sentence; "" if all are."""
    if not (DEFINITIONS or AppliedEntry.objects.exists()):
        return ""
    titles = [change.entry.title for change in catalog_changes() if change.what is not What.NOTES]
    return f"The catalog's {_listed(titles)} not applied: run manage.py apply_catalog." if titles else ""


def unapplied_reason(kpi: KPI) -> str:
    """Return why a KPI has no results that fit its entry; "" if it has them, as a built-in one always does."""
    if kpi.id not in DECLARED_KPIS:
        return ""
    needed = {(Kind.KPI, f"{kpi.id}"), (Kind.FEED, kpi.feed.name)}
    wanted = [one for one in DEFINITIONS if (one.kind, one.key) in needed]
    keys = [key for _, key in needed]
    applied_texts = _applied_texts(keys)
    if all((one.kind, one.key, one.name, one.text) in applied_texts for one in wanted):
        return ""
    rows = AppliedEntry.objects.filter(key__in=keys).order_by()
    applied = {(row.kind, row.key): row for row in rows}
    for one in wanted:
        row = applied.get((one.kind, one.key))
        if row is None or not row.definition or _difference(one, row) not in (None, What.NOTES):
            return (
                f"The catalog's {one.title} is not applied as this process has it: run manage.py apply_catalog, "
                "then start the web again."
            )
    return ""


def _applied_texts(keys: Collection[str]) -> set[tuple[str, str, str, str]]:
    """Return kind, key, name and definition of the applied entries of some keys.

    Each request of a declared KPI's rows asks it. To compose this query again each time takes Django ten times as long
    as the query itself, and a tenth of the request.
    """
    quote = connection.ops.quote_name
    columns = [quote(name) for name in ("kind", "key", "name", "definition")]
    places = ", ".join("%s" for _ in keys)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(columns)} FROM {quote(AppliedEntry._meta.db_table)} "
            f"WHERE {columns[1]} IN ({places}) AND NOT {quote('is_removed')}",
            list(keys),
        )
        return set(cursor.fetchall())


def dropped(changes: Collection[Change]) -> Iterator[Change]:
    """Yield changes, the removed ones as those that are dropped."""
    for change in changes:
        yield replace(change, is_dropped=True) if change.what is What.REMOVED else change


def _listed(titles: list[str]) -> str:
    """Return titles as a sentence's subject, with its verb."""
    if len(titles) == 1:
        return f"{titles[0]} is"
    if len(titles) > MOST_NAMED:
        titles = [*titles[:MOST_NAMED], f"{len(titles) - MOST_NAMED:,} more"]
    return f"{', '.join(titles[:-1])} and {titles[-1]} are"
