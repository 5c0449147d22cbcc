"""How a file of versions changes those that are there, found by DuckDB in memory that does not grow with their number.

A file with ``valid_from`` or ``valid_to`` is a history: the versions become those of its rows. A file without them is
a state: its rows hold from a moment on. A version that holds at the moment and differs ends there, and the row's
begins; what begins later stays. A file has all keys, unless it is partial: without a row, a key's history is removed,
and its state ends. Loading a file again changes nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kpis.catalog.intervals import LAST_DAY
from kpis.reference.files import Version

if TYPE_CHECKING:
    import duckdb

# From a time to another (UTC, excluded).
Span = tuple[datetime, datetime]

ROWS_A_CHUNK = 50_000
CONTENT = ("name", "latitude", "longitude", "attributes")
COLUMNS = ("key", "valid_from", "valid_to", *CONTENT)
_TYPES = (
    "key VARCHAR, valid_from TIMESTAMP, valid_to TIMESTAMP, name VARCHAR, latitude DOUBLE, longitude DOUBLE, "
    "attributes VARCHAR"
)
_GONE = "SELECT id FROM found WHERE what <> 'unchanged' AND id IS NOT NULL"
_SAME = " AND ".join(f"new.{name} IS NOT DISTINCT FROM old.{name}" for name in CONTENT)


@dataclass(frozen=True)
class Counts:
    """The number of versions that a load added, changed, ended, removed and left as they are."""

    added: int
    changed: int
    ended: int
    removed: int
    unchanged: int

    def __str__(self) -> str:
        return (
            f"{self.added:,} added, {self.changed:,} changed, {self.ended:,} ended, {self.removed:,} removed, "
            f"{self.unchanged:,} unchanged"
        )


@dataclass(frozen=True)
class Overlap:
    """Two rows of a file that hold of the same key at the same time, by the numbers of their lines."""

    key: str
    first: int
    second: int


class Changes:
    """The versions of a file and those that are there, and how the first change the others.

    ``add_new`` and ``add_old`` take the versions; then either ``from_history`` or ``from_state`` finds the changes.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection):
        self._connection = connection
        connection.execute(f"CREATE TABLE new (line BIGINT, {_TYPES})")
        connection.execute(f"CREATE TABLE old (id BIGINT, {_TYPES})")

    def add_new(self, versions: Sequence[Version]) -> None:
        """Add versions of the file."""
        self._add("new", ("line", *COLUMNS), versions)

    def add_old(self, versions: Sequence[tuple]) -> None:
        """Add versions that are there: each its id, then as a ``Version`` from its key on."""
        self._add("old", ("id", *COLUMNS), versions)

    def overlaps(self, most: int) -> tuple[int, list[Overlap]]:
        """Return how many rows of the file overlap with one before of their key, and the first so many of them.

        Of a state, all rows of a key overlap.
        """
        # The one before may end later than those between it and this one.
        self._connection.execute(
            """CREATE OR REPLACE TABLE overlapping AS
            SELECT key, arg_max(line, until) OVER before AS first, line AS second, valid_from < max(until) OVER before
                AS does FROM (SELECT *, coalesce(valid_to, 'infinity'::TIMESTAMP) AS until FROM new)
            WINDOW before AS (
                PARTITION BY key ORDER BY valid_from, line ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) QUALIFY does"""
        )
        found = self._rows(f"SELECT key, first, second FROM overlapping ORDER BY second LIMIT {most}")
        return self._count("SELECT count(*) FROM overlapping"), [Overlap(*row) for row in found]

    def from_history(self, is_partial: bool) -> Counts:
        """Find the changes that make the versions those of the file; keys that a partial one lacks stay."""
        self._connection.execute(
            f"""CREATE TABLE found AS SELECT new.line, old.id, CASE
                WHEN old.id IS NULL THEN 'added' WHEN NOT ({_SAME}) THEN 'changed'
                WHEN new.valid_to IS NOT DISTINCT FROM old.valid_to THEN 'unchanged'
                WHEN old.valid_to IS NULL THEN 'ended' ELSE 'changed' END AS what
            FROM new LEFT JOIN old USING (key, valid_from)"""
        )
        kept = "AND key IN (SELECT key FROM new)" if is_partial else ""
        self._connection.execute(
            f"""INSERT INTO found SELECT NULL, id, 'removed' FROM old
            WHERE id NOT IN (SELECT id FROM found WHERE id IS NOT NULL) {kept}"""
        )
        self._connection.execute(f"CREATE VIEW gone AS {_GONE}")
        self._connection.execute(
            f"""CREATE VIEW come AS SELECT {", ".join(COLUMNS)} FROM new JOIN found USING (line)
            WHERE what NOT IN ('unchanged', 'removed')"""
        )
        return self._counts()

    def from_state(self, moment: datetime, is_partial: bool) -> Counts:
        """Find the changes that make the file hold from a moment (UTC) on; keys that a partial one lacks stay."""
        at = f"'{moment.astimezone(UTC).replace(tzinfo=None).isoformat()}'::TIMESTAMP"
        held = f"old.valid_from <= {at} AND (old.valid_to IS NULL OR old.valid_to > {at})"
        self._connection.execute(
            f"""CREATE TABLE found AS SELECT new.line, old.id, CASE
                WHEN old.id IS NULL THEN 'added' WHEN NOT ({_SAME}) THEN 'changed' ELSE 'unchanged' END AS what
            FROM new LEFT JOIN old ON new.key = old.key AND {held}"""
        )
        if not is_partial:
            self._connection.execute(
                f"INSERT INTO found SELECT NULL, id, 'ended' FROM old WHERE {held} AND key NOT IN (SELECT key FROM new)"
            )
        self._connection.execute(f"CREATE VIEW gone AS {_GONE}")
        # What held before ends at the moment, unless it began there. What holds now ends where that did, or where the
        # key's next version begins.
        content = ", ".join(CONTENT)
        self._connection.execute(
            f"""CREATE VIEW come AS SELECT key, valid_from, {at} AS valid_to, {content} FROM old
                WHERE id IN (SELECT id FROM gone) AND valid_from < {at}
            UNION ALL SELECT new.key, {at} AS valid_from, coalesce(old.valid_to, later.valid_from) AS valid_to,
                {", ".join(f"new.{name}" for name in CONTENT)}
            FROM new JOIN found USING (line) LEFT JOIN old ON found.id = old.id LEFT JOIN
                (SELECT key, min(valid_from) AS valid_from FROM old WHERE valid_from > {at} GROUP BY key) AS later
                ON new.key = later.key
            WHERE what <> 'unchanged'"""
        )
        return self._counts()

    def touched(self, content: Collection[str], attributes: Collection[str]) -> list[Span]:
        """Return the spans of time in which some key has other content than before, in order, without overlaps.

        Only these columns of versions and these attributes count; without any, nothing is touched.
        """
        compared = [*content, *(f"json_extract_string(attributes, '$.{name}')" for name in attributes)]
        if not compared:
            return []
        self._connection.execute("CREATE OR REPLACE TEMP TABLE coming AS FROM come")
        sides = "key, valid_from AS since, coalesce(valid_to, 'infinity'::TIMESTAMP) AS until, "
        sides += ", ".join(f"coalesce({sql}, '') AS content_{number}" for number, sql in enumerate(compared))
        differs = " OR ".join(
            f"coalesce(old.content_{number}, '') <> coalesce(new.content_{number}, '')"
            for number in range(len(compared))
        )
        found = self._rows(
            f"""WITH was AS (SELECT {sides} FROM old WHERE id IN (FROM gone)), becomes AS (SELECT {sides} FROM coming),
                edges AS (
                    SELECT DISTINCT key, unnest([since, until]) AS edge FROM (FROM was UNION ALL FROM becomes)
                ),
                parts AS (
                    SELECT key, edge AS since, lead(edge) OVER (PARTITION BY key ORDER BY edge) AS until FROM edges
                )
            SELECT DISTINCT parts.since, parts.until FROM parts
            LEFT JOIN was AS old ON old.key = parts.key AND old.since <= parts.since AND parts.since < old.until
            LEFT JOIN becomes AS new ON new.key = parts.key AND new.since <= parts.since AND parts.since < new.until
            WHERE parts.until IS NOT NULL AND ({differs}) ORDER BY parts.since, parts.until"""
        )
        return _without_overlaps((since.replace(tzinfo=UTC), _end(until)) for since, until in found)

    @property
    def replaces_all(self) -> bool:
        """True if no version that is there stays."""
        return self._count("SELECT count(*) FROM gone") == self._count("SELECT count(*) FROM old")

    def gone(self) -> Iterator[list[int]]:
        """Yield the ids of the versions to be deleted, in lists."""
        for rows in self._chunks("SELECT id FROM gone ORDER BY id"):
            yield [id_ for (id_,) in rows]

    def come(self) -> Iterator[dict[str, list[Any]]]:
        """Yield the versions to be inserted, as columns of equal length; times are aware."""
        # In the order of the index, in which databases insert fastest.
        for rows in self._chunks(f"SELECT {', '.join(COLUMNS)} FROM come ORDER BY key, valid_from"):
            columns = dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
            for name in ("valid_from", "valid_to"):
                columns[name] = [one and one.replace(tzinfo=UTC) for one in columns[name]]
            yield columns

    def _counts(self) -> Counts:
        counts = dict(self._rows("SELECT what, count(*) FROM found GROUP BY ALL"))
        return Counts(**{name: counts.get(name, 0) for name in Counts.__dataclass_fields__})

    def _count(self, query: str) -> int:
        ((count,),) = self._rows(query)
        return count

    def _rows(self, query: str) -> list[tuple]:
        return self._connection.execute(query).fetchall()

    def _chunks(self, query: str) -> Iterator[list[tuple]]:
        cursor = self._connection.cursor().execute(query)
        while rows := cursor.fetchmany(ROWS_A_CHUNK):
            yield rows

    def _add(self, table: str, names: Sequence[str], rows: Sequence[tuple]) -> None:
        import numpy as np

        columns: dict[str, Any] = {}
        for name, values in zip(names, zip(*rows, strict=True), strict=True):
            if name in ("line", "id"):
                columns[name] = np.array(values, dtype=np.int64)
            elif name in ("valid_from", "valid_to"):
                columns[name] = np.array([one and one.replace(tzinfo=None) for one in values], dtype="datetime64[us]")
            elif name in ("latitude", "longitude"):
                is_empty = [one is None for one in values]
                columns[name] = np.ma.masked_array([one or 0.0 for one in values], mask=is_empty, dtype=np.float64)
            else:
                columns[name] = np.array(values, dtype=object)
        self._connection.register("chunk", columns)
        self._connection.execute(f"INSERT INTO {table} SELECT * FROM chunk")
        self._connection.unregister("chunk")


def _end(until: datetime) -> datetime:
    # DuckDB's infinity comes as the last time that Python has.
    return LAST_DAY if until.year >= LAST_DAY.year else until.replace(tzinfo=UTC)


def _without_overlaps(spans: Iterable[Span]) -> list[Span]:
    """Return spans that cover the same time as some that come in the order of their starts."""
    found: list[Span] = []
    for since, until in spans:
        if found and since <= found[-1][1]:
            found[-1] = found[-1][0], max(until, found[-1][1])
        else:
            found.append((since, until))
    return found


@contextmanager
def changes(memory_mb: int) -> Iterator[Changes]:
    """Give the changes of a load, in at most so much memory besides temporary files."""
    import duckdb

    with tempfile.TemporaryDirectory(prefix="network-analysis-reference-") as folder:
        options: dict[str, Any] = {"memory_limit": f"{memory_mb}MB", "temp_directory": folder}
        with duckdb.connect(config=options) as connection:
            yield Changes(connection)


def chunks(versions: Iterable[Version]) -> Iterator[list[Version]]:
    """Yield versions in lists that ``Changes`` takes at once."""
    chunk: list[Version] = []
    for version in versions:
        chunk.append(version)
        if len(chunk) == ROWS_A_CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
