"""``manage.py migrate``: Django's, which may be killed at any moment and then be run again."""

from __future__ import annotations

from django.core.management.commands import migrate

from kpis.store.restartable import RestartableExecutor

# Where Django's command looks for what applies migrations: it takes no other way of choosing one.
migrate.MigrationExecutor = RestartableExecutor


class Command(migrate.Command):
    pass
