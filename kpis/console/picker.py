"""The search for a group of a KPI."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Max

from kpis.catalog.folding import fold
from kpis.catalog.kpis import KPI
from kpis.console.groups import BadGroup, Group, conditions, group_from, label
from kpis.console.selection import Selection
from kpis.models import IntervalSummary
from kpis.models.result_models import group_of, result_model

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

    A value that is typed in full is searched in the whole table, for KPIs of one dimension.
    """
    wanted = fold(text.strip())
    by_words: dict[str, tuple[str, Group]] = {}
    for group in _groups(selection):
        words = label(selection.kpi, group)
        if wanted in fold(words):
            by_words.setdefault(fold(words), (words, group))
    if wanted not in by_words and (exact := _exact(selection.kpi, text.strip())):
        by_words[wanted] = (label(selection.kpi, exact), exact)
    found = list(by_words.values())
    return Found(found[:OFFERED], len(found))


def _groups(selection: Selection) -> list[Group]:
    """Return the groups of the newest intervals in the span and of the listed interval, the largest first."""
    kpi = selection.kpi
    rows = result_model(kpi).objects
    longest = max(kpi.lengths, key=lambda length: length.minutes)
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


def _exact(kpi: KPI, text: str) -> Group | None:
    """Return the group of exactly this value, if the table has it."""
    if len(kpi.dimensions) != 1 or not text:
        return None
    try:
        group = group_from(kpi, {kpi.dimensions[0]: text})
    except BadGroup:
        return None
    if group is None:
        return None
    row = result_model(kpi).objects.filter(**conditions(kpi, group)).first()
    return group_of(row) if row else None
