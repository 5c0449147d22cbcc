"""Migrations that can be run again after they were killed at any moment, on each database.

SQLite and PostgreSQL roll back a migration that is killed. MySQL and MariaDB commit each statement that changes the
schema, so when the migration runs again, it finds tables and columns that it is about to add. Such a statement is then
skipped, but only in a migration that is recorded as begun: in any other, a table that exists is an error.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import Error as DatabaseError
from django.db import transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState

from kpis.store.dialects import dialect

logger = logging.getLogger(__name__)

# Marks in ``django_migrations``, before the name of the app, a migration that began and has not ended.
UNDER_WAY = "under way: "


class RestartableExecutor(MigrationExecutor):
    """Applies migrations so that one that is killed can be applied again."""

    def apply_migration(self, state: Any, migration: Migration, fake: bool = False, fake_initial: bool = False) -> Any:
        if fake:
            return super().apply_migration(state, migration, fake, fake_initial)
        with _recorded_at_once(migration):
            if self.connection.features.can_rollback_ddl:
                return super().apply_migration(state, migration, fake, fake_initial)
            with self._marked(migration) as is_begun, _skipping_applied(self.connection, is_begun):
                return super().apply_migration(state, migration, fake, fake_initial)

    def record_migration(self, migration: Migration) -> None:  # type: ignore[override]  # stubs of an older Django
        # Django records a squashed migration as all that it replaces. If only some were recorded, the next migrate
        # would apply the others to tables that exist.
        with transaction.atomic(using=self.connection.alias):
            super().record_migration(migration)  # type: ignore[call-arg, arg-type]  # as above

    def migrate(self, *args: Any, **kwargs: Any) -> ProjectState:
        state = super().migrate(*args, **kwargs)
        if not self.connection.features.can_rollback_ddl and self.recorder.has_table():
            # A migration that was killed after it was recorded leaves its mark.
            applied = self.recorder.applied_migrations()
            for mark in self.recorder.migration_qs.filter(app__startswith=UNDER_WAY):
                if (mark.app.removeprefix(UNDER_WAY), mark.name) in applied:
                    mark.delete()
        return state

    @contextmanager
    def _marked(self, migration: Migration) -> Iterator[bool]:
        """Mark a migration as begun until it ends; gives True if it was marked before."""
        self.recorder.ensure_schema()
        marks = self.recorder.migration_qs.filter(app=f"{UNDER_WAY}{migration.app_label}", name=migration.name)
        is_begun = marks.exists()
        if not is_begun:
            marks.create(app=f"{UNDER_WAY}{migration.app_label}", name=migration.name)
        yield is_begun
        marks.delete()


@contextmanager
def _recorded_at_once(migration: Migration) -> Iterator[None]:
    """Have a migration execute its deferred statements itself.

    The executor then records it in the migration's own transaction. By default it does so in the next one, so that a
    migration that is killed in between is applied, but not recorded.
    """
    apply = migration.apply

    def apply_whole(
        project_state: ProjectState, schema_editor: BaseDatabaseSchemaEditor, collect_sql: bool = False
    ) -> ProjectState:
        state = apply(project_state, schema_editor, collect_sql)
        while schema_editor.deferred_sql:
            schema_editor.execute(schema_editor.deferred_sql.pop(0), None)
        return state

    migration.apply = apply_whole  # type: ignore[method-assign]  # of this one migration, until it is applied
    try:
        yield
    finally:
        del migration.apply


@contextmanager
def _skipping_applied(connection: Any, is_begun: bool) -> Iterator[None]:
    """If a migration began before, skip the statements that were executed then."""
    if not is_begun:
        yield
        return

    def execute(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        try:
            return execute(sql, params, many, context)
        except DatabaseError as error:
            if not dialect(connection).is_applied_already(sql, error):
                raise
            logger.info("Skipped, as it was executed before: %s", sql)
            return None

    with connection.execute_wrapper(execute):
        yield
