"""``manage.py migrate``: Django's command, made safe to kill at any moment and run again."""

from __future__ import annotations

from django.core.management.commands import migrate

from kpis.store.restartable import RestartableExecutor

# Django's command looks up its executor under this name, and offers no other way to choose one.
migrate.MigrationExecutor = RestartableExecutor  # type: ignore[attr-defined]  # which its stub leaves out


class Command(migrate.Command):
    pass
