"""Migrations that are killed between any two of their statements can be run again, and leave the same tables.

``LONG=1`` also kills the squashed migration, which makes a new database, and kills after each statement, not every
second, or fourth where a database takes back a migration that did not end.
"""

from __future__ import annotations

import os
import signal
import traceback
import warnings
from datetime import UTC, datetime

import pytest
from django.core.management import call_command
from django.db import Error as DatabaseError
from django.db import OperationalError, connection, connections
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from kpis.models import Batch, KPISet, Region, StreamPosition
from kpis.store.dialects.mysql import MySQL
from kpis.store.restartable import UNDER_WAY
from tests.databases import empty_database, migrate_singly, opened, schema, unsquashed
from tests.effort import LONG

pytestmark = pytest.mark.django_db(transaction=True)

# MySQL and MariaDB commit each statement that changes a table: what is killed leaves something to go on from.
STEP = 1 if LONG else 2 if connection.vendor == "mysql" else 4
# From here on the single migrations are killed: the first that add columns, and make tables, in a database with some.
BEFORE = "0010_watermark_closed_until"
SQUASHED = "0001_squashed_0025_stream_positions_and_words"
SQUASHED_NODE = ("kpis", SQUASHED)
LAST_REPLACED = "0025_stream_positions_and_words"
# The last of the migrations that know two tables of positions in streams.
BEFORE_POSITIONS = "0024_batch_mark"
# What the ledger has of batches: ids of KPIs, None of one that failed.
KPIS_OF_BATCHES = {"a": "1,2", "b": "1", "c": "1,2", "d": None}


def migrate(alias: str, *arguments: str) -> None:
    call_command("migrate", *arguments, database=alias, verbosity=0, interactive=False)


def migrate_until_killed(url: str, statements: int, recorded: str = "") -> bool:
    """Migrates in a process that kills itself after so many statements that write; whether it came to its end.

    With the name of a migration, only statements that record it count.
    """

    def count_down(execute, sql, params, many, context):
        nonlocal statements
        result = execute(sql, params, many, context)
        if recorded and recorded not in (params or ()):
            return result
        if not sql.lstrip().upper().startswith(("SELECT", "SHOW", "PRAGMA")):
            statements -= 1
            if statements == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return result

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process:
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        assert code in (0, -signal.SIGKILL)
        return code == 0
    code = 1
    try:
        with opened(url) as alias, connections[alias].execute_wrapper(count_down):
            migrate(alias)
        code = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(code)


def applied(alias: str) -> set[tuple[str, str]]:
    return set(MigrationRecorder(connections[alias]).applied_migrations())


def fill(alias: str) -> None:
    """Puts a row into each of the two tables that hold positions in streams before 0025, and batches with KPIs."""
    apps = unsquashed(alias).loader.project_state([("kpis", BEFORE_POSITIONS)]).apps

    def create(model: str, **values):
        return apps.get_model("kpis", model).objects.using(alias).create(**values)

    create("StreamOffset", feed="cdr", topic="calls", partition=3, next_offset=7)
    create("StreamShard", feed="cdr", stream="calls", shard="shardId-3", sequence_number="8", beginning="1")
    run = create("Run", started_at=datetime(2026, 11, 30, tzinfo=UTC), process=1)
    common = {"size": 1, "modified_ns": 1, "run": run, "taken_in_at": run.started_at}
    for name, kpis in KPIS_OF_BATCHES.items():
        create("Batch", feed="ipflow", name=name, status="in" if kpis else "failed", kpis=kpis or "", **common)


