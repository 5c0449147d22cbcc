"""The feeds and KPIs that are exported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from kpis.catalog.feeds import Feed
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import FEEDS, KPIS


class UnknownName(ValueError):
    """A name of neither a feed nor a KPI; the message names the nearest ones."""


@dataclass(frozen=True)
class Selection:
    """Feeds and KPIs, in the catalog's order."""

    feeds: tuple[Feed, ...]
    kpis: tuple[KPI, ...]


def select(names: Sequence[str]) -> Selection:
    """Return the feeds and KPIs with these names, or all without a name; a KPI may be named by its id.

    Raises UnknownName.
    """
    known = {*FEEDS, *(kpi.name for kpi in KPIS.values()), *(f"{number}" for number in KPIS)}
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join([*FEEDS, *_names_of_kpis()])}."
            raise UnknownName(f"{name} is no feed and no KPI: {hint}")
    return Selection(
        tuple(feed for feed in FEEDS.values() if not names or feed.name in names),
        tuple(kpi for kpi in KPIS.values() if not names or {kpi.name, f"{kpi.id}"} & {*names}),
    )


def _names_of_kpis() -> list[str]:
    return [kpi.name for kpi in KPIS.values()]
