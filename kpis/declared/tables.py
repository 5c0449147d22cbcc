"""The migrations of declared KPIs' tables: what they change, and how they are written beside the catalog file."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import CreateModel, DeleteModel
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.writer import MigrationWriter
from django.db.models import Field

from kpis.declared.undo import Attempt
from kpis.store.errors import StoreError, one_line

LABEL = "declared"
HEADER = '"""Tables of declared KPIs. Written by ``manage.py apply_catalog``."""\n\n'


def table_of(name: str) -> str:
    """Return the table of the KPI of that name in a catalog file."""
    return f"{LABEL}_{name.lower()}"


@dataclass(frozen=True)
class TableChange:
    """A table that a migration makes, replaces or drops: ``added`` and ``removed`` are its columns."""

    table: str
    verb: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """The name of its model in a migration's state."""
        return self.table.removeprefix(f"{LABEL}_")

    def __str__(self) -> str:
        columns = [f"{verb} {', '.join(names)}" for verb, names in (("with", self.added), ("without", self.removed))]
        parts = [part for part, names in zip(columns, (self.added, self.removed), strict=True) if names]
        return f"table {self.table}: {self.verb}{', ' + ' and '.join(parts) if parts else ''}"


class Tables:
    """The difference between the declared KPIs and the migrations that there are.

    ``dropped`` are names of KPIs whose tables are dropped; other tables that no KPI has any more stay. A table whose
    columns change is replaced: its rows are computed again anyway, and a statement that is executed again after a
    kill loses nothing.
    """

    def __init__(self, dropped: Collection[str] = ()):
        if not apps.is_installed("kpis.declared"):
            self.changes, self.migration, self.pending = list[TableChange](), None, list[str]()
            self.lacking = list[str]()
            return
        loader = MigrationLoader(connection)
        self._loader, self._former = loader, loader.project_state()
        self._wanted = ProjectState.from_apps(apps)
        gone = {name.lower() for name in dropped}
        for name, state in self._former_tables():
            if (LABEL, name) not in self._wanted.models and name not in gone:
                self._wanted.add_model(state.clone())
        self.changes = list(self._changes())
        self.migration = self._migration()
        self.pending = [
            name
            for label, name in loader.graph.nodes
            if label == LABEL and (label, name) not in loader.applied_migrations
        ]
        # Those that were applied from another folder. A new one of the same name would be taken for applied.
        applied = {name for label, name in loader.applied_migrations if label == LABEL}
        self.lacking = sorted(applied - {name for label, name in loader.graph.nodes if label == LABEL})

    @cached_property
    def _wanted_tables(self) -> dict[str, ModelState]:
        return {name: state for (label, name), state in self._wanted.models.items() if label == LABEL}

    def _former_tables(self) -> list[tuple[str, ModelState]]:
        return [(name, state) for (label, name), state in self._former.models.items() if label == LABEL]

    def _changes(self) -> Iterator[TableChange]:
        former, wanted = dict(self._former_tables()), self._wanted_tables
        for name in sorted(wanted.keys() - former.keys()):
            yield TableChange(table_of(name), "new")
        for name in sorted(wanted.keys() & former.keys()):
            if _database_state(former[name]) != _database_state(wanted[name]):
                now, before = wanted[name].fields, former[name].fields
                added = tuple(column for column in now if column not in before)
                removed = tuple(column for column in before if column not in now)
                yield TableChange(table_of(name), "replaced", added, removed)
        for name in sorted(former.keys() - wanted.keys()):
            yield TableChange(table_of(name), "dropped")

    def _migration(self) -> Migration | None:
        """Return the migration that makes the changes; None if no table changes, but for descriptions."""
        if not self.changes:
            return None
        leaves = self._loader.graph.leaf_nodes(LABEL)
        if len(leaves) > 1:
            names = ", ".join(sorted(name for _, name in leaves))
            raise StoreError(f"{_folder()} has two last migrations, {names}: remove one of them.")
        operations = [*self._deletions(), *self._creations()]
        last = leaves[0][1] if leaves else ""
        number = int(re.match(r"\d*", last)[0] or 0) + 1  # type: ignore[index]  # matches any text
        made = type("Migration", (Migration,), {"operations": operations, "initial": True if not leaves else None})
        name = re.sub(r"\W+", "_", made(f"{number:04d}", LABEL).suggest_name())[:60]
        migration = made(f"{number:04d}_{name}", LABEL)
        migration.dependencies = list(leaves)
        return migration

    def _deletions(self) -> Iterator[Operation]:
        former = dict(self._former_tables())
        for change in self.changes:
            if change.verb != "new":
                yield DeleteModel(former[change.model].name)

    def _creations(self) -> Iterator[Operation]:
        # Django's autodetector finds the same, but takes minutes to optimize the operations of some hundred tables.
        for change in self.changes:
            if change.verb != "dropped":
                state = self._wanted_tables[change.model]
                yield CreateModel(state.name, list(state.fields.items()), state.options, state.bases, state.managers)

    def apply(self) -> Path | None:
        """Write the migration, if there is one, and apply all; return its file.

        If a migration fails, what it left is removed, so that the catalog can be edited and applied again. Raises
        StoreError if the folder cannot be written, or a migration that was there before fails.
        """
        written = None
        if self.migration is not None:
            written = _folder() / f"{self.migration.name}.py"
            text = HEADER + MigrationWriter(self.migration, include_header=False).as_string().lstrip()
            _write(written, text)
        if self.migration is not None or self.pending:
            attempt = Attempt(LABEL)
            try:
                call_command("migrate", LABEL, verbosity=0, interactive=False)
            except DatabaseError as error:
                # If the database is gone, nothing is removed: the migration is restarted.
                with suppress(DatabaseError):
                    self._remove(attempt.undo(), written, error)
                raise
        return written

    def _remove(self, failed: set[str], written: Path | None, error: DatabaseError) -> None:
        """Remove the file that was written, if its migration failed; raise StoreError if one that was there did."""
        if written is not None and written.stem in failed:
            written.unlink()
        there = sorted(failed.intersection(self.pending))
        if there:
            raise StoreError(
                f"Cannot apply {_folder() / there[0]}.py: {one_line(error)}. If no other database has applied it, "
                "remove the file."
            ) from error

    def check_migrations(self) -> None:
        """Raise StoreError if the folder lacks applied migrations."""
        if self.lacking:
            raise StoreError(
                f"{_folder()} lacks migrations that this database has applied: {', '.join(self.lacking)}. Copy them "
                "there, or set CATALOG_MIGRATIONS to their folder."
            )

    def check_folder(self) -> None:
        """Raise StoreError if the folder lacks applied migrations, or one is to be written and the folder cannot be."""
        self.check_migrations()
        if self.migration is not None:
            _write(_folder() / "writable", "")
            (_folder() / "writable").unlink()


def _folder() -> Path:
    folder = settings.CATALOG_MIGRATIONS
    assert folder is not None  # noqa: S101  the app is installed where it is set
    return folder


def _write(path: Path, text: str) -> None:
    """Write a file as a whole, or not at all."""
    aside = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        raise StoreError(
            f"Cannot write {path.parent}, the folder of the catalog's migrations: {error.strerror}. Make it writable, "
            "or set CATALOG_MIGRATIONS."
        ) from error


def _database_state(state: ModelState) -> tuple[Any, ...]:
    """Return what the database has of a model: without help texts and the like."""
    fields = [(name, *_deconstructed(field)) for name, field in state.fields.items()]
    rules = [rule.deconstruct() for kind in ("constraints", "indexes") for rule in state.options.get(kind, [])]
    return fields, rules


def _deconstructed(field: Field) -> tuple[Any, ...]:
    _, path, arguments, options = field.deconstruct()
    return path, arguments, {key: value for key, value in options.items() if key not in field.non_db_attrs}
