"""The engine of a run: a DuckDB connection, the lake, and a cluster if there is one."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import Interval, Length
from kpis.catalog.kpis import KPI
from kpis.engine.compiled import CORES, tune_malloc
from kpis.engine.results import Results
from kpis.engine.scratch import ScratchError, scratch
from kpis.lake import Lake, PartialFile, Verify
from kpis.lake import translate_errors as translate_lake_errors
from kpis.stages.options import Options
from kpis.stages.plan import Planned
from kpis.storage import Address, Storage, storage_at

if TYPE_CHECKING:
    import duckdb

    from kpis.engine.incremental import IncrementalPartials
    from kpis.engine.kept import KeptPartials
    from kpis.engine.recent import RecentPartials
    from kpis.engine.versions import ReferenceVersions
    from kpis.stages.prepared import Prepared

# How long a process skips an interval that could not be read from the lake, or whose files were compacted.
PAUSE_SECONDS = 60


class EngineError(Exception):
    """An engine cannot be used, or failed; the message gives the reason, and what to do if that is known."""


class Cluster(Protocol):
    """Machines that do parts of a run: they prepare files, and merge large partials."""

    def prepare(
        self, planned: Iterable[Planned], engine: Engine, options: Options
    ) -> AbstractContextManager[Iterator[tuple[Planned, Prepared]]]:
        """Give the planned files in their order, each prepared, with its files in the lake's staging until the end.

        The next ones are prepared meanwhile. Changed files are read even if their content turns out to be known.
        """

    def merges(self, kpi: KPI, size: int) -> bool:
        """True if the cluster merges a KPI's partials of so many bytes."""

    def results(
        self,
        engine: Engine,
        kpi: KPI,
        length: Length,
        files: Mapping[PurePosixPath, PartialFile],
        starts: Collection[datetime],
        top_n: int,
    ) -> Results:
        """Return what ``results_of_partials`` does for the lake's files of partials."""


class Paused:
    """Intervals that this process skips for PAUSE_SECONDS. They stay due in the ledger."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, Interval], float] = {}

    def add(self, intervals: Iterable[tuple[str, Interval]]) -> None:
        """Pause intervals, each with its feed's name, from now on."""
        now = time.monotonic()
        self._since |= dict.fromkeys(intervals, now)

    def left_out(self, due: Iterable[tuple[Feed, Interval]]) -> Iterator[tuple[Feed, Interval]]:
        """Yield those of the due intervals that are not paused now."""
        now = time.monotonic()
        self._since = {one: since for one, since in self._since.items() if now - since < PAUSE_SECONDS}
        return ((feed, interval) for feed, interval in due if (feed.name, interval) not in self._since)


class Workspace:
    """A DuckDB connection that can read a lake's files, and the partials that are cached in it.

    Each is made when it is first used, and DuckDB imported: a run over nothing new needs neither.
    """

    def __init__(self, config: Mapping[str, str], storage: Storage):
        self._config, self._storage = config, storage
        self._stack = ExitStack()
        self._threads = 0

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        from kpis.engine.folding import add_fold

        connection = self._stack.enter_context(duckdb.connect(config=dict(self._config)))
        add_fold(connection)
        self._storage.open_to(connection)
        if self._threads:
            connection.execute(f"SET threads = {self._threads}")
        return connection

    @cached_property
    def incremental(self) -> IncrementalPartials:
        from kpis.engine.incremental import IncrementalPartials

        return IncrementalPartials(self.connection)

    @cached_property
    def recent(self) -> RecentPartials:
        from kpis.engine.recent import RecentPartials

        return RecentPartials(lambda: self.connection)

    @cached_property
    def kept(self) -> KeptPartials:
        from kpis.engine.kept import KeptPartials

        return KeptPartials()

    @cached_property
    def versions(self) -> ReferenceVersions:
        from kpis.engine.versions import ReferenceVersions

        return ReferenceVersions(self.connection)

    def use_threads(self, number: int) -> None:
        """Set the number of threads of queries. DuckDB takes a millisecond to set it, also to what it is."""
        if number != self._threads:
            self._threads = number
            if "connection" in self.__dict__:
                self.connection.execute(f"SET threads = {number}")

    def close(self) -> None:
        """Close the connection, if it was opened."""
        self._stack.close()


@dataclass(frozen=True)
class Engine:
    """A DuckDB connection, the lake that is read and written through it, and a folder for temporary files.

    ``cores`` are those that may be used. With a ``cluster``, that reads and merges. ``failing`` are the intervals that
    could not be computed or compacted lately, ``compacted`` the hours that were compacted lately: late messages may
    touch many hours in every batch, and to rewrite each hour's files every time would take longer than all else.
    """

    workspace: Workspace
    lake: Lake
    scratch: Path
    failing: Paused
    compacted: Paused
    cluster: Cluster | None = None
    cores: int = CORES

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """The connection."""
        return self.workspace.connection

    @property
    def incremental(self) -> IncrementalPartials:
        """The merged partials of a stream's last intervals."""
        return self.workspace.incremental

    @property
    def recent(self) -> RecentPartials:
        """The partials of the hours that were merged last."""
        return self.workspace.recent

    @property
    def kept(self) -> KeptPartials:
        """The partials of the batches that this run committed."""
        return self.workspace.kept

    @property
    def versions(self) -> ReferenceVersions:
        """The versions of references that partials are joined with."""
        return self.workspace.versions

    def use_cores(self, cores: int) -> None:
        """Limit DuckDB's queries to so many cores, or to those that there are; each core takes memory of its own."""
        self.workspace.use_threads(min(cores, self.cores))

    def make_room(self) -> None:
        """Drop what is cached of former batches, and the tables of one that failed."""
        self.recent.clear()
        self.incremental.clear()
        self.kept.clear()
        for table in ("records", "judged"):
            self.connection.execute(f"DROP TABLE IF EXISTS {table}")

    def merge_elsewhere(
        self,
        kpi: KPI,
        length: Length,
        files: Mapping[PurePosixPath, PartialFile],
        starts: Collection[datetime],
        top_n: int,
    ) -> Results | None:
        """Return the cluster's results of the lake's files of partials, where it merges that many bytes; else None."""
        if self.cluster and self.cluster.merges(kpi, sum(file.size for file in files.values())):
            return self.cluster.results(self, kpi, length, files, starts, top_n)
        return None


@contextmanager
def engine(
    lake_dir: Address, memory_limit_mb: int = 800, verify: Verify = Verify.ALWAYS, synced: bool = True
) -> Iterator[Engine]:
    """Open an engine over a lake. What does not fit into its memory, it spills to a temporary folder.

    ``verify`` says when the lake's files are compared with their digests, and ``synced`` whether they are on the disk
    before the ledger refers to them.

    Raises ScratchError where neither has room, and LakeError where the lake's place cannot be used at all.
    """
    tune_malloc()
    with scratch() as folder:
        with translate_lake_errors(str(lake_dir)):
            storage = storage_at(lake_dir, folder, synced)
        config = {"memory_limit": f"{memory_limit_mb}MB", "temp_directory": str(folder / "spill")}
        workspace = Workspace(config, storage)
        try:
            lake = Lake(storage, lambda: workspace.connection, verify)
            yield Engine(workspace, lake, folder, Paused(), Paused())
        except ScratchError:
            raise
        except Exception as error:
            from kpis.stages.room import out_of_room, out_of_room_errors

            if isinstance(error, out_of_room_errors()):
                raise ScratchError(out_of_room(error)) from error
            raise
        finally:
            workspace.close()
