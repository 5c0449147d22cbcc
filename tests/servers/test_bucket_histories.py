"""The histories of ``test_histories`` with data folder and lake in an object store whose connections drop.

``HISTORIES_IN_BUCKETS`` sets how many are tried (4 by default).
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.core.management import CommandError
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from tests.cloud import Cloud
from tests.effort import times
from tests.property.test_histories import Histories, changes, rejects_in, tried

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_alone]

HISTORIES = times("HISTORIES_IN_BUCKETS", 4, 40)
# Of the connections; each request is tried several times.
DROPPED = 0.05
# At most.
ROUNDS = 10


class HistoriesInBuckets(Histories):
    """A folder's histories, with a store that may fail from some request on until the run has ended."""

    cloud: Cloud
    bucket: object

    def empty(self) -> None:
        self.bucket.objects.all().delete()

    def address(self, name: str) -> str:
        return f"s3://{self.bucket.name}/in/{name}"

    def names(self) -> list[str]:
        return sorted(one.key.removeprefix("in/") for one in self.bucket.objects.filter(Prefix="in/"))

    def content(self, name: str) -> bytes | None:
        with self.cloud.dropping():  # nothing: botocore does not ask again for the rest of an answer
            found = [one for one in self.bucket.objects.filter(Prefix=f"in/{name}") if one.key == f"in/{name}"]
            return found[0].get()["Body"].read() if found else None

    def put(self, name: str, content: bytes) -> None:
        self.bucket.put_object(Key=f"in/{name}", Body=content)

    def put_alike(self, name: str, content: bytes, in_place: bool) -> None:
        # An object's time of change is the store's own.
        self.put(name, content)

    def rename(self, name: str, other: str) -> None:
        self.put(other, self.content(name))
        self.remove(name)

    def remove(self, name: str) -> None:
        self.bucket.Object(f"in/{name}").delete()

    def rejects(self) -> dict[str, int]:
        with TemporaryDirectory() as lake, self.cloud.dropping():
            for one in self.bucket.objects.filter(Prefix="lake/rejects/"):
                path = Path(lake) / one.key.removeprefix("lake/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(one.get()["Body"].read())
            return rejects_in(Path(lake))

    @rule(changes=changes(), left=st.integers(0, 60))
    def files_come_and_the_store_goes_away(self, changes, left):
        for name, content in changes.items():
            self.change(name, content)
        with self.cloud.dropping(left=left):
            try:
                self.update()
            except CommandError:
                return
        self.check()


def test_any_history_in_object_storage_ends_in_the_tables_of_its_files(cloud, bucket):
    HistoriesInBuckets.cloud, HistoriesInBuckets.bucket = cloud, bucket
    with cloud.dropping(DROPPED) as faults:
        # Short histories may have too few requests for each fault to come once.
        for _ in range(ROUNDS):
            run_state_machine_as_test(HistoriesInBuckets, settings=tried(HISTORIES))
            if all(faults.dropped.values()):
                break
    assert all(faults.dropped.values()), faults.dropped
