"""The search for a group of a KPI."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from django.db.models import Max

from kpis.catalog.folding import fold
from kpis.catalog.kpis import KPI
from kpis.console.groups import BadGroup, Group, conditions, group_from, labels
from kpis.console.selection import Selection
from kpis.models import IntervalSummary
from kpis.models.result_models import group_of, result_model
from kpis.query.names import TooManyKeys, name_columns

# Groups are searched in this many of the span's newest intervals of the KPI's longest length...
INTERVALS = 48
# ...and this many are offered at once.
OFFERED = 30


@dataclass(frozen=True)
class Found:
    """The groups that match, the largest first: ``offered`` of ``number``."""

    offered: list[tuple[str, Group]]
    number: int


def find_groups(selection: Selection, text: str = "") -> Found:
    """Return the groups of the span whose text contains the search text, in any case.

    A value or a name that is typed in full is searched in the whole table, for KPIs of one dimension.
    """
    wanted = fold(text.strip())
    by_words: dict[str, tuple[str, Group]] = {}
    moment = selection.newest_start
    groups = _groups(selection)
    for group, words in zip(groups, labels(selection.kpi, ((group, moment) for group in groups)), strict=True):
        if wanted in fold(words):
            by_words.setdefault(fold(words), (words, group))
    if wanted not in by_words:
        exact = _exact(selection.kpi, text.strip())
        for group, words in zip(exact, labels(selection.kpi, ((group, moment) for group in exact)), strict=True):
            by_words.setdefault(fold(words), (words, group))
    found = list(by_words.values())
    return Found(found[:OFFERED], len(found))


def _groups(selection: Selection) -> list[Group]:
    """Return the groups of the newest intervals in the span and of the listed interval, the largest first."""
    kpi = selection.kpi
    rows = result_model(kpi).objects
    longest = max(kpi.lengths, key=lambda length: length.usual_minutes)
    summaries = IntervalSummary.objects.filter(
        kpi=kpi.id,
        interval=longest.code,
        interval_start_timestamp__gte=longest.floor(selection.start),
        interval_start_timestamp__lt=selection.end,
    )
    starts = summaries.order_by("-interval_start_timestamp").values_list("interval_start_timestamp", flat=True)
    newest = list(starts[:INTERVALS])
    wanted = [(longest, newest)] if newest else []
    if selection.at:
        wanted.append((selection.length, [selection.at]))
    groups = []
    for length, moments in wanted:
        there = rows.filter(interval=length.code, interval_start_timestamp__in=moments)
        largest = there.order_by().values(*kpi.dimensions).annotate(largest=Max(kpi.value))
        groups += [
            {name: row[name] for name in kpi.dimensions} for row in largest.order_by("-largest", *kpi.dimensions)
        ]
    return groups


def _exact(kpi: KPI, text: str) -> list[Group]:
    """Return the groups of exactly this value, or with exactly this name at some time, that the table has."""
    if len(kpi.dimensions) != 1 or not text:
        return []
    rows = result_model(kpi).objects
    found = []
    with suppress(BadGroup):
        group = group_from(kpi, {kpi.dimensions[0]: text})
        row = rows.filter(**conditions(kpi, group)).first() if group else None
        found += [group_of(row)] if row else []
    for one in name_columns(kpi):
        with suppress(TooManyKeys):
            there = rows.filter(**{f"{one.keyed_by}__in": one.keys_of(text)})
            found += there.order_by(*kpi.dimensions).values(*kpi.dimensions).distinct()[:OFFERED]
    return found
