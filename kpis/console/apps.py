from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """The app with the pages' templates, tags and static files."""

    name = "kpis.console"
    label = "console"
