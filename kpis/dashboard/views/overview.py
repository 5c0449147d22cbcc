"""The first page."""

from __future__ import annotations

from kpis.dashboard.views.page import Page


class Overview(Page):
    """What happened last, and whether it is normal."""

    title = "Overview"
    template_name = "dashboard/overview.html"
