"""A Kinesis stream of the tests' cloud, to put records into, to split, merge and trim.

moto's own differs from AWS's in what a consumer depends on, and is mended here: a shard that was split or merged keeps
its records and takes no more of them; it says when all of it was read; sequence numbers have 56 digits, and a shard
begins with one that no other has; a shard can be read while it is written to.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import md5
from itertools import count
from unittest.mock import patch

from moto.core.exceptions import JsonRESTError
from moto.kinesis import models

ACCOUNT, REGION = "123456789012", "us-east-1"
_numbers = count(49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898, 97)
_failures: deque[str] = deque()


class Shard(models.Shard):
    """A shard whose sequence numbers are like Kinesis's."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.beginning, self.end = next(_numbers), ""

    def put_record(self, partition_key, data, explicit_hash_key):
        number = next(_numbers)
        self.records[number] = models.Record(partition_key, data, number, explicit_hash_key)
        return str(number)

    def get_records(self, last_sequence_id, limit):
        left = [record for number, record in list(self.records.items()) if number > int(last_sequence_id)]
        found = left[:limit]
        if not found:
            return [], int(last_sequence_id), 0
        behind = 0 if len(found) == len(left) else left[-1].created_at - found[-1].created_at
        return found, found[-1].sequence_number, int(behind * 1000)

    def close(self, records):
        self.records, self.is_open, self.end = records, False, next(_numbers)

    def to_json(self):
        fields = super().to_json()
        fields["SequenceNumberRange"] = {"StartingSequenceNumber": str(self.beginning)}
        if not self.is_open:
            fields["SequenceNumberRange"]["EndingSequenceNumber"] = str(self.end)
        return fields


class Stream(models.Stream):
    """A stream whose shards keep their records when they are split or merged."""

    def split_shard(self, shard_to_split, new_starting_hash_key):
        with self._kept(shard_to_split):
            super().split_shard(shard_to_split, new_starting_hash_key)

    def merge_shards(self, shard_to_merge, adjacent_shard_to_merge):
        with self._kept(shard_to_merge, adjacent_shard_to_merge):
            super().merge_shards(shard_to_merge, adjacent_shard_to_merge)

    @contextmanager
    def _kept(self, *names):
        records = {name: self.shards[name].records for name in names}
        for name in names:
            self.shards[name].records = OrderedDict()
        yield
        for name in names:
            self.shards[name].close(records[name])

    def get_shard_for_key(self, partition_key, explicit_hash_key):
        key = int(md5(partition_key.encode(), usedforsecurity=False).hexdigest(), 16)
        return next(one for one in self.shards.values() if one.is_open and one.starting_hash <= key <= one.ending_hash)


class Failing(JsonRESTError):
    """An error that Kinesis answers instead of records."""


def _get_records(self, stream_arn, shard_iterator, limit):
    if _failures:
        raise Failing(_failures.popleft(), "on purpose")
    following, records, behind = models_get_records(self, stream_arn, shard_iterator, limit)
    stream, shard_id, _ = models.decompose_shard_iterator(shard_iterator)
    shard = self.streams[stream].shards[shard_id]
    _, _, last = models.decompose_shard_iterator(following)
    is_read_out = not shard.is_open and int(last) >= shard.get_max_sequence_number()
    return None if is_read_out else following, records, behind


models_get_records = models.KinesisBackend.get_records


@contextmanager
def mended() -> Iterator[None]:
    """moto's Kinesis as AWS's is."""
    with (
        patch.object(models, "Shard", Shard),
        patch.object(models, "Stream", Stream),
        patch.object(models.KinesisBackend, "get_records", _get_records),
    ):
        yield


class Records:
    """A new stream, and a way to put records into it."""

    def __init__(self, cloud, name: str, shards: int = 2):
        self.name, self._client = name, cloud.client("kinesis")
        self._client.create_stream(StreamName=name, ShardCount=shards)
        self._keys = count()

    def put(self, values: Iterable[str | bytes], arrived: float | None = None) -> None:
        """Adds records, in turn to every shard; they arrive at a Unix time, now by default."""
        records = [
            {"Data": value, "PartitionKey": f"{next(self._keys)}"}
            for value in (one.encode() if isinstance(one, str) else one for one in values)
        ]
        for start in range(0, len(records), 500):
            answer = self._client.put_records(StreamName=self.name, Records=records[start : start + 500])
            assert answer["FailedRecordCount"] == 0
            for put in answer["Records"] if arrived is not None else ():
                record = self.at(put["ShardId"]).records[int(put["SequenceNumber"])]
                zone = record.created_at_datetime.tzinfo
                record.created_at_datetime = datetime.fromtimestamp(arrived, UTC).replace(tzinfo=zone)

    def delete(self) -> None:
        """Has the stream removed."""
        self._client.delete_stream(StreamName=self.name)

    def shards(self) -> list[str]:
        """The ids of the open shards."""
        found = self._client.list_shards(StreamName=self.name)["Shards"]
        return [one["ShardId"] for one in found if "EndingSequenceNumber" not in one["SequenceNumberRange"]]

    def split(self, shard: str) -> None:
        there = self.at(shard)
        middle = (there.starting_hash + there.ending_hash) // 2
        self._client.split_shard(StreamName=self.name, ShardToSplit=shard, NewStartingHashKey=str(middle))

    def merge(self, shard: str, adjacent: str) -> None:
        self._client.merge_shards(StreamName=self.name, ShardToMerge=shard, AdjacentShardToMerge=adjacent)

    def at(self, shard: str) -> Shard:
        """A shard as it is within the cloud."""
        return self._stream.shards[shard]

    def numbers(self, shard: str) -> list[str]:
        """The sequence numbers of a shard's records."""
        return [str(number) for number in self.at(shard).records]

    def data(self) -> dict[str, bytes]:
        """All records by their sequence numbers."""
        return {
            str(number): record.to_json()["Data"]
            for shard in self._stream.shards.values()
            for number, record in shard.records.items()
        }

    def forget(self, shard: str, number: int) -> None:
        """Has so many of a shard's oldest records removed, as they are when they have been kept for long enough."""
        for _ in range(number):
            self.at(shard).records.popitem(last=False)

    def forget_shard(self, shard: str) -> None:
        """Has a closed shard removed, as it is with its last record."""
        del self._stream.shards[shard]

    def fail(self, code: str, times: int) -> None:
        """Has so many of the next requests for records refused."""
        _failures.extend([code] * times)

    @property
    def _stream(self) -> Stream:
        return models.kinesis_backends[ACCOUNT][REGION].streams[self.name]
