"""Notices of new objects from an SQS queue: S3's event notifications, direct or through SNS."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote_plus

from botocore.exceptions import BotoCoreError, ClientError

from kpis.sources.directory import SourceError, SourceLost
from kpis.storage import BucketAddress
from kpis.storage.bucket import client

logger = logging.getLogger(__name__)

MESSAGES_A_REQUEST = 10
# The most messages that are in hand; further ones wait in the queue.
MOST_MESSAGES = 1000
# How long a request waits for the first message. SQS allows more, but signals are handled only between requests.
LONGEST_WAIT_SECONDS = 2
# A message whose objects are not ingested by then is delivered again, to any consumer.
HIDDEN_SECONDS = 900
ASK_AGAIN_SECONDS = 1


class Malformed(Exception):
    """A message that is not one of S3's notifications; the text gives the reason."""


class QueueArrivals:
    """Objects that arrive directly below a bucket's prefix; see ``Arrivals``.

    A message is deleted once all its objects are acknowledged, and at once if it names no object here. One that cannot
    be parsed stays, so that the queue's redrive policy removes it.
    """

    def __init__(self, place: BucketAddress, url: str):
        self.means = f"notifications in the queue {url}"
        self.blind = ""
        self._place, self._url = place, url
        # By the message's id: its newest receipt handle, and the names in it.
        self._in_hand: dict[str, tuple[str, set[str]]] = {}
        self._given: set[str] = set()

    def __enter__(self) -> QueueArrivals:
        with _translate_errors(self._url):
            self._client = client("sqs")
            self._receive(0)
        return self

    def __exit__(self, *_: object) -> None:
        return

    def listen(self) -> None:
        return

    def wait(self, seconds: float) -> Collection[str]:
        try:
            with _translate_errors(self._url):
                if not self._in_hand:
                    self._receive(min(LONGEST_WAIT_SECONDS, max(0, int(seconds))))
                while self._has_more and len(self._in_hand) < MOST_MESSAGES:
                    self._receive(0)
                self._delete([one for one, (_, names) in self._in_hand.items() if not names])
            self.blind = ""
        except SourceError as error:
            self.blind = str(error)
            time.sleep(max(0, min(ASK_AGAIN_SECONDS, seconds)))
        self._given = set(self._in_hand)
        return set().union(*(names for _, names in self._in_hand.values()))

    def acknowledge(self) -> None:
        try:
            with _translate_errors(self._url):
                self._delete(sorted(self._given))
        except SourceError as error:
            # They are delivered again, and found to be ingested.
            self.blind = str(error)
            self._in_hand.clear()

    def _receive(self, seconds: int) -> None:
        found = self._client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=MESSAGES_A_REQUEST,
            WaitTimeSeconds=seconds,
            VisibilityTimeout=HIDDEN_SECONDS,
        ).get("Messages", ())
        self._has_more = len(found) == MESSAGES_A_REQUEST
        for message in found:
            try:
                names = set(names_in(message["Body"], self._place))
            except Malformed as malformed:
                logger.warning(
                    "The message %s in the queue %s is left there: it %s", message["MessageId"], self._url, malformed
                )
            else:
                self._in_hand[message["MessageId"]] = message["ReceiptHandle"], names

    def _delete(self, ids: list[str]) -> None:
        for start in range(0, len(ids), MESSAGES_A_REQUEST):
            some = ids[start : start + MESSAGES_A_REQUEST]
            entries = [{"Id": str(number), "ReceiptHandle": self._in_hand[one][0]} for number, one in enumerate(some)]
            # What is not deleted is delivered again.
            self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)
            for one in some:
                del self._in_hand[one]


def names_in(body: str, place: BucketAddress) -> Iterator[str]:
    """Yield the names of the objects directly below a place that a message reports; raises Malformed."""
    event = _parsed(body)
    if event.get("Type") == "Notification" and isinstance(event.get("Message"), str):
        event = _parsed(event["Message"])
    if event.get("Event") == "s3:TestEvent":
        return
    records = event.get("Records")
    if not isinstance(records, list):
        raise Malformed("is not one of S3's notifications")
    for record in records:
        try:
            kind, bucket, key = record["eventName"], record["s3"]["bucket"]["name"], record["s3"]["object"]["key"]
            name = unquote_plus(key).removeprefix(place.prefix)
            is_here = bucket == place.bucket and unquote_plus(key).startswith(place.prefix) and "/" not in name
            if is_here and kind.startswith("ObjectCreated:"):
                yield name
        except (TypeError, KeyError, AttributeError):
            raise Malformed("has a record that is not one of S3's") from None


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        raise Malformed("is not JSON") from None
    if not isinstance(found, dict):
        raise Malformed("is JSON, but not an object")
    return found


@contextmanager
def _translate_errors(url: str) -> Iterator[None]:
    """Translate boto3's errors into SourceError, and temporary ones into SourceLost."""
    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        text = f"Cannot read the queue {url}: {said.get('Message') or said.get('Code')}".rstrip(".") + "."
        raise (SourceError if 400 <= status < 500 else SourceLost)(text) from error
    except BotoCoreError as error:
        raise SourceLost(f"Cannot read the queue {url}: {str(error).rstrip('.')}.") from error
