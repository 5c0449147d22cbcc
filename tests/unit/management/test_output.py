"""Output that cannot be written: work goes on and ends as it would have; an answer that is lost is an error."""

from __future__ import annotations

import errno
import io
import os
import pkgutil
import subprocess
import sys
from contextlib import contextmanager
from importlib import import_module

import pytest
from django.core.management import CommandError, call_command

from kpis.management import commands
from kpis.management.output import AnswerCommand, BestEffort, WorkCommand
from kpis.models import Batch
from tests.processes import PATIENCE
from tests.twin import Flow
from tests.unit.management.test_update_network_stats import START, put

pytestmark = pytest.mark.sqlite_alone

NAMES = [f"ipflow_data.ts-{(START + 300) * 1000}.{number}é.csv" for number in range(12)]


class Broken(io.StringIO):
    """A stream that cannot be written to, of a terminal or not."""

    def __init__(self, error: Exception, is_terminal: bool = False):
        super().__init__()
        self._error, self._is_terminal = error, is_terminal

    def write(self, text):
        raise self._error

    def isatty(self):
        return self._is_terminal


@contextmanager
def full():
    with open("/dev/full", "w") as file:
        yield {"stdout": file}


@contextmanager
def closed_pipe():
    reading, writing = os.pipe()
    os.close(reading)
    try:
        yield {"stdout": writing}
    finally:
        os.close(writing)


@contextmanager
def closed_stream():
    yield {"stdout": None, "preexec_fn": lambda: os.close(1)}


@contextmanager
def without_letters():
    yield {"stdout": subprocess.PIPE, "encoding": "ascii"}


OUTPUTS = {
    full: "cannot be written: No space left on device; the work goes on without it",
    closed_pipe: "cannot be written: Broken pipe; the work goes on without it",
    closed_stream: "cannot be written: Bad file descriptor; the work goes on without it",
    without_letters: "cannot show every letter: its encoding is ascii",
}


def ended(place, options, *arguments, **variables):
    environment = place.environment(**variables)
    # As cron and a shell start it: what it writes is buffered.
    environment.pop("PYTHONUNBUFFERED")
    options = {"stderr": subprocess.PIPE, "encoding": "utf-8"} | options
    if options["encoding"] == "ascii":
        environment["PYTHONIOENCODING"] = "ascii"
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, env=environment, timeout=PATIENCE, check=False, **options)


@pytest.mark.parametrize("output", OUTPUTS)
def test_twelve_files_are_all_in_whatever_becomes_of_the_output(place, output):
    place.put({name: [Flow(START, 1, number, 0, 1, 7)] for number, name in enumerate(NAMES)})
    with output() as options:
        process = ended(place, options, "update_network_stats")
    assert process.returncode == 0
    assert process.stderr.splitlines() == [f"Standard output {OUTPUTS[output]}."]
    assert place.known().keys() == set(NAMES)
    if process.stdout is not None:
        assert (
            process.stdout.splitlines()[0]
            == r"ingested ipflow_data.ts-1626566700000.0\xe9.csv: 1 records, 0 rejects, 1 intervals"
        )


@pytest.mark.parametrize("log_format", ["", "json"])
def test_a_failed_file_ends_with_1_also_where_nothing_can_be_written(place, log_format):
    place.put({NAMES[0]: [Flow(START, 1, 1, 0, 1, 7)]})
    (place.data / NAMES[1]).write_text("nonsense\n1\n")
    with full() as options:
        process = ended(place, options | {"stderr": options["stdout"]}, "update_network_stats", LOG_FORMAT=log_format)
    assert process.returncode == 1
    assert place.known().keys() == {NAMES[0]}


@pytest.mark.parametrize("output", OUTPUTS)
def test_an_answer_that_cannot_be_written_is_an_error(place, output):
    reasons = {
        full: "CommandError: Standard output cannot be written: No space left on device.\n",
        closed_pipe: "",
        closed_stream: "CommandError: Standard output cannot be written: Bad file descriptor.\n",
        without_letters: (
            r"CommandError: Standard output cannot be written: its encoding, ascii, lacks '\xe9'. "
            "Set PYTHONIOENCODING=utf-8.\n"
        ),
    }
    with output() as options:
        process = ended(place, options, "query_lake", "SELECT 'é' AS letter")
    assert process.stderr == reasons[output]
    assert process.returncode == (0 if output is closed_pipe else 1)


