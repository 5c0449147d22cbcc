from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """Lets Django find the pages' templates, tags and static files."""

    name = "kpis.console"
    label = "console"
