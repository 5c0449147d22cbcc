"""The versions of references in the database, as columns to join partials with."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import numpy as np
from django.db.models import QuerySet

from kpis.catalog.references import ReferenceTable
from kpis.engine.table import Columns
from kpis.models import ReferenceVersion
from kpis.store.bulk import chunks
from kpis.store.dialects import dialect

KEYS_A_QUERY = 1000
ROWS_AT_ONCE = 50_000


def versions_of(reference: ReferenceTable, keys: Collection[str] | None) -> Iterator[Columns]:
    """See ``kpis.engine.versions.VersionSource.versions``."""
    versions = ReferenceVersion.objects.filter(reference__name=reference.name).order_by()
    rows = versions.values_list("key", "valid_from", "valid_to", "name", "attributes")
    if keys is None:
        with dialect().streaming():
            yield from _columns(reference, rows)
        return
    for some in chunks(sorted(keys), KEYS_A_QUERY):
        yield from _columns(reference, rows.filter(key__in=some))


def _columns(reference: ReferenceTable, rows: QuerySet[Any, tuple]) -> Iterator[Columns]:
    found = rows.iterator(chunk_size=2000)
    while some := list(islice(found, ROWS_AT_ONCE)):
        keys, since, until, names, attributes = zip(*some, strict=True)
        columns = {
            "key": _texts(keys),
            "valid_from": np.array([_plain(one) for one in since], dtype="datetime64[us]"),
            "valid_to": np.array([one and _plain(one) for one in until], dtype="datetime64[us]"),
        }
        for name in reference.texts:
            values = names if name == reference.shown else [one.get(name, "") for one in attributes]
            columns[name] = _texts(values)
        yield columns


def _texts(values: Collection[str]) -> np.ndarray:
    texts = np.empty(len(values), dtype=object)
    texts[:] = values
    return texts


def _plain(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
