"""A file that changes under its name is noticed, whatever it keeps of its size and its times."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.core.management import CommandError

from kpis.models import Batch, ServiceTrafficVolume
from tests.processes import Place
from tests.servers.test_watch import await_true, stopped, watching
from tests.twin import Flow, expected, file_text
from tests.unit.management.test_update_network_stats import START, update

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "ipflow_data.ts-1626566700000.1.csv"
TEXT, CHANGED = (file_text([Flow(START, 1, 10, downlink, service=1, cell=7)]) for downlink in (20, 70))


def in_place(path: Path, text: str) -> None:
    """Writes a text of the same size over a file, and gives it back its time of change."""
    times = path.stat()
    with path.open("r+") as file:
        file.write(text)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def by_a_move(path: Path, text: str) -> None:
    """Puts another file of the same size and time of change in a file's place."""
    times, other = path.stat(), path.with_name(".other")
    other.write_text(text)
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.rename(path)


def total() -> int:
    return ServiceTrafficVolume.objects.get(interval=1).total_bytes


@pytest.fixture
def path(data_dir) -> Path:
    """A file that is in."""
    (data_dir / NAME).write_text(TEXT)
    update()
    assert total() == 30
    return data_dir / NAME


@pytest.mark.parametrize("change", [in_place, by_a_move])
def test_a_byte_that_changes_with_size_and_time_kept_counts(path, change):
    before = path.stat()
    change(path, CHANGED)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert "1 files ingested, 0 failed" in update()
    assert total() == 80
    assert "0 files ingested, 0 failed" in update()


def test_a_watch_counts_a_byte_that_changes_with_size_and_time_kept(place: Place):
    place.put({NAME: [Flow(START, 1, 10, 20, service=1, cell=7)]})
    with watching(place) as process:
        for change, downlink in ((in_place, 70), (by_a_move, 90)):
            flows = [Flow(START, 1, 10, downlink, service=1, cell=7)]
            change(place.data / NAME, file_text(flows))
            counts = expected({NAME: flows}, START + 300)
            await_true(lambda counts=counts: place.stored() == counts, process)
        stopped(process)


@pytest.mark.parametrize("change", [in_place, by_a_move])
def test_the_same_bytes_written_again_are_looked_into_once(path, change):
    change(path, TEXT)
    assert update().splitlines()[0] == f"unchanged {NAME}"
    assert "would ingest 0 files" in update(dry_run=True)
    assert Batch.objects.get().revision == 1


def test_verify_notices_a_change_that_leaves_no_sign(path):
    in_place(path, CHANGED)
    status = path.stat()
    # As on a file system that has neither times of change of its own nor inodes.
    Batch.objects.update(mark=f"{status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}")
    assert "0 files ingested" in update()
    assert f"would ingest {NAME} (ipflow, verified, " in update(verify=True, dry_run=True)
    assert "1 files ingested, 0 failed" in update(verify=True)
    assert total() == 80
    assert update(verify=True).splitlines()[0] == f"unchanged {NAME}"
    with pytest.raises(CommandError, match="--watch takes no"):
        update(verify=True, watch=True)


def test_a_row_of_before_is_checked_by_content_once(path):
    Batch.objects.update(mark="")
    assert update().splitlines()[0] == f"unchanged {NAME}"
    assert "would ingest 0 files" in update(dry_run=True)
    assert total() == 30


def test_an_object_that_is_put_again_is_looked_into(bucket):
    key = f"in/{NAME}"
    bucket.put_object(Key=key, Body=TEXT.encode())
    update()
    bucket.put_object(Key=key, Body=CHANGED.encode())
    assert "1 files ingested, 0 failed" in update()
    assert total() == 80
    # One whose etag does not tell its content apart, as that of an encrypted one may not.
    Batch.objects.update(mark=f"{bucket.Object(key).e_tag.strip(chr(34))} 1")
    assert update().splitlines()[0] == f"unchanged {NAME}"
    assert "would ingest 0 files" in update(dry_run=True)
