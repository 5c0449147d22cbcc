"""An AWS within the test process (moto, on loopback): S3, SQS, Kinesis and Glue, by their real protocols.

Connections can be made to drop, on purpose and by chance: before a request is handled, after half of an upload, after
it was handled but not answered, and after half of an answer.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, cycle
from unittest.mock import patch

import boto3
from botocore.retries.standard import ExponentialBackoff
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from kpis.storage.bucket import client

FAULTS = ("unheard", "half an upload", "unanswered", "half an answer")


class Faults:
    """A WSGI application that drops connections to another: a share of them, and all from some request on."""

    def __init__(self, application):
        self._application = application
        self.share = 0.0
        self.chance = random.Random(0)  # noqa: S311
        self._kinds = cycle(FAULTS)
        # The number of further requests that are handled; None for all.
        self.left: int | None = None
        self.dropped = dict.fromkeys(FAULTS, 0)

    def __call__(self, environ, start_response):
        fault = self._fault()
        if fault is None:
            return self._application(environ, start_response)
        self.dropped[fault] += 1
        if fault == "half an upload":
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0) // 2)
        if fault in ("unheard", "half an upload"):
            raise _drop(environ)
        answer = b"".join(self._application(environ, start_response))
        return _broken_off(environ, answer[: len(answer) // 2] if fault == "half an answer" else b"")

    def _fault(self) -> str | None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                return "unheard"
        return next(self._kinds) if self.chance.random() < self.share else None


def _drop(environ) -> ConnectionError:
    """Ends the client's connection; gives what the server takes for the client's own leaving."""
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return ConnectionResetError("dropped on purpose")


def _broken_off(environ, answer: bytes) -> Iterator[bytes]:
    if answer:
        yield answer
    raise _drop(environ)


class Cloud:
    """The server's address, its faults, and clients for the tests themselves."""

    def __init__(self, address: str, faults: Faults):
        self.address, self.faults = address, faults
        self._numbers = count()

    def client(self, service: str):
        return boto3.client(service, endpoint_url=self.address)

    def bucket(self):
        """A new, empty bucket, as boto3's resource."""
        bucket = boto3.resource("s3", endpoint_url=self.address).Bucket(f"bucket-{next(self._numbers)}")
        bucket.create()
        return bucket

    @contextmanager
    def dropping(self, share: float = 0.0, left: int | None = None) -> Iterator[Faults]:
        """Drops a share of the connections meanwhile, none by default, and all after ``left`` requests; no client waits
        long."""
        former = self.faults.share, self.faults.left
        self.faults.share, self.faults.left = share, left
        try:
            with patch.object(ExponentialBackoff, "delay_amount", lambda *_: 0.001):
                yield self.faults
        finally:
            self.faults.share, self.faults.left = former


@contextmanager
def running_cloud() -> Iterator[Cloud]:
    """The server, and an environment in which boto3 finds it, for this process and those that it starts."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    faults = Faults(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, faults, threaded=True)
    address = f"http://127.0.0.1:{server.server_port}"
    environment = {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with patch.dict(os.environ, environment):
        client.cache_clear()
        try:
            yield Cloud(address, faults)
        finally:
            client.cache_clear()
            server.shutdown()
            thread.join()
            server.server_close()
