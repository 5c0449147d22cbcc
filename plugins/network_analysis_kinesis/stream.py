"""A Kinesis stream as a source of batches, each a range of one shard's records.

The ledger has the position: the sequence number of the last record that was ingested of each shard. A shard that
resulted from a split or a merge is read from its first record once the ledger has its parents to their ends.

Processes share a stream's shards by their numbers, a fixed part each. That needs no clocks and no leases. A shard that
two processes read nevertheless stays exact, as a batch is ingested only if it starts at the ledger's position.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from kpis.catalog.feeds import Feed
from kpis.catalog.intervals import EPOCH
from kpis.sources.batch import Step
from kpis.sources.directory import SourceError, SourceLost
from kpis.sources.positions import Origin, Partition, Position
from kpis.sources.stream import Limits, Stream
from kpis.storage.bucket import CLIENT
from network_analysis_kinesis.records import KINESIS, ShardSpool
from network_analysis_kinesis.shards import FIRST_PAUSE_SECONDS, Shard, Share, beginnings_of, hash_keys, parts_of

logger = logging.getLogger(__name__)

# Kinesis allows five reads a second of a shard. A reader that is behind uses more of them than one that waits.
NEXT_SECONDS = 0.2
TIP_SECONDS = 0.5
# The intervals in seconds at which new shards are looked for, and the ends of shards that other processes read.
LISTING_SECONDS = 10
WAITING_SECONDS = 1
LONGEST_PAUSE_SECONDS = 15
# When Kinesis stored a record.
ARRIVED = "ApproximateArrivalTimestamp"
THROTTLED = {
    "KMSThrottlingException",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
}

# Few attempts by the client: this module retries itself, and handles signals in between.
PATIENCE = CLIENT.merge(Config(retries={"mode": "standard", "total_max_attempts": 2}))


class KinesisStream(Stream[ShardSpool]):
    """A stream, of which this process reads its share of the shards.

    ``positions`` returns the ledger's position in each shard, and ``advance`` writes the one of a shard that is
    ingested to its end.
    """

    def __init__(
        self,
        feed: Feed,
        name: str,
        share: Share,
        limits: Limits,
        positions: Callable[[], Mapping[str, Position]],
        advance: Callable[[Step], object],
        folder: Path,
    ):
        super().__init__(feed, name, limits, folder)
        self._share, self._ledger_positions, self._advance = share, positions, advance
        # The shards that are being read, and whether some of this process's shards wait for those of others.
        self._shards: dict[str, Shard] = {}
        self._is_waiting = False
        self._listed_at = self._asked_at = 0.0
        self._is_listed = False
        self._listed: list[Mapping[str, Any]] = []
        self._retention = 0.0
        # When the stream was created (UTC).
        self._created = ""
        self._logged: set[str] = set()
        self._is_stale = True

    def __enter__(self) -> KinesisStream:
        with _translate_errors(self.name):
            self._client = boto3.client("kinesis", config=PATIENCE)
            self._describe()
        return self

    def _describe(self) -> None:
        """Ask for the stream's time of creation, and its retention."""
        summary = self._client.describe_stream_summary(StreamName=self.name)["StreamDescriptionSummary"]
        self._retention = summary["RetentionPeriodHours"] * 3600
        self._created = summary["StreamCreationTimestamp"].astimezone(UTC).isoformat()

    def __exit__(self, *_: object) -> None:
        self._forget()

    def poll(self, seconds: float) -> None:
        end = time.monotonic() + min(seconds, self._due_in() if self._room() else seconds)
        with _translate_errors(self.name):
            self._look_around()
            shard = min(self._readable(), key=lambda one: one.due_at, default=None)
            room = self._room()
            if shard is None or not room or shard.due_at >= end:
                time.sleep(max(0, end - time.monotonic()))
                return
            time.sleep(max(0, shard.due_at - time.monotonic()))
            try:
                self._read(shard, room)
            except (ClientError, HTTPClientError) as error:
                self._handle_error(error, shard)

    def lag(self) -> int | None:
        # Kinesis reports the age of what comes next, not how many records that are.
        return None

    def is_caught_up(self) -> bool:
        return bool(self._shards) and self._is_at_end()

    def is_idle(self, seconds: float) -> bool:
        return not self._is_stale and self._is_at_end() and time.monotonic() - self._quiet_since >= seconds

    def _ask_ledger(self) -> Mapping[str, Position]:
        return self._ledger_positions()

    def _is_same(self) -> bool:
        """See ``Stream``. If Kinesis does not answer, it is asked again before anything is ingested."""
        with _translate_errors(self.name):
            try:
                self._listed, self._listed_at = list(self._list()), time.monotonic()
                created = self._created
                if not self._shards.keys() <= beginnings_of(self._listed).keys():
                    # A shard disappears with its last record, or with its stream.
                    self._describe()
            except (ClientError, HTTPClientError) as error:
                self._handle_error(error)
                return False
        if created != self._created or self._are_others(self._listed):
            self._is_stale = True
        return not self._is_stale

    def _are_others(self, listed: Iterable[Mapping[str, Any]]) -> bool:
        """Return True if shards of the same names are listed with other records: it is another stream."""
        beginnings = beginnings_of(listed)
        return any(shard.beginning != beginnings.get(shard.name, shard.beginning) for shard in self._shards.values())

    def _new_spool(self, partition: Partition, path: Path) -> ShardSpool:
        return ShardSpool(self.feed, path, self._shards[str(partition)].beginning)

    def _is_at_end(self) -> bool:
        is_read = all(shard.is_at_tip and not shard.is_read_out for shard in self._shards.values())
        return is_read and not self._is_waiting and not self._pending and not self._in_hand

    def _readable(self) -> list[Shard]:
        return [shard for shard in self._shards.values() if not shard.is_read_out]

    def _look_around(self) -> None:
        """End the shards that are ingested completely, and find those that are to be read now."""
        if self._is_stale:
            self._forget()
            self._shards.clear()
        has_ended = False
        busy = {*self._pending, *(messages.partition for messages in self._in_hand)}
        for shard in list(self._shards.values()):
            if shard.is_read_out and shard.name not in busy:
                self._advance(self._ended(shard))
                del self._shards[shard.name]
                has_ended = True
        now = time.monotonic()
        every = WAITING_SECONDS if self._is_waiting else LISTING_SECONDS
        has_changed = self._is_stale or has_ended or not self._is_listed
        if not has_changed and now < self._asked_at + every:
            return
        if has_changed or now >= self._listed_at + LISTING_SECONDS:
            try:
                self._listed = list(self._list())
                if self._is_stale:
                    # After the shards: they reveal a stream that was recreated in between before anything is
                    # ingested.
                    self._describe()
            except (ClientError, HTTPClientError) as error:
                self._handle_error(error)
                return
            self._listed_at, self._is_listed = now, True
            if self._are_others(self._listed):
                self._is_stale = True
                return
        self._choose(self._ledger_positions())
        self._asked_at, self._is_stale = now, False

    def _list(self) -> Iterator[Mapping[str, Any]]:
        for page in self._client.get_paginator("list_shards").paginate(StreamName=self.name):
            yield from page["Shards"]

    def _ended(self, shard: Shard) -> Step:
        """Return the advance of a shard that has ended and is wholly ingested to its end."""
        position, origin = self._positions.get(shard.name), self._origins[shard.name]
        number = None
        if position is not None and position.origin.generation == origin.generation:
            number = position.sequence_number
        after = Position.of_shard(number, shard.beginning, origin, is_ended=True)
        return Step(KINESIS, self.name, shard.name, position, after)

    def _of_this_stream(self, known: Mapping[str, Position]) -> Mapping[str, Position]:
        """Return the ledger's shards that are of the present stream; note the evidence if any are of a former one."""
        beginnings = beginnings_of(self._listed)
        others: dict[str, str] = {}
        for name, there in known.items():
            began, made = beginnings.get(name, there.beginning), there.origin.id
            if made and made != self._created:
                others[name] = f"it was made at {self._created}, and the ingested one was made at {made}"
            elif began != there.beginning:
                others[name] = f"{name} begins with the record {began} now, and began with {there.beginning}"
        here = {
            name: there
            for name, there in known.items()
            # Shards of a former stream may be recognised by neither.
            if name not in others and (not others or there.origin.id or name in beginnings)
        }
        newest = max((known[name].origin.generation for name in others), default=0)
        generation = max((there.origin.generation for there in here.values()), default=newest + 1)
        self._origins = {}
        for name in beginnings:
            # No batch of the new stream has the name of one of the former stream.
            before = known[name].origin.generation if name in known and name not in here else 0
            self._origins[name] = Origin(self._created, max(generation, before + 1))
        if others and not here:
            name = Origin(generation=generation).named(self.name)
            self._note_recreated(f"{next(iter(others.values()))}; it is read from its beginning, in batches of {name}")
        return here

    def _choose(self, known: Mapping[str, Position]) -> None:
        """Start to read the shards whose predecessors the ledger has to their ends."""
        names = {listed["ShardId"] for listed in self._listed}
        reached = self._of_this_stream(known)
        self._is_waiting = False
        self._shards = {name: shard for name, shard in self._shards.items() if name in names}
        for listed in self._listed:
            name, beginning = listed["ShardId"], listed["SequenceNumberRange"]["StartingSequenceNumber"]
            there = reached.get(name)
            if not self._share.has(name) or (there is not None and there.is_ended):
                self._shards.pop(name, None)
                continue
            parents = {listed[key] for key in ("ParentShardId", "AdjacentParentShardId") if listed.get(key)}
            if any(parent in names and not (parent in reached and reached[parent].is_ended) for parent in parents):
                self._is_waiting = True
            elif name not in self._shards:
                for parent in parents - names:
                    if parent in reached and not reached[parent].is_ended:
                        self._log_loss(
                            f"{parent}, which ended before {name} began, is gone before it was ingested to its end"
                        )
                number = there.sequence_number if there else None
                self._shards[name] = Shard(name, beginning, hash_keys(listed), number)
                self._positions = {**self._positions, name: known.get(name)}

    def _read(self, shard: Shard, room: int) -> None:
        if shard.iterator is None:
            shard.iterator = self._iterator(shard)
        if shard.moment is not None and time.time() - shard.moment > self._retention:
            self._log_loss(f"{shard.name} is read later than Kinesis keeps its records, so that some may be lost")
        answer = self._client.get_records(ShardIterator=shard.iterator, Limit=room)
        shard.iterator = answer.get("NextShardIterator")
        records, behind = answer["Records"], answer.get("MillisBehindLatest") or 0
        shard.moment = time.time() - behind / 1000
        shard.is_read_out = shard.iterator is None
        shard.is_at_tip = not behind and not records
        shard.due_at = time.monotonic() + (TIP_SECONDS if shard.is_at_tip else NEXT_SECONDS)
        shard.pause = FIRST_PAUSE_SECONDS
        self._logged.discard("failed")
        if shard.known is not None and (records or shard.is_at_tip or shard.is_read_out):
            records = self._without_known(shard, records)
        found = [(*part, record.get(ARRIVED)) for record in records for part in parts_of(record, shard)]
        if found:
            self._empty_at = time.monotonic()
            numbers, values, arrived = zip(*found, strict=True)
            times = [None if one is None else (one - EPOCH) // timedelta(milliseconds=1) for one in arrived]
            self._spool(shard.name).add_records(numbers, values, arrived[-1], times)
            shard.read_to = numbers[-1]
            self._largest = max(self._largest, *(len(record["Data"]) for record in records))
            self._quiet_since = time.monotonic()

    def _iterator(self, shard: Shard) -> str:
        """Return where to continue: at the last record that was read, as the records after it are there if it is."""
        place = {"StreamName": self.name, "ShardId": shard.name}
        if shard.read_to is not None:
            shard.known = shard.read_to
            try:
                found = self._client.get_shard_iterator(
                    **place,
                    ShardIteratorType="AT_SEQUENCE_NUMBER",
                    StartingSequenceNumber=shard.read_to.partition(":")[0],
                )
                return str(found["ShardIterator"])
            except self._client.exceptions.InvalidArgumentException:
                # The record is older than what Kinesis keeps.
                pass
        return str(self._client.get_shard_iterator(**place, ShardIteratorType="TRIM_HORIZON")["ShardIterator"])

    def _without_known(self, shard: Shard, records: list[Any]) -> list[Any]:
        """Return the records without the one that was read before; log it if that is no longer there.

        Parts of an aggregated record may not have been read.
        """
        known, shard.known = shard.known, None
        if records and known and records[0]["SequenceNumber"] == known.partition(":")[0]:
            return records if ":" in known else records[1:]
        end = f"the record {records[0]['SequenceNumber']}" if records else "its end"
        self._log_loss(
            f"{shard.name}: Kinesis no longer has {known}, the last that was read, nor what lay before {end}"
        )
        return records

    def _log_loss(self, what: str) -> None:
        if what not in self._logged:
            logger.warning("%s/%s", self.name, what)
            self._logged.add(what)

    def _handle_error(self, error: ClientError | HTTPClientError, shard: Shard | None = None) -> None:
        """Wait after a temporary error; any other error ends the work."""
        said: Mapping[str, Any] = getattr(error, "response", None) or {}
        code = said.get("Error", {}).get("Code", "")
        if code == "ExpiredIteratorException" and shard is not None:
            shard.iterator = None
            return
        if code == "ResourceNotFoundException" and shard is not None:
            # A shard disappears with its last record; and if the stream is gone, so is the listing.
            shard.iterator, self._is_listed = None, False
            shard.due_at = time.monotonic() + TIP_SECONDS
            return
        status = said.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
        if code not in THROTTLED and status < 500:
            raise error
        # Once, until Kinesis answers again.
        if "failed" not in self._logged:
            logger.warning("Kinesis stream %s: %s", self.name, error)
        self._logged.add("failed")
        # Random, so that processes do not retry at the same time.
        pause = random.uniform(0.5, 1) * (shard.pause if shard else FIRST_PAUSE_SECONDS)  # noqa: S311
        if shard is None:
            time.sleep(pause)
        else:
            shard.due_at = time.monotonic() + pause
            shard.pause = min(2 * shard.pause, LONGEST_PAUSE_SECONDS)
            shard.is_at_tip = False


@contextmanager
def _translate_errors(stream: str) -> Iterator[None]:
    """Translate boto3's errors into SourceError."""
    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        reason = said.get("Message") or said.get("Code") or str(error)
        raise SourceError(f"Cannot read the Kinesis stream {stream}: {reason.rstrip('.')}.") from error
    except BotoCoreError as error:
        raise SourceLost(f"Cannot read the Kinesis stream {stream}: {str(error).rstrip('.')}.") from error
