"""Sample data as a stream: a rate of messages per second, each with its own time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from kpis.catalog.builtin.antenna import ANTENNA
from kpis.catalog.builtin.cdr import CDR
from kpis.catalog.registry import FEEDS
from kpis.sample.antenna import MessageStream
from kpis.sample.cdr import CallStream
from kpis.sample.files import Columns, lines_of

# Makes a stream of a rate and a seed: a function that returns the columns of a second (Unix time).
StreamMaker = Callable[[int, int], Callable[[int], Columns]]

STREAMS: dict[str, StreamMaker] = {ANTENNA.name: MessageStream, CDR.name: CallStream}
# The feeds whose streams can have anomalies.
DISTURBED: dict[str, StreamMaker] = {CDR.name: partial(CallStream, disturbed=True)}


class SampleStream:
    """A feed's messages, ``rate`` per second; the same seed gives the same messages for the same second.

    ``columns`` returns those of a second (Unix time). A ``disturbed`` stream, of a feed in ``DISTURBED``, has
    anomalies.
    """

    def __init__(self, feed: str, rate: int, seed: int, disturbed: bool = False):
        self._format = FEEDS[feed].format
        self.columns = (DISTURBED if disturbed else STREAMS)[feed](rate, seed)

    def messages(self, second: int) -> list[bytes]:
        """Return the messages of a second in Unix time."""
        messages = [line.rstrip("\n").encode() for line in lines_of(self._format, self.columns(second))]
        # Messages have no header.
        return messages if self._format.has_keys else messages[1:]
