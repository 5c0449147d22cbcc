"""The verifier of lake files reads again only what changed, and reports a file that it cannot read."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest
from blake3 import blake3

from kpis.lake import verify
from kpis.lake.errors import Damage, DamagedFile, LakeError
from kpis.lake.layout import LakeFile
from kpis.lake.verify import Expected, Verifier, Verify
from kpis.storage.folder import Folder

HOUR = datetime(2021, 7, 18, tzinfo=UTC)
NAMES = [PurePosixPath(name) for name in ("first", "second", "third")]


class Unreadable(Folder):
    """A folder on a disk that answers every read with one error, as no disk does at will."""

    def __init__(self, root: Path, number: int):
        super().__init__(root)
        self._number = number

    def content(self, path: PurePosixPath) -> Iterator[bytes]:
        raise OSError(self._number, os.strerror(self._number))


@pytest.fixture
def written(tmp_path) -> dict[PurePosixPath, LakeFile]:
    """Three files of four bytes, as the ledger has them."""
    files = {}
    for name in NAMES:
        (tmp_path / name).write_bytes(b"good")
        files[name] = LakeFile(name, "ipflow", HOUR, "key", digest=blake3(b"good").hexdigest(), size=4)
    return files


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def check(verifier: Verifier, files: dict[PurePosixPath, LakeFile], name: PurePosixPath) -> None:
    verifier.check({name: Expected.of(files[name])})


def test_a_file_that_this_process_has_digested_is_not_read_again(tmp_path, written, threads):
    verifier = Verifier(Folder(tmp_path), threads, Verify.ALWAYS)
    verifier.trust([written[NAMES[0]]])
    check(verifier, written, NAMES[1])
    for name in NAMES:
        (tmp_path / name).write_bytes(b"evil")
    check(verifier, written, NAMES[0])
    check(verifier, written, NAMES[1])
    with pytest.raises(DamagedFile, match="third is damaged: its content is not what was written"):
        check(verifier, written, NAMES[2])


def test_of_more_files_than_are_remembered_the_oldest_are_read_again(tmp_path, written, threads, monkeypatch):
    monkeypatch.setattr(verify, "MOST_TRUSTED", 2)
    verifier = Verifier(Folder(tmp_path), threads, Verify.ALWAYS)
    verifier.trust(written.values())
    for name in NAMES:
        (tmp_path / name).write_bytes(b"evil")
    check(verifier, written, NAMES[1])
    check(verifier, written, NAMES[2])
    with pytest.raises(DamagedFile, match="first is damaged: its content is not what was written"):
        check(verifier, written, NAMES[0])


def test_a_file_whose_blocks_are_bad_is_damaged(tmp_path, written, threads):
    verifier = Verifier(Unreadable(tmp_path, errno.EIO), threads, Verify.ALWAYS)
    with pytest.raises(DamagedFile) as raised:
        check(verifier, written, NAMES[0])
    assert (raised.value.path, raised.value.kind) == (NAMES[0], Damage.DAMAGED)
    assert f"{tmp_path}/first is damaged: it cannot be read (Input/output error)." in str(raised.value)
    assert list(verifier.digests(NAMES)) == []


def test_a_disk_that_cannot_be_used_says_nothing_of_its_files(tmp_path, written, threads):
    verifier = Verifier(Unreadable(tmp_path, errno.ESTALE), threads, Verify.ALWAYS)
    with pytest.raises(LakeError) as raised:
        check(verifier, written, NAMES[0])
    assert not isinstance(raised.value, DamagedFile)
    assert str(raised.value) == f"Cannot use the lake at {tmp_path}/first: Stale file handle."
