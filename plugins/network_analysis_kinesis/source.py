"""Kinesis as ``consume_stream`` reads it."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from contextlib import AbstractContextManager
from typing import Any

from kpis import extras
from kpis.ingest.stream_sources import Opening, Option, StreamSource
from kpis.sources.directory import SourceError
from kpis.sources.stream import Stream


def share(text: str) -> tuple[int, int]:
    """Parse a share of the shards, as ``1/2``."""
    found = re.fullmatch(r"([1-9][0-9]{0,3})/([1-9][0-9]{0,3})", text)
    if not found or int(found[1]) > int(found[2]):
        raise ArgumentTypeError(f"{text!r} is not a share such as 1/2 or 2/2")
    return int(found[1]), int(found[2])


class KinesisSource(StreamSource):
    """A stream of Kinesis, of which a process reads a share of the shards."""

    title = "a Kinesis stream"
    options = (
        Option("stream", "the Kinesis stream's name"),
        Option(
            "shards",
            "the share of the shards that this process reads: the K-th of N (default: 1/1)",
            metavar="K/N",
            convert=share,
            required=False,
        ),
    )

    def open(self, opening: Opening) -> AbstractContextManager[Stream[Any]]:
        try:
            from network_analysis_kinesis.shards import Share
            from network_analysis_kinesis.stream import KinesisStream
        except ImportError as error:
            raise SourceError(extras.missing("aws", "Streams from Kinesis need", error)) from error
        name = opening.options["stream"]
        return KinesisStream(
            opening.feed,
            name,
            Share(*(opening.options["shards"] or (1, 1))),
            opening.limits,
            lambda: opening.positions(name),
            opening.advance,
            opening.folder,
        )


KINESIS = KinesisSource()
