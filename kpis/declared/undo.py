"""Removal of what a failed migration of declared KPIs' tables left, so that another can take its place."""

from __future__ import annotations

from collections.abc import Iterator

from django.apps.registry import Apps
from django.db import connection
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import CreateModel, DeleteModel
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Model, QuerySet

from kpis.store.restartable import UNDER_WAY


class Attempt:
    """An attempt to apply an app's migrations; to be made before they are applied."""

    def __init__(self, label: str):
        self._label = label
        self._tables = set(connection.introspection.table_names())
        self._begun = set(self._marks().values_list("name", flat=True))

    def undo(self) -> set[str]:
        """Remove what the first migration that is not applied left; return the names of all that are not applied.

        SQLite and PostgreSQL have rolled it back. On MySQL and MariaDB, the tables that it made are dropped, and those
        that it dropped are made again, without rows. A kill in between leaves its mark, so that it is restarted.
        """
        loader = MigrationLoader(connection)
        plan = [key for leaf in loader.graph.leaf_nodes(self._label) for key in loader.graph.forwards_plan(leaf)]
        failed = [key for key in plan if key[0] == self._label and key not in loader.applied_migrations]
        if failed and not connection.features.can_rollback_ddl:
            self._restore(loader, loader.graph.nodes[failed[0]])
        return {name for _, name in failed}

    def _restore(self, loader: MigrationLoader, migration: Migration) -> None:
        if not all(isinstance(operation, CreateModel | DeleteModel) for operation in migration.operations):
            # It was written by hand, and its mark has it restarted.
            return
        before = loader.project_state((self._label, migration.name), at_end=False)
        after = migration.mutate_state(before)  # leaves the former as it was
        dropped = list(self._models(before.apps, migration, DeleteModel))
        replaced = {model._meta.db_table for model in dropped}
        with connection.schema_editor(atomic=False) as editor:
            there = set(connection.introspection.table_names())
            for model in self._models(after.apps, migration, CreateModel):
                table = model._meta.db_table
                # A table that was there before, and is in the way, is not the migration's.
                is_own = table not in self._tables or table in replaced or migration.name in self._begun
                if is_own and table in there:
                    editor.delete_model(model)
                    there.remove(table)
            for model in dropped:
                if model._meta.db_table not in there:
                    editor.create_model(model)
        self._marks().filter(name=migration.name).delete()

    def _models(self, apps: Apps, migration: Migration, kind: type[CreateModel | DeleteModel]) -> Iterator[type[Model]]:
        for operation in migration.operations:
            if isinstance(operation, kind):
                yield apps.get_model(self._label, operation.name)

    def _marks(self) -> QuerySet:
        return MigrationRecorder(connection).migration_qs.filter(app=f"{UNDER_WAY}{self._label}")
