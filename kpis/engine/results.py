"""The results of a KPI: what is computed, and stored."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kpis.catalog.intervals import Length
from kpis.catalog.kpis import KPI
from kpis.engine.table import Columns, joined

TOTALS_COLUMNS = ("interval_start", "total", "groups")


@dataclass(frozen=True)
class Results:
    """One KPI's finished intervals of one length.

    ``rows`` has ``interval_start`` (datetime64, UTC), ``rank``, the KPI's dimensions and its value columns; ``totals``
    has one row per interval: ``interval_start``, ``total`` (over all groups) and ``groups`` (their number). ``starts``
    (UTC) are those of all computed intervals, also of those without rows. With a ``reason`` the intervals could not be
    computed: there are no rows, the stored rows stay, and ``again`` is True if a later run may compute them. ``detail``
    is the reason for the operator.
    """

    kpi: KPI
    length: Length
    rows: Columns
    totals: Columns
    starts: tuple[datetime, ...] = ()
    reason: str = ""
    detail: str = ""
    again: bool = True

    def of(self, starts: Collection[datetime]) -> Results:
        """Return the results of some of the intervals, by their starts (UTC)."""
        import numpy as np

        wanted = np.array([start.replace(tzinfo=None) for start in sorted(starts)], dtype="datetime64[us]")

        def part(columns: Columns) -> Columns:
            is_wanted = np.isin(columns["interval_start"].astype("datetime64[us]"), wanted)
            return {name: column[is_wanted] for name, column in columns.items()}

        return replace(self, rows=part(self.rows), totals=part(self.totals), starts=tuple(sorted(starts)))


def no_results(kpi: KPI, length: Length) -> Results:
    """Return the results of intervals without records."""
    # A run over nothing new imports this module, and needs no numpy.
    import numpy as np

    columns = ("interval_start", *kpi.columns, "rank")
    rows, totals = ({name: np.empty(0) for name in names} for names in (columns, TOTALS_COLUMNS))
    return Results(kpi, length, rows, totals)


def kept_results(
    kpi: KPI, length: Length, starts: Collection[datetime], reason: str, detail: str = "", again: bool = True
) -> Results:
    """Return results that leave the intervals that start at ``starts`` (UTC) as they are, for a reason."""
    none = no_results(kpi, length)
    return replace(none, starts=tuple(starts), reason=reason, detail=detail or reason, again=again)


def joined_results(kpi: KPI, length: Length, some: Sequence[Results]) -> Results:
    """Return the results of a KPI's intervals of which each of several results has some, in their order."""
    found = [one for one in some if len(one.totals["total"])]
    if len(found) < 2:
        return found[0] if found else no_results(kpi, length)
    return Results(kpi, length, joined([one.rows for one in found]), joined([one.totals for one in found]))
