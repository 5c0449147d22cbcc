"""The ledger's positions in streams: how far each partition of a topic and each shard of a stream is ingested."""

from __future__ import annotations

from typing import Any

from kpis.catalog.feeds import Feed
from kpis.engine.scratch import ScratchError
from kpis.models import StreamPosition
from kpis.sources.batch import Step
from kpis.sources.positions import Origin, Position
from kpis.stages.ledger import Entry
from kpis.store.errors import Overtaken, SeveralFailed


class StreamLedger:
    """The part of the ledger that says where consumers continue."""

    def positions(self, feed: Feed, source: str, stream: str) -> dict[str, Position]:
        """Return the committed position of each partition or shard of a stream; those without any are left out."""
        return {
            row.partition: Position(
                row.position, Origin(row.stream_id, row.generation), row.last_message, row.beginning, row.is_ended
            )
            for row in StreamPosition.objects.filter(feed=feed.name, source=source, stream=stream).order_by()
        }

    def advance(self, feed: Feed, step: Step) -> bool:
        """Write the position after a step if the committed one is that before it. Returns False if it is not."""
        place = {"feed": feed.name, "source": step.source, "stream": step.stream, "partition": step.partition}
        after = _columns(step.after)
        if step.before is None:
            return StreamPosition.objects.get_or_create(**place, defaults=after)[1]
        return bool(StreamPosition.objects.filter(**place, **_columns(step.before)).update(**after))

    def advance_with(self, entry: Entry) -> None:
        """Write the position to which a batch of a stream advances; called in the transaction that commits the batch.

        Raises Overtaken if the batch does not begin at the committed position, SeveralFailed if it failed and has
        several messages, and ScratchError if the only fault is in the file in which they are spooled.
        """
        batch, step = entry.file, entry.file.step
        if step is None:
            return
        if entry.retry:
            raise ScratchError(f"{batch.path}, where the messages of {batch.name} are spooled, {entry.reason}.")
        if batch.is_divisible and not entry.is_in:
            raise SeveralFailed(batch)
        if not self.advance(batch.feed, step):
            raise Overtaken(f"Another consumer has ingested {step.stream}/{step.partition} meanwhile.")


def _columns(position: Position) -> dict[str, Any]:
    """Return a position by column of its row."""
    return {
        "position": position.at,
        "stream_id": position.origin.id,
        "generation": position.origin.generation,
        "last_message": position.last_message,
        "beginning": position.beginning,
        "is_ended": position.is_ended,
    }
