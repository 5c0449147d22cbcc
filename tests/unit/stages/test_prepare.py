"""What becomes of a batch that cannot be prepared: for want of room, or because of a fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import duckdb
import pytest

from kpis import pipeline
from kpis.catalog.registry import FEEDS
from kpis.engine.scratch import ScratchError
from kpis.lake import LakeError
from kpis.sources.directory import SourceLost, files_named
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


def scan_with(error: BaseException) -> Callable[[], None]:
    """Return a scan that ends in an error."""

    def scan() -> None:
        raise error

    return scan


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such\n  thing\x00"), "ValueError: no such thing?"),
        (KeyError("cell"), "KeyError: 'cell'"),
        (AssertionError(), "AssertionError"),
        (RecursionError("too deep"), "RecursionError: too deep"),
        (duckdb.ConversionException("of 5"), "ConversionException: of 5"),
        (ValueError("x" * 600), f"ValueError: {'x' * 488}..."),
    ],
)
def test_a_fault_fails_its_file_and_logs_the_traceback_once(engine, tmp_path, caplog, error, text):
    path = tmp_path / "cdr_1.csv"
    path.write_bytes(b"a line\n")
    (file,) = files_named([path])
    with prepare(file, engine, Options(), scan_with(error)) as one:
        entry = one.entry
    assert (entry.is_in, entry.retry) == (False, False)
    assert entry.reason == f"cannot be read because of a fault of this program: {text}"
    (logged,) = caplog.records
    assert (logged.getMessage(), logged.file) == ("fault of this program", "cdr_1.csv")
    assert logged.exc_info[1] is error


class Signal(BaseException):
    """Stands for a signal to stop."""


@pytest.mark.parametrize(
    "error",
    [
        LakeError("gone"),
        SourceLost("gone"),
        OSError(24, "Too many open files"),
        MemoryError(),
        ImportError("no such module"),
        RuntimeError("can't start new thread"),
        RuntimeError("Query interrupted"),
        duckdb.FatalException("invalidated"),
        duckdb.InvalidInputException("Python exception occurred while executing the UDF: Stopped"),
        KeyboardInterrupt(),
        Signal(),
    ],
    ids=repr,
)
def test_an_error_of_the_machine_and_a_signal_end_the_run(engine, tmp_path, error):
    path = tmp_path / "cdr_1.csv"
    path.write_bytes(b"a line\n")
    (file,) = files_named([path])
    with pytest.raises(type(error)) as raised, prepare(file, engine, Options(), scan_with(error)):
        pass
    assert raised.value is error


def test_a_fault_of_messages_stops_the_consumer(engine, tmp_path):
    spool = Spool(FEEDS["cdr"], tmp_path / "spool")
    spool.add([7], [b"one"])
    messages = spool.messages("calls", 3, None)
    with pytest.raises(ValueError, match=r"^odd$"), prepare(messages, engine, Options(), scan_with(ValueError("odd"))):
        pass
