"""The ledger's sets of KPIs, by which it knows the KPIs whose partials the lake has of each batch."""

from __future__ import annotations

from functools import cache

from blake3 import blake3

from kpis.models import KPISet


def sets_with(ids: frozenset[int]) -> set[int | None]:
    """Return the keys of the rows of all sets that have these KPIs, as batches have them; None is the empty set's."""
    found: set[int | None] = {
        key for key, text in KPISet.objects.order_by().values_list("pk", "kpis") if ids <= kpi_ids(text)
    }
    return found if ids else found | {None}


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
