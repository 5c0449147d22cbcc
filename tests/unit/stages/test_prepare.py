"""What becomes of a batch that cannot be prepared for want of room."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kpis import pipeline
from kpis.catalog.registry import FEEDS
from kpis.engine.scratch import ScratchError
from kpis.sources.directory import files_named
from kpis.sources.spool import Spool
from kpis.stages.options import Options
from kpis.stages.prepare import prepare


@pytest.fixture
def engine(tmp_path):
    """An engine whose folder of temporary files vanished."""
    with pipeline.engine(tmp_path / "lake") as engine:
        yield replace(engine, scratch=tmp_path / "gone")


def no_scan() -> None:
    """The scanner leaves the batch to the reader."""


def test_a_file_fails_where_temporary_files_cannot_be_written_and_is_tried_again(engine, tmp_path):
    path = tmp_path / "cdr_1.csv"
    path.write_bytes(b"a line\n")
    (file,) = files_named([path])
    with prepare(file, engine, Options(), no_scan) as one:
        entry = one.entry
    assert (entry.is_in, entry.retry) == (False, True)
    assert entry.reason == (
        f"Cannot write temporary files to {tmp_path / 'gone'}: No such file or directory. "
        "Make room there, or name another folder with TMPDIR."
    )


def test_messages_do_not_fail_where_temporary_files_cannot_be_written_but_stop_the_consumer(engine, tmp_path):
    spool = Spool(FEEDS["cdr"], tmp_path / "spool")
    spool.add([7], [b"one"])
    messages = spool.messages("calls", 3, None)
    with (
        pytest.raises(ScratchError, match="gone: No such file or directory"),
        prepare(messages, engine, Options(), no_scan),
    ):
        pass
