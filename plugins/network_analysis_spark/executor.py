"""An executor's part of a run on Spark: prepare files or messages, and read partials. A task is text, see ``run``."""

from __future__ import annotations

import json
import uuid
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import groupby
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from kpis import pipeline
from kpis.catalog.intervals import LENGTHS, from_milliseconds
from kpis.catalog.registry import FEEDS, KPIS
from kpis.catalog.sql import aliased, quoted
from kpis.engine.aggregate import combined_partials
from kpis.engine.scratch import ScratchError
from kpis.lake import Expected, LakeError, PartialFile, Verify
from kpis.pipeline import Engine
from kpis.sources.directory import SourceLost
from kpis.sources.messages import message_mark
from kpis.sources.places import decode_file
from kpis.sources.positions import Origin, Position
from kpis.sources.spool import Spool
from kpis.stages.prepare import prepare, write_aside
from kpis.storage import address
from network_analysis_spark.encoding import decode_options, encode_prepared, load_declared

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = 100_000
# Errors on an executor that are not a file's fault, and so end the run.
ERRORS = {kind.__name__: kind for kind in (LakeError, ScratchError, SourceLost)}


@contextmanager
def _engine_of(fields: Mapping[str, Any]) -> Iterator[Engine]:
    """Open a task's engine, with the one core that Spark gives a task."""
    place = address(fields["lake"]), fields["memory_limit_mb"], Verify(fields["verify"]), fields["synced"]
    with pipeline.engine(*place) as made:
        engine = replace(made, cores=1)
        engine.use_cores(1)
        yield engine


def prepare_task(task: str) -> str:
    """Prepare files on an executor: read and reduce them, and write them aside into the lake."""
    fields = json.loads(task)
    options = decode_options(fields["options"])
    folder = PurePosixPath(fields["folder"]) / uuid.uuid4().hex
    answers = []
    try:
        with _engine_of(fields) as engine:
            for number, encoded_file in enumerate(fields["files"]):
                file = decode_file(encoded_file, engine.scratch).fetched(engine.scratch)
                with prepare(file, engine, options) as one:
                    answers.append(encode_prepared(write_aside(one, engine, options, folder / str(number))))
                file.close()
    except tuple(ERRORS.values()) as error:
        return json.dumps({"error": type(error).__name__, "reason": str(error)})
    return json.dumps({"prepared": answers})


def prepare_micro_batch(batches: Iterator[pa.RecordBatch], task: str) -> Iterator[str]:
    """Yield each partition's messages of a stream as a batch, prepared on an executor.

    Messages that the ledger has, or that are beyond the batch's range, are skipped.
    """
    stream = json.loads(task)
    # First the options, which declare the driver's own feeds.
    options = decode_options(stream["options"])
    feed = FEEDS[stream["feed"]]
    folder = PurePosixPath(stream["folder"]) / uuid.uuid4().hex
    spools: dict[int, Spool] = {}
    try:
        with _engine_of(stream) as engine:
            for batch in batches:
                for partition, offsets, values, headers, arrived, moments in _of_partitions(batch):
                    first, end = stream["ranges"].get(str(partition), (0, None))
                    if stream["only"] and str(partition) not in stream["ranges"]:
                        continue
                    begin = bisect_left(offsets, first)
                    until = len(offsets) if end is None else bisect_left(offsets, end)
                    if begin < until:
                        if partition not in spools:
                            spools[partition] = Spool(feed, engine.scratch / f"messages-of-{partition}")
                        times = list(map(moments, range(begin, until))) if spools[partition].needs_times else ()
                        named = headers[begin:until] if spools[partition].needs_headers else ()
                        spools[partition].add(offsets[begin:until], values[begin:until], arrived, times, named)
                        spools[partition].last_message = message_mark(moments(until - 1), values[until - 1])
            for partition, spool in spools.items():
                position = stream["positions"].get(str(partition))
                origin = Origin(**stream["origins"].get(str(partition), stream["origin"]))
                messages = spool.messages(stream["topic"], partition, position and Position.decode(position), origin)
                with prepare(messages, engine, options, earliest=datetime.fromisoformat(stream["earliest"])) as one:
                    aside = write_aside(one, engine, options, folder / str(partition))
                yield json.dumps({"prepared": [{**encode_prepared(aside), "messages": messages.encode()}]})
    except tuple(ERRORS.values()) as error:
        yield json.dumps({"error": type(error).__name__, "reason": str(error)})


def _of_partitions(
    batch: pa.RecordBatch,
) -> Iterator[
    tuple[int, list[int], list[bytes | None], list[bytes | None], datetime | None, Callable[[int], int | None]]
]:
    """Yield a batch's messages by partition, in the order of their offsets.

    Each is the partition, the offsets, the values, the headers that name their columns, when the newest of them arrived
    by the broker's clock (UTC; None if unknown), and a callable that returns the own time (Unix ms) of the message at
    an index, or None.
    """
    partitions = batch.column(0).to_pylist()
    offsets, values, arrivals, headers = (batch.column(number).to_pylist() for number in (1, 2, 3, 6))
    start = 0
    for partition, same in groupby(partitions):
        end = start + len(list(same))
        arrived = max(filter(None, arrivals[start:end]), default=None)
        came = None if arrived is None else from_milliseconds(arrived)
        messages = offsets[start:end], values[start:end], headers[start:end]
        yield partition, *messages, came, partial(_moment, batch, start)
        start = end


def _moment(batch: pa.RecordBatch, start: int, place: int) -> int | None:
    moment, kind = batch.column(4)[start + place], batch.column(5)[start + place].as_py()
    # Spark has microseconds.
    return None if kind < 0 else moment.value // 1000


def read_partials(task: str) -> Iterator[pa.RecordBatch]:
    """Yield the lake's partials on an executor, combined as far as its own files allow; see combined_partials."""
    fields = json.loads(task)
    load_declared(fields)
    kpi, length = KPIS[fields["kpi"]].source, LENGTHS[fields["length"]]
    starts = [datetime.fromisoformat(start) for start in fields["starts"]]
    files = {
        PurePosixPath(one["path"]): PartialFile(Expected(**one["expected"]), frozenset(one["keys"]) or None)
        for one in fields["files"]
    }
    with _engine_of(fields) as engine, engine.lake.tables(files) as tables:
        table = f"({' UNION ALL BY NAME '.join(f'FROM {one}' for one in tables)})"
        sums = aliased({name: f"{quoted(name)}::DECIMAL(38,0)" for name in kpi.partial_values})
        decimal = f"REPLACE ({sums})" if sums else ""
        combined = combined_partials(kpi, length, table, starts)
        found = engine.connection.execute(f"SELECT * {decimal} FROM ({combined})").to_arrow_reader(ROWS_AT_ONCE)
        for batch in cast("pa.RecordBatchReader", found):
            yield batch.select(fields["columns"])
