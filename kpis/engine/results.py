"""The results of a KPI: what is computed, and stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kpis.catalog.intervals import Length
from kpis.catalog.kpis import KPI
from kpis.engine.table import Columns

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
