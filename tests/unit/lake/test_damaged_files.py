"""A file of the lake that cannot be read is named, also with verification off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import duckdb
import pytest

from kpis.lake import Damage, DamagedFile, Expected, Lake, PartialFile, Verify
from kpis.lake.verify import digest_of
from kpis.storage.folder import Folder

ROOT = PurePosixPath()
FIRST, SECOND = ROOT / "first.parquet", ROOT / "second.parquet"


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


@pytest.fixture
def lake(tmp_path, connection) -> Lake:
    """A lake that verifies no digests, with two files of one row each."""
    lake = Lake(Folder(tmp_path), lambda: connection, Verify.OFF)
    lake.write(tmp_path / FIRST, "SELECT 1 AS value")
    lake.write(tmp_path / SECOND, "SELECT 2 AS value")
    return lake


def files_of(folder: Path) -> dict[PurePosixPath, PartialFile]:
    paths = {name: folder / name for name in (FIRST, SECOND)}
    return {name: PartialFile(Expected(path.stat().st_size, digest_of(path), "")) for name, path in paths.items()}


def change(path: Path, place: int) -> None:
    """Change one byte, counted from the file's end where it is negative."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_of_the_files_that_a_query_reads_the_unreadable_one_is_named(lake, connection, tmp_path):
    files = files_of(tmp_path)
    change(tmp_path / SECOND, -1)
    with pytest.raises(DamagedFile) as raised, lake.tables(files) as tables:
        connection.execute(" UNION ALL ".join(f"FROM {table}" for table in tables)).fetchall()
    assert (raised.value.path, raised.value.kind) == (SECOND, Damage.DAMAGED)


def test_a_query_that_is_wrong_itself_blames_no_file(lake, connection, tmp_path):
    with pytest.raises(duckdb.BinderException), lake.tables(files_of(tmp_path)) as (table,):
        connection.execute(f"SELECT other FROM {table}").fetchall()


def test_a_check_reads_the_content_again_and_needs_no_digest(lake, tmp_path):
    files = files_of(tmp_path)
    lake.check(files)
    # A byte of the writer's name, which no reader looks at.
    change(tmp_path / FIRST, (tmp_path / FIRST).read_bytes().rindex(b"DuckDB"))
    with pytest.raises(DamagedFile, match=r"first\.parquet is damaged: its content is not what was written"):
        lake.check(files)
    lake.check({name: PartialFile(Expected(file.size)) for name, file in files.items()})
