"""Produce messages to a Kafka topic: the load of a sample stream."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from kpis.sources.directory import SourceError
from kpis.sources.kafka_client import ANSWER_SECONDS, QUIET, client, translate_errors

if TYPE_CHECKING:
    import confluent_kafka

TICKS = 20


def produce(
    connection: Mapping[str, str],
    topic: str,
    messages_of: Callable[[int], list[bytes]],
    seconds: int | None,
    is_stopped: Callable[[], bool],
) -> tuple[int, float]:
    """Produce each second's messages to a topic during that second, from the next full second on.

    ``messages_of`` returns those of a second in Unix time, and is called just before it begins. Runs for ``seconds``,
    or until it is stopped. Returns how many messages were produced, and the seconds from the first to the last. Raises
    SourceError.
    """
    servers, failed = connection["bootstrap.servers"], []

    def note(error: confluent_kafka.KafkaError | None, _: object) -> None:
        if error is not None:
            failed.append(error)

    count = 0
    with translate_errors(servers):
        producer = client().Producer(
            {
                **QUIET,
                **connection,
                "linger.ms": 20,
                "message.timeout.ms": ANSWER_SECONDS * 1000,
                "delivery.report.only.error": True,
            }
        )
        producer.list_topics(timeout=ANSWER_SECONDS)
        first = int(time.time()) + 1
        # By the monotonic clock, so that setting the clock changes nothing.
        began = time.monotonic() + first - time.time()
        for second in range(seconds) if seconds is not None else itertools.count():
            messages = messages_of(first + second)
            for tick in range(TICKS):
                time.sleep(max(0, began + second + tick / TICKS - time.monotonic()))
                if is_stopped():
                    break
                producer.poll(0)
                part = messages[tick * len(messages) // TICKS : (tick + 1) * len(messages) // TICKS]
                for message in part:
                    _put(producer, topic, message, note)
                count += len(part)
            if is_stopped():
                break
        else:
            # The last second passes too.
            time.sleep(max(0, began + second + 1 - time.monotonic()))
        unsent = producer.flush(ANSWER_SECONDS)
        taken = time.monotonic() - began
    if failed or unsent:
        reason = failed[0].str() if failed else "they were not acknowledged in time"
        raise SourceError(f"Kafka at {servers} did not take {len(failed) + unsent:,} messages: {reason}.")
    return count, taken


def _put(producer: confluent_kafka.Producer, topic: str, message: bytes, note: Callable[..., None]) -> None:
    while True:
        try:
            return producer.produce(topic, message, on_delivery=note)
        except BufferError:
            # As many messages are in flight as are allowed.
            producer.poll(1)
