from django.apps import AppConfig


class DashboardConfig(AppConfig):
    """Lets Django find the pages' templates, tags and static files."""

    name = "kpis.dashboard"
    label = "dashboard"
