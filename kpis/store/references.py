"""Loading of references: a file's versions into the database, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from django.db import transaction

from kpis import clock
from kpis.catalog.intervals import EPOCH
from kpis.catalog.references import ReferenceTable
from kpis.catalog.registry import KPIS
from kpis.models import Reference, ReferenceVersion
from kpis.reference.changes import ROWS_A_CHUNK, Changes, Counts, changes, chunks
from kpis.reference.files import MOST_NAMED, ReferenceFile, ReferenceFileError, wrong_rows
from kpis.store import bulk
from kpis.store.dialects import dialect
from kpis.store.due import mark_references_due

# Told of so many further rows that were read or written.
Progress = Callable[[int], object]
IDS_A_STATEMENT = 1000


@dataclass(frozen=True)
class Loaded:
    """What a load did: the counts of versions, and the columns of the file that the reference does not have.

    ``moment`` is the time (UTC) from which a state holds; None for a history. ``due`` is the number of intervals that
    the next run computes again.
    """

    counts: Counts
    ignored: tuple[str, ...]
    moment: datetime | None
    due: int


def load_reference(
    reference: ReferenceTable,
    path: Path,
    *,
    as_of: datetime | None = None,
    is_partial: bool = False,
    memory_mb: int,
    progress: Progress = lambda rows: None,
) -> Loaded:
    """Load a reference's file: all of it, or nothing. The caller holds the lock.

    A state holds from ``as_of`` (UTC) on; by default from now on, and the first one from the beginning. For a partial
    file see ``changes``. Raises ReferenceFileError if something in the file is wrong.
    """
    file = ReferenceFile(reference, path)
    with changes(memory_mb) as found, transaction.atomic():
        for chunk in chunks(file.versions()):
            found.add_new(chunk)
            progress(len(chunk))
        if file.has_validity and as_of is not None:
            raise ReferenceFileError(f"{path} says itself when its rows hold: load it without --as-of.")
        _check_overlaps(file, found)
        row, _ = Reference.objects.get_or_create(name=reference.name, defaults={"loaded_at": clock.now()})
        is_first = _add_old(reference, row, found)
        if file.has_validity:
            moment, counts = None, found.from_history(is_partial)
        else:
            moment = as_of or (EPOCH if is_first else clock.now())
            counts = found.from_state(moment, is_partial)
        touched = found.touched(*_grouped_by(reference))
        _write(row, found, progress)
        due = mark_references_due(reference, touched, f"{path.name} changed the reference {reference.name}")
        row.file, row.loaded_at, row.is_personal = path.name[:255], clock.now(), reference.is_personal
        row.save()
    return Loaded(counts, tuple(file.ignored), moment, due)


def _grouped_by(reference: ReferenceTable) -> tuple[list[str], list[str]]:
    """Return the columns of versions and the attributes that KPIs group by."""
    names = {one.attribute for kpi in KPIS.values() for one in kpi.attributes if one.reference.name == reference.name}
    return (["name"] if reference.shown in names else []), sorted(names - {reference.shown})


def _check_overlaps(file: ReferenceFile, found: Changes) -> None:
    count, overlaps = found.overlaps(MOST_NAMED)
    if count:
        unit = file.unit
        held = "hold at the same time" if file.has_validity else "are two of its rows"
        rows = [
            f"{unit.capitalize()} {one.second}: {file.reference.key} {one.key}: this row and {unit} {one.first} {held}"
            for one in overlaps
        ]
        raise ReferenceFileError(wrong_rows(file.path, count), rows)


def _add_old(reference: ReferenceTable, row: Reference, found: Changes) -> bool:
    """Add the versions that are there; return True if there are none."""
    names = [column.name for column in reference.attributes]
    is_first = True
    for chunk in _old(row):
        is_first = False
        found.add_old([(*others, _text(attributes, names)) for *others, attributes in chunk])
    return is_first


def _old(row: Reference) -> Iterator[list[tuple]]:
    columns = ("id", "key", "valid_from", "valid_to", "name", "latitude", "longitude", "attributes")
    rows = ReferenceVersion.objects.filter(reference=row).order_by().values_list(*columns)
    with dialect().streaming():
        chunk: list[tuple] = []
        for one in rows.iterator(chunk_size=2000):
            chunk.append(one)
            if len(chunk) == ROWS_A_CHUNK:
                yield chunk
                chunk = []
        if chunk:
            yield chunk


def _text(attributes: dict[str, Any], names: list[str]) -> str:
    """Return attributes as ``Version`` has them: databases may give them in another order."""
    ordered = {name: attributes[name] for name in names if name in attributes}
    return orjson.dumps(ordered | attributes).decode()


def _write(row: Reference, found: Changes, progress: Progress) -> None:
    if found.replaces_all:
        ReferenceVersion.objects.filter(reference=row).delete()
    else:
        for ids in found.gone():
            for some in bulk.chunks(ids, IDS_A_STATEMENT):
                ReferenceVersion.objects.filter(id__in=some).delete()
    for columns in found.come():
        bulk.insert_columns(ReferenceVersion, columns, {"reference": row.pk})
        progress(len(columns["key"]))
