"""Migrations that may be killed at any moment, and then be run again, on each database.

SQLite and PostgreSQL undo what a migration that was killed had done. MySQL and MariaDB keep each statement that changes
the schema, so that the migration finds columns and tables there that it is about to add. Here such a statement is
passed over, in a migration that began before and did not end, and in no other: elsewhere a table that is there already
is somebody else's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import Error as DatabaseError
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor

from kpis.store.dialects import dialect

logger = logging.getLogger(__name__)

# Before the name of an app in ``django_migrations``: of a migration that began and has not ended yet.
UNDER_WAY = "under way: "


class RestartableExecutor(MigrationExecutor):
    """Applies each migration so that it can be applied again after it was killed."""

    def apply_migration(self, state, migration: Migration, fake: bool = False, fake_initial: bool = False):
        if fake:
            return super().apply_migration(state, migration, fake, fake_initial)
        with _recorded_at_once(migration):
            if self.connection.features.can_rollback_ddl:
                return super().apply_migration(state, migration, fake, fake_initial)
            with self._noted(migration) as is_begun, _passing_over(self.connection, is_begun):
                return super().apply_migration(state, migration, fake, fake_initial)

    def migrate(self, *args, **kwargs):
        state = super().migrate(*args, **kwargs)
        if not self.connection.features.can_rollback_ddl and self.recorder.has_table():
            # Of one that was killed after it was recorded.
            applied = self.recorder.applied_migrations()
            for note in self.recorder.migration_qs.filter(app__startswith=UNDER_WAY):
                if (note.app.removeprefix(UNDER_WAY), note.name) in applied:
                    note.delete()
        return state

    @contextmanager
    def _noted(self, migration: Migration) -> Iterator[bool]:
        """Notes that a migration begins, and at its end that it did; gives whether it began before."""
        self.recorder.ensure_schema()
        notes = self.recorder.migration_qs.filter(app=f"{UNDER_WAY}{migration.app_label}", name=migration.name)
        is_begun = notes.exists()
        if not is_begun:
            notes.create(app=f"{UNDER_WAY}{migration.app_label}", name=migration.name)
        yield is_begun
        notes.delete()


@contextmanager
def _recorded_at_once(migration: Migration) -> Iterator[None]:
    """Has a migration carry out itself what it deferred.

    The executor then records it in the migration's own transaction; it else does so in one that follows, and a
    migration that is killed in between has been applied, but is not known to be.
    """
    apply = migration.apply

    def apply_whole(project_state, schema_editor, collect_sql=False):
        state = apply(project_state, schema_editor, collect_sql)
        while schema_editor.deferred_sql:
            schema_editor.execute(schema_editor.deferred_sql.pop(0), None)
        return state

    migration.apply = apply_whole
    try:
        yield
    finally:
        del migration.apply


@contextmanager
def _passing_over(connection: Any, is_begun: bool) -> Iterator[None]:
    """Where a migration began before: has the statements passed over that were carried out then."""
    if not is_begun:
        yield
        return

    def execute(execute, sql, params, many, context):
        try:
            return execute(sql, params, many, context)
        except DatabaseError as error:
            if not dialect(connection).is_applied_already(sql, error):
                raise
            logger.info("Carried out before: %s", sql)
            return None

    with connection.execute_wrapper(execute):
        yield
