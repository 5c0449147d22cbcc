"""MySQL and MariaDB, which share Django's backend."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import transaction

from kpis.store.dialects.base import Dialect, Finding, Verdict

# Patterns of statements, each with the error numbers by which the server says that it was executed before.
_APPLIED_ALREADY = [
    (r"CREATE TABLE ", {1050}),
    (r"CREATE (UNIQUE )?INDEX ", {1061}),
    (r"ALTER TABLE .* ADD COLUMN ", {1060}),
    # A foreign key's name that is taken is reported as error 121 of the engine (1005), by some versions as 1022.
    (r"ALTER TABLE .* ADD (CONSTRAINT|INDEX|UNIQUE) ", {1061, 1826, 3822, 1005, 1022}),
    (r"ALTER TABLE .* DROP ", {1091, 3940}),
    (r"DROP INDEX ", {1091}),
    (r"DROP TABLE ", {1051}),
    (r"RENAME TABLE ", {1146, 1050}),
    # A column that was renamed, or that a later statement of the migration removed.
    (r"ALTER TABLE .* (RENAME COLUMN|CHANGE|MODIFY|ALTER COLUMN) ", {1054}),
    (r"ALTER TABLE .* RENAME INDEX ", {1176}),
]


class MySQL(Dialect):
    """The dialect of MySQL and MariaDB."""

    # The default collations fold case and accents.
    exact_collation = "utf8mb4_bin"

    reads_tuples_as_range = False

    @property
    def name(self) -> str:
        return "MariaDB" if self.connection.mysql_is_mariadb else super().name

    def host_time(self) -> datetime:
        return self._value("SELECT UTC_TIMESTAMP(6)").replace(tzinfo=UTC)

    @contextmanager
    def run_lock(self) -> Iterator[bool]:
        # The name is the server's, and a database is one of many.
        name = "network_analysis_" + hashlib.sha256(self.connection.settings_dict["NAME"].encode()).hexdigest()[:32]
        if self._value("SELECT GET_LOCK(%s, 0)", name) != 1:
            yield False
            return
        try:
            yield True
        finally:
            self._release_lock("SELECT RELEASE_LOCK(%s)", name)

    @contextmanager
    def _snapshot_transaction(self) -> Iterator[None]:
        with transaction.atomic(using=self.connection.alias):
            with self.connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            yield

    @contextmanager
    def streaming(self) -> Iterator[None]:
        # The driver's default cursor reads the whole result before it gives the first row.
        from MySQLdb.cursors import SSCursor

        self.connection.ensure_connection()
        driver = self.connection.connection
        usual, driver.cursorclass = driver.cursorclass, SSCursor
        try:
            yield
        finally:
            driver.cursorclass = usual

    def server_findings(self) -> Iterator[Finding]:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT @@sql_mode, default_character_set_name FROM information_schema.schemata "
                "WHERE schema_name = DATABASE()"
            )
            modes, charset = cursor.fetchone()
        if "STRICT_ALL_TABLES" in modes or "STRICT_TRANS_TABLES" in modes:
            yield Finding(Verdict.OK, "sql_mode", "is strict")
        else:
            yield Finding(Verdict.MEND, "sql_mode", "is not strict; leave init_command out of DATABASE_URL")
        if charset == "utf8mb4":
            yield Finding(Verdict.OK, "character set", "utf8mb4")
        else:
            database = self.connection.settings_dict["NAME"]
            text = f"is {charset}; ALTER DATABASE {database} CHARACTER SET utf8mb4"
            yield Finding(Verdict.MEND, "character set", text)
        yield self._zone_tables()

    def _zone_tables(self) -> Finding:
        """Check that the server knows the zone of the pages; these do not need it, see ``admin.InUTC``."""
        zone = settings.TIME_ZONE
        if zone == "UTC":
            return Finding(Verdict.OK, "time zone tables", "are not needed for UTC")
        if self._value("SELECT CONVERT_TZ('2001-01-01 00:00:00', 'UTC', %s) IS NOT NULL", zone):
            return Finding(Verdict.OK, "time zone tables", f"{zone} is known")
        return Finding(
            Verdict.NOTE,
            "time zone tables",
            f"are not loaded, so the database does not know {zone}. The pages do without; queries of your own with "
            "CONVERT_TZ do not. As the database's root: "
            "`mysql_tzinfo_to_sql /usr/share/zoneinfo | mysql mysql` (MariaDB: mariadb-tzinfo-to-sql)",
        )

    def durability_problem(self) -> str:
        value = self._value("SELECT @@innodb_flush_log_at_trx_commit")
        return "" if value == 1 else f"innodb_flush_log_at_trx_commit is {value}"

    def is_applied_already(self, sql: str, error: DatabaseError) -> bool:
        number = None
        with suppress(IndexError, TypeError, ValueError):
            number = int(error.args[0])
        if number == 1005 and "121" not in str(error.args):
            return False
        return any(re.match(pattern, sql, re.DOTALL) and number in numbers for pattern, numbers in _APPLIED_ALREADY)