@pytest.mark.django_db(transaction=True)
def test_a_progress_bar_that_cannot_be_drawn_stops_nothing(data_dir, monkeypatch):
    for number in range(12):
        put(data_dir, number, [Flow(START, 1, number, 0, 1, 7)])
    (data_dir / "ipflow_data.bad.csv").write_text("nonsense\n1\n")
    terminal = Broken(OSError(errno.EIO, os.strerror(errno.EIO)), is_terminal=True)
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(SystemExit, match="1"):
        call_command("update_network_stats")
    assert Batch.objects.filter(status=Batch.Status.IN).count() == 12


@pytest.mark.django_db(transaction=True)
def test_a_progress_bar_stays_on_its_line(data_dir, monkeypatch):
    put(data_dir, 1, [Flow(START, 1, 1, 0, 1, 7)])
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    call_command("update_network_stats", stdout=io.StringIO())
    assert "1/1" in terminal.getvalue()
    assert terminal.getvalue().count("\n") == 1


@pytest.mark.django_db(transaction=True)
def test_what_failed_is_reported_once_and_what_can_be_written_later_is(capsys):
    stream = Broken(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    reasons = []
    output = BestEffort(stream, reasons.append)
    output.write("lost\n")
    output.write("lost too\n")
    later = output._stream = io.StringIO()
    output.write("seen\n")
    assert reasons == ["cannot be written: No space left on device; the work goes on without it"]
    assert later.getvalue() == "seen\n"


def test_every_command_says_what_its_output_is_for():
    # Django's own says what it likes.
    names = {module.name for module in pkgutil.iter_modules(commands.__path__)} - {"migrate"}
    kinds = {name: import_module(f"kpis.management.commands.{name}").Command.__mro__[1] for name in names}
    assert set(kinds.values()) == {WorkCommand, AnswerCommand}
    assert {name for name, kind in kinds.items() if kind is AnswerCommand} == {
        "check_catalog",
        "catalog_schema",
        "describe_feed",
        "doctor",
        "export_catalog",
        "lake_ddl",
        "query_lake",
        "show_network_stats",
    }


@pytest.mark.django_db(transaction=True)
def test_an_answers_reader_may_leave_at_any_row(lake_dir):
    class Left(io.StringIO):
        def write(self, text):
            if self.tell() > 1000:
                raise BrokenPipeError
            return super().write(text)

    out = Left()
    call_command("query_lake", "SELECT * FROM range(100000)", format="csv", stdout=out)
    assert 1000 < len(out.getvalue()) < 1100
    with pytest.raises(CommandError, match="cannot be written: No space left on device"):
        call_command("query_lake", "SELECT 1", stdout=Broken(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))


def test_what_a_process_imported_for_its_command_is_no_longer_searched_for_garbage():
    script = """
import gc
from kpis.management.output import WorkCommand
from network_analysis.__main__ import main

WorkCommand.execute = lambda *given, **options: print(gc.get_freeze_count() > 10_000)
main()
"""
    for command, is_frozen in (("update_network_stats", "True"), ("repair_lake", "False")):
        # With what imports DuckDB at once it is not, as DuckDB would report leaks.
        process = subprocess.run(
            [sys.executable, "-c", script, command], capture_output=True, text=True, timeout=PATIENCE
        )
        assert (process.stdout, process.stderr) == (f"{is_frozen}\n", "")


def test_a_command_that_fails_says_why_and_nothing_of_what_it_leaves_in_memory():
    script = """
from django.core.management import CommandError
from kpis.management.output import WorkCommand
from network_analysis.__main__ import main

def fail(command, *given, **options):
    import duckdb
    command.circle, command.connection = command, duckdb.connect()
    raise CommandError("the database is gone")

WorkCommand.execute = fail
main()
"""
    process = subprocess.run(
        [sys.executable, "-c", script, "update_network_stats"], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (process.returncode, process.stderr) == (1, "CommandError: the database is gone\n")
