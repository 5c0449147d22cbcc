"""The ledger's positions: up to which offset or record each partition and shard is ingested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kpis.catalog.feeds import Feed
from kpis.engine.scratch import ScratchError
from kpis.models import StreamOffset, StreamShard
from kpis.sources.messages import Origin, Position, Reached
from kpis.stages.ledger import Entry
from kpis.store.errors import Overtaken, SeveralFailed


class StreamLedger:
    """The part of the ledger that says where consumers go on."""

    def positions(self, feed: Feed, topic: str) -> dict[int, Position]:
        """Return the committed position of each of a topic's partitions; partitions without any batch are left out."""
        return {
            one.partition: Position(one.next_offset, Origin(one.topic_id, one.generation), one.last_message)
            for one in StreamOffset.objects.filter(feed=feed.name, topic=topic).order_by()
        }

    def reached(self, feed: Feed, stream: str) -> dict[str, Reached]:
        """Return the committed position of each shard of a Kinesis stream; shards without any batch are left out."""
        return {
            shard.shard: Reached(
                shard.sequence_number or None,
                shard.is_ended,
                shard.beginning,
                Origin(shard.stream_created, shard.generation),
            )
            for shard in StreamShard.objects.filter(feed=feed.name, stream=stream)
        }

    def end_shard(self, feed: Feed, stream: str, shard: str, reached: Reached) -> None:
        """Record that a shard ended with the record of ``reached``, if that is the last one committed."""
        place = {"feed": feed.name, "stream": stream, "shard": shard}
        values = _shard_values(reached)
        if reached.sequence_number is None:
            _, is_new = StreamShard.objects.get_or_create(**place, defaults=values)
            if not is_new:
                # The row may be that of a former stream of the name.
                StreamShard.objects.filter(**place, generation__lt=reached.origin.generation).update(**values)
        else:
            there = StreamShard.objects.filter(**place, sequence_number=reached.sequence_number)
            there.filter(generation=reached.origin.generation).update(is_ended=True)


def advance(entry: Entry) -> None:
    """Commit the position to which a batch of a stream advances, if the committed one is where the batch begins.

    Raises Overtaken if it is not, SeveralFailed if the batch failed and has several messages, and ScratchError if only
    the file is to blame in which they are spooled.
    """
    batch, step = entry.file, entry.file.step
    if step is None:
        return
    if entry.retry:
        raise ScratchError(f"{batch.path}, where the messages of {batch.name} are spooled, {entry.reason}.")
    if batch.is_divisible and not entry.is_in:
        raise SeveralFailed
    model, topic, partition, values_of = _TABLES[type(step.after)]
    place = {"feed": batch.feed.name, topic: step.topic, partition: step.partition}
    values = values_of(step.after)
    if step.before is None:
        _, is_ours = model.objects.get_or_create(**place, defaults=values)
    else:
        is_ours = model.objects.filter(**place, **values_of(step.before)).update(**values) > 0
    if not is_ours:
        raise Overtaken(f"Another consumer has ingested {step.topic}/{step.partition} meanwhile.")


def _offset_values(position: Position) -> dict[str, Any]:
    """Return a partition's position by column."""
    return {
        "next_offset": position.next_offset,
        "topic_id": position.origin.id,
        "generation": position.origin.generation,
        "last_message": position.last_message,
    }


def _shard_values(reached: Reached) -> dict[str, Any]:
    """Return a shard's position by column."""
    return {
        "sequence_number": reached.sequence_number or "",
        "is_ended": reached.is_ended,
        "beginning": reached.beginning,
        "stream_created": reached.origin.id,
        "generation": reached.origin.generation,
    }


# Where each kind of position is stored: the model, its columns for the topic and the partition, and the position's.
_TABLES: dict[type, tuple[type[StreamOffset | StreamShard], str, str, Callable[[Any], dict[str, Any]]]] = {
    Position: (StreamOffset, "topic", "partition", _offset_values),
    Reached: (StreamShard, "stream", "shard", _shard_values),
}