@pytest.mark.parametrize("is_new", [False, True] if LONG else [False], ids=lambda new: "squashed" if new else "single")
def test_a_migration_that_is_killed_between_any_two_statements_can_be_run_again(tmp_path, is_new):
    with empty_database(tmp_path) as url:
        with opened(url) as alias:
            if not is_new:
                migrate_singly(alias, BEFORE)
            known = set() if is_new else applied(alias)
        kills, statements, is_filled = 0, 1, False
        while not migrate_until_killed(url, statements):
            kills += 1
            with opened(url) as alias:
                now = applied(alias)
            statements = statements + STEP if now == known else 1
            known = now
            if not is_new and not is_filled and ("kpis", BEFORE_POSITIONS) in now:
                with opened(url) as alias:
                    fill(alias)
                is_filled = True
            assert kills < 2000
        assert kills >= 8
        assert is_filled != is_new
        with opened(url) as alias:
            assert schema(alias) == schema("default")
            positions = StreamPosition.objects.using(alias).values_list("partition", "position")
            assert list(positions) == ([] if is_new else [("3", "7"), ("shardId-3", "8")])
            batches = Batch.objects.using(alias).values_list("name", "kpi_set__kpis")
            assert dict(batches) == ({} if is_new else KPIS_OF_BATCHES)
            assert KPISet.objects.using(alias).count() == (0 if is_new else 2)
            assert not MigrationRecorder(connections[alias]).migration_qs.filter(app__startswith=UNDER_WAY).exists()
            executor = MigrationExecutor(connections[alias])
            assert executor.migration_plan(executor.loader.graph.leaf_nodes()) == []


def test_the_squashed_migration_can_be_killed_while_it_is_recorded_with_those_that_it_replaces(tmp_path):
    with empty_database(tmp_path) as url:
        assert not migrate_until_killed(url, 1, recorded=BEFORE)
        assert migrate_until_killed(url, 1_000_000)
        with opened(url) as alias:
            assert schema(alias) == schema("default")
            assert applied(alias) == applied("default")


def test_a_new_database_is_made_by_the_squashed_migration_alone():
    of_kpis = {name for app, name in applied("default") if app == "kpis"}
    there = MigrationExecutor(connections["default"]).loader.disk_migrations
    replaced = there["kpis", SQUASHED].replaces
    assert len(replaced) == 25
    later = {name for app, name in there if app == "kpis" and name > LAST_REPLACED}
    # Recorded with it, as if they had been applied, so that a release without it goes on.
    assert of_kpis == {SQUASHED, *(name for _, name in replaced), *later}


def test_the_squashed_migration_makes_what_those_that_it_replaces_make(tmp_path):
    with (
        empty_database(tmp_path) as first,
        empty_database(tmp_path) as second,
        opened(first) as singly,
        opened(second) as squashed,
    ):
        migrate_singly(singly, LAST_REPLACED)
        executor = MigrationExecutor(connections[squashed])
        executor.migrate([*(node for node in executor.loader.graph.leaf_nodes() if node[0] != "kpis"), SQUASHED_NODE])
        assert ("kpis", SQUASHED) in applied(singly)
        assert schema(singly) == schema(squashed)
        regions = [list(Region.objects.using(alias).order_by("id").values()) for alias in (singly, squashed)]
        assert regions[0] == regions[1]
        assert len(regions[0]) == 58
        # The models that later migrations start from are the same as well.
        state = unsquashed(singly).loader.project_state([("kpis", LAST_REPLACED)])
        loader = MigrationExecutor(connections[squashed]).loader
        changes = MigrationAutodetector(state, loader.project_state([("kpis", SQUASHED)])).changes(loader.graph)
        assert changes == {}


def test_a_table_of_somebody_else_is_an_error_in_a_migration_that_has_not_begun(tmp_path):
    with empty_database(tmp_path) as url, opened(url) as alias:
        with connections[alias].cursor() as cursor:
            cursor.execute("CREATE TABLE kpis_run (id integer)")
        with pytest.raises(DatabaseError, match="already exists"):
            migrate(alias)


@pytest.mark.parametrize(
    ("sql", "number", "is_it"),
    [
        ("CREATE TABLE `a` (`id` bigint)", 1050, True),
        ("ALTER TABLE `a` ADD COLUMN `b` integer NULL", 1060, True),
        ("ALTER TABLE `a` ADD CONSTRAINT `b` UNIQUE (`c`)", 1061, True),
        ("CREATE INDEX `b` ON `a` (`c`)", 1061, True),
        ("ALTER TABLE `a` DROP COLUMN `b`", 1091, True),
        ("INSERT INTO `a` VALUES (1)", 1062, False),
        ("ALTER TABLE `a` ADD COLUMN `b` integer NULL", 1146, False),
        ("ALTER TABLE `a` ADD CONSTRAINT `b` UNIQUE (`c`)", 1062, False),
    ],
)
def test_only_what_the_server_says_was_done_before_is_passed_over(sql, number, is_it):
    assert (
        MySQL(connections["default"]).is_applied_already(sql, OperationalError(number, "as the server tells it"))
        is is_it
    )
