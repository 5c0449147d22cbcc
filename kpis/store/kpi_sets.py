"""The ledger's sets of KPIs, by which it knows the KPIs whose partials the lake has of each batch."""

from __future__ import annotations

from functools import cache

from blake3 import blake3

from kpis.models import KPISet

# The key of no row.
NO_ROW = 0


def find_kpi_set(ids: frozenset[int]) -> int | None:
    """Return the key of a set's row as batches have it: None of the empty set, ``NO_ROW`` if no batch had the set."""
    if not ids:
        return None
    return KPISet.objects.filter(digest=_digest(_text(ids))).values_list("pk", flat=True).first() or NO_ROW


def save_kpi_set(ids: frozenset[int]) -> KPISet | None:
    """Return the row of a set, which is inserted if there is none yet; None of the empty set."""
    if not ids:
        return None
    text = _text(ids)
    return KPISet.objects.get_or_create(digest=_digest(text), defaults={"kpis": text})[0]


@cache
def kpi_ids(text: str | None) -> frozenset[int]:
    """Return the ids of the text of a set's row; no ids of None, as joins give it of batches without a set."""
    return frozenset(map(int, text.split(","))) if text else frozenset()


def _text(ids: frozenset[int]) -> str:
    return ",".join(map(str, sorted(ids)))


def _digest(text: str) -> str:
    return blake3(text.encode()).hexdigest()
