"""Bad and odd files through the real command: each gets what it deserves, and disturbs no other."""

from __future__ import annotations

import contextlib
import gzip
import os
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from django.conf import settings as django_settings

from kpis import pipeline
from kpis.engine import scanner as scanner_module
from kpis.formats import content as content_module
from kpis.models import Batch
from tests.corpus import CASES, FLOWS, PLAIN, START, Case, flow, text
from tests.effort import times
from tests.processes import migrated_database
from tests.twin import Flow, expected, stored
from tests.unit.management.test_update_network_stats import update

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_alone]

GOOD = Case("good", text(flow(7).line(), flow(8, START + 300).line()), (flow(7), flow(8, START + 300)))


def exit_code(*args, **options) -> int:
    try:
        update(*args, **options)
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


def snapshot(folder: Path) -> dict:
    """Everything about the folder's files that a run must not change."""
    found = {}
    for path in folder.iterdir():
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[path.name] = (status.st_ino, status.st_mode, status.st_mtime_ns, status.st_size, content)
    return found


def put(folder: Path, *cases: Case) -> None:
    for case in cases:
        (folder / case.file_name).write_bytes(case.content)


def outcome(batch: Batch) -> tuple:
    rejects = tuple(batch.first_rejects.values_list("line", "column", "reason"))
    return batch.status, batch.reason, batch.lines, batch.records, batch.rejects, rejects


def outcome_of(case: Case) -> tuple:
    rejects = len(case.rejects)
    if case.reason:
        return "failed", case.reason, case.lines, 0, rejects, case.rejects
    return "in", "", len(case.flows) + rejects, len(case.flows), rejects, case.rejects


def assert_tables_hold(files: dict[str, list[Flow]]) -> None:
    # What lies ahead of the clock closes nothing.
    watermark = max(one.start + 300 for flows in files.values() for one in flows if one.start <= time.time())
    assert stored() == expected(files, watermark)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_file_gets_what_it_deserves_and_disturbs_no_other(data_dir, case):
    put(data_dir, case, GOOD)
    before = snapshot(data_dir)
    assert exit_code() == (1 if case.reason else 0)
    assert outcome(Batch.objects.get(name=case.file_name)) == outcome_of(case)
    assert outcome(Batch.objects.get(name=GOOD.file_name)) == outcome_of(GOOD)
    assert_tables_hold({GOOD.file_name: list(GOOD.flows), case.file_name: list(case.flows)})
    assert snapshot(data_dir) == before


def test_all_of_them_in_one_run(data_dir, settings):
    assert len(CASES) >= 70
    assert len({case.file_name for case in CASES}) == len(CASES)
    # Many of them have the same content.
    settings.DUPLICATES = "count"
    put(data_dir, *CASES)
    before = snapshot(data_dir)
    assert exit_code() == 1
    found = {batch.name: outcome(batch) for batch in Batch.objects.all()}
    assert found == {case.file_name: outcome_of(case) for case in CASES}
    assert_tables_hold({case.file_name: list(case.flows) for case in CASES})
    assert snapshot(data_dir) == before


NAMES = [
    "ipflow_data.with spaces .csv",
    "ipflow_data. space after a dot.csv",
    "ipflow_data.'quotes\".csv",
    "ipflow_data.line\nbreak.csv",
    "ipflow_data.tab\tand\x1bescape.csv",
    "ipflow_data.[brackets].csv",
    "ipflow_data.{a,b}.csv",
    "ipflow_data.*.csv",
    "ipflow_data.?.csv",
    "ipflow_data.100%s%d.csv",
    "ipflow_data.back\\slash.csv",
    "ipflow_data.back\\x20.csv",
    "ipflow_data.semi;colon&$(touch x)`.csv",
    "ipflow_data.Ünï©ödé-日本-😀.csv",
    "ipflow_data.e\u0301.csv",
    "ipflow_data.\u00e9.csv",
    "ipflow_data.\u202eright-to-left.csv",
    "ipflow_data.CASE.csv",
    "ipflow_data.case.csv",
    os.fsdecode(b"ipflow_data.not-utf-8-\xff\xfe.csv"),
    "ipflow_data.not-utf-8-\\xff\\xfe.csv",
    "ipflow_data." + "x" * (255 - len("ipflow_data..csv")) + ".csv",
    "ipflow_data." + "\u202e" * 79 + ".csv",
    "ipflow_data.csv",
    "ipflow_data..csv",
    "ipflow_data.ts-999999999999999.1.csv",
    "ipflow_data.ts-1626566700000.1.csv.csv",
]


def test_any_name_is_ingested_once(data_dir):
    files = {name: [flow(number)] for number, name in enumerate(NAMES, 1)}
    for name, flows in files.items():
        (data_dir / name).write_bytes(text(flows[0].line()))
    before = snapshot(data_dir)
    assert exit_code() == 0
    assert_tables_hold(files)
    names = set(Batch.objects.values_list("name", flat=True))
    assert len(names) == len(NAMES)
    assert all(name.isprintable() for name in names)
    assert snapshot(data_dir) == before
    assert "0 files ingested, 0 failed" in update()


def test_a_file_can_be_named_with_a_dash_first(tmp_path, monkeypatch):
    (tmp_path / "-flows[1].csv").write_bytes(PLAIN)
    monkeypatch.chdir(tmp_path)
    assert exit_code("./-flows[1].csv", feed="ipflow") == 0
    assert_tables_hold({"-flows[1].csv": FLOWS})


def test_what_is_no_file_fails_with_its_reason_and_keeps_no_one_waiting(data_dir, tmp_path):
    put(data_dir, GOOD)
    (tmp_path / "elsewhere.csv").write_bytes(PLAIN)
    (data_dir / "ipflow_data.link.csv").symlink_to(tmp_path / "elsewhere.csv")
    (data_dir / "ipflow_data.folder.csv").mkdir()
    (data_dir / "ipflow_data.dangling.csv").symlink_to(tmp_path / "nowhere.csv")
    (data_dir / "ipflow_data.loop.csv").symlink_to("ipflow_data.loop.csv")
    os.mkfifo(data_dir / "ipflow_data.pipe.csv")
    (data_dir / "ipflow_data.device.csv").symlink_to("/dev/zero")
    # A socket's address may be no longer than 108 bytes, so it is bound by its bare name.
    with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(data_dir):
        listener.bind("ipflow_data.socket.csv")
    before = snapshot(data_dir)
    assert exit_code() == 1
    assert {batch.name: (batch.status, batch.reason) for batch in Batch.objects.all()} == {
        GOOD.file_name: ("in", ""),
        "ipflow_data.link.csv": ("in", ""),
        "ipflow_data.folder.csv": ("failed", "is a folder, not a file"),
        "ipflow_data.dangling.csv": ("failed", "is a broken link"),
        "ipflow_data.loop.csv": ("failed", "is a broken link"),
        "ipflow_data.pipe.csv": ("failed", "is not a regular file"),
        "ipflow_data.device.csv": ("failed", "is not a regular file"),
        "ipflow_data.socket.csv": ("failed", "is not a regular file"),
    }
    assert_tables_hold({GOOD.file_name: list(GOOD.flows), "ipflow_data.link.csv": FLOWS})
    assert snapshot(data_dir) == before


def test_a_file_still_being_written_is_skipped(data_dir):
    for name in (".ipflow_data.1.csv", "ipflow_data.1.csv.tmp", "ipflow_data.1.csv.part"):
        (data_dir / name).write_bytes(PLAIN)
    assert exit_code() == 0
    assert not Batch.objects.exists()


def meddled(monkeypatch, name: str, change) -> None:
    """Has the change made to the file of that name, once, right after its first bytes were read."""
    changes = [change]

    def meddle(file) -> None:
        if changes and Path(os.fsdecode(file.name)).name == name:
            changes.pop()()

    chunks, fill = content_module._chunks_of, scanner_module._fill

    def chunks_with_change(raw):
        for chunk in chunks(raw):
            meddle(raw._file)
            yield chunk

    def fill_with_change(file, digest, room):
        filled = fill(file, digest, room)
        meddle(file)
        return filled

    monkeypatch.setattr(content_module, "_chunks_of", chunks_with_change)
    monkeypatch.setattr(scanner_module, "_fill", fill_with_change)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".csv.zst"])
def test_a_file_that_grows_while_it_is_read_waits_for_the_next_run(data_dir, monkeypatch, suffix):
    case = next(case for case in CASES if case.suffix == suffix and not case.reason)
    put(data_dir, case, GOOD)
    path = data_dir / case.file_name

    def grow():
        with path.open("ab") as file:
            file.write(case.content if suffix != ".csv" else case.content.partition(b"\n")[2])

    with monkeypatch.context() as patch:
        meddled(patch, case.file_name, grow)
        assert exit_code() == 1
    batch = Batch.objects.get(name=case.file_name)
    assert (batch.status, batch.reason, batch.retry) == ("failed", "changed while it was read", True)
    assert_tables_hold({GOOD.file_name: list(GOOD.flows)})
    # Two packed files one after the other are one, whose middle line is a header.
    assert exit_code() == 0
    assert_tables_hold({GOOD.file_name: list(GOOD.flows), case.file_name: [*case.flows, *case.flows]})


@pytest.mark.parametrize("content", [PLAIN, PLAIN + b"x\n"], ids=["clean", "with a bad row"])
def test_a_file_that_vanishes_while_it_is_read_fails_alone(data_dir, monkeypatch, content):
    path = data_dir / "ipflow_data.fleeting.csv"
    path.write_bytes(content)
    put(data_dir, GOOD)
    meddled(monkeypatch, path.name, path.unlink)
    assert exit_code() == 1
    assert Batch.objects.get(name=path.name).reason == "vanished while it was read"
    assert_tables_hold({GOOD.file_name: list(GOOD.flows)})
    assert exit_code() == 0


def test_a_file_that_vanishes_before_it_is_read_fails_alone(data_dir, monkeypatch):
    path = data_dir / "ipflow_data.a.csv"
    other = data_dir / "ipflow_data.b.csv"
    for each in (path, other):
        each.write_bytes(PLAIN)
    plan = pipeline.plan

    def plan_and_unlink(*arguments):
        planned = plan(*arguments)
        other.unlink()
        return planned

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "plan", plan_and_unlink)
        assert exit_code() == 1
    assert Batch.objects.get(name=other.name).reason == "vanished before it was read"
    assert_tables_hold({path.name: FLOWS})


# Runs a command from a small process, and writes its peak memory: Linux counts that of the process which starts it too.
MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""


def command(folder: Path, *prefix: str) -> tuple[int, str, int]:
    """Runs the command as a process on the folder's own database: exit code, output and peak memory in KiB."""
    environment = os.environ | {
        "DATABASE_URL": migrated_database(folder),
        "DATA_DIR": str(folder / "data"),
        "LAKE_DIR": str(folder / "lake"),
    }
    manage = [sys.executable, "manage.py"]
    measured = [sys.executable, "-c", MEASURED, folder / "peak", *prefix, *manage, "update_network_stats"]
    with (folder / "out").open("wb") as out:
        process = subprocess.run(
            measured, stdout=out, stderr=out, cwd=django_settings.BASE_DIR, env=environment, check=False
        )
    return process.returncode, (folder / "out").read_text(), int((folder / "peak").read_text())


# Root without these rights is refused what anyone else would be.
WITHOUT_OVERRIDE = [
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
]


# A database can be copied outside a transaction only.
@pytest.mark.django_db(transaction=True)
def test_a_file_without_permission_fails_for_now_and_others_go_in(data_dir, tmp_path):
    put(data_dir, GOOD)
    path = data_dir / "ipflow_data.secret.csv"
    path.write_bytes(PLAIN)
    path.chmod(0)
    code, out, _ = command(tmp_path, *(WITHOUT_OVERRIDE if os.geteuid() == 0 else []))
    assert code == 1
    assert "failed ipflow_data.secret.csv: cannot be opened: Permission denied" in out
    assert "1 files ingested, 1 failed, 2 records, 0 rejects" in out
    path.chmod(0o644)
    code, out, _ = command(tmp_path)
    assert (code, "1 files ingested, 0 failed, 3 records, 0 rejects" in out) == (0, True)


MIB = 2**20
HEADED = text()
PACKED_TOO_TIGHTLY = "unpacks to more than 200 times its "
TOO_LONG = "has no header: its first line is longer than 1,048,576 bytes"


def gzipped(head: bytes, filling: bytes, mebibytes: int) -> Iterator[bytes]:
    packer = zlib.compressobj(level=1, wbits=31)
    yield packer.compress(head)
    for _ in range(mebibytes):
        yield packer.compress(filling * (MIB // len(filling)))
    yield packer.flush()


def zstandard_of(head: bytes, filling: bytes, mebibytes: int) -> Iterator[bytes]:
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    yield packer.compress(head)
    for _ in range(mebibytes):
        yield packer.compress(filling * (MIB // len(filling)))
    yield packer.flush()


def repeated(head: bytes, filling: bytes, times: int, tail: bytes = b"") -> Iterator[bytes]:
    yield head
    for _ in range(times):
        yield filling
    yield tail


LAST_ROW = b"\n" + FLOWS[0].line().encode() + b"\n"
ZEROS = b"0" * (MIB - 200)
# What files of gzip unpack to, in MiB, and the pairs of a good and a bad row, in thousands.
GZIP_MIB, PAIRS = times("GIANT_GZIP", 80, 200), times("GIANT_PAIRS", 40, 100)
# Each gives (lines, records, rejects), or the reason why it fails.
GIANTS = {
    "text-line.csv": (repeated(HEADED, b"x" * MIB, 100, LAST_ROW), (2, 1, 1)),
    "digits-line.csv": (repeated(HEADED, b"7" * MIB, 100, LAST_ROW), (2, 1, 1)),
    "line-without-end.csv": (repeated(HEADED + LAST_ROW, b"7," * (MIB // 2), 100), (2, 1, 1)),
    "first-line.csv": (repeated(b"", b"x" * MIB, 100), TOO_LONG),
    "long-good-lines.csv": (
        repeated(HEADED, FLOWS[0].line().encode().replace(b",901", b"," + ZEROS + b"901\n"), 50),
        (50, 50, 0),
    ),
    "long-bad-lines.csv": (
        repeated(HEADED + LAST_ROW * 100, FLOWS[0].line().encode().replace(b",901", b",9" + ZEROS + b"901\n"), 50),
        (150, 100, 50),
    ),
    "long-lines-of-text.csv": (repeated(HEADED + LAST_ROW * 100, b"x" * (MIB - 1) + b"\n", 50), (150, 100, 50)),
    "many-bad-rows.csv": (
        repeated(HEADED, (FLOWS[0].line() + "\n" + FLOWS[1].line() + "9" * 20 + "\n").encode() * 1000, PAIRS),
        (2000 * PAIRS, 1000 * PAIRS, 1000 * PAIRS),
    ),
    "nul.csv.gz": (gzipped(b"", b"\0", GZIP_MIB), "is not UTF-8 text: its first line holds NUL bytes"),
    "nul-after-the-header.csv.gz": (gzipped(HEADED + LAST_ROW, b"\0", GZIP_MIB), PACKED_TOO_TIGHTLY),
    "line-ends.csv.gz": (gzipped(HEADED + LAST_ROW, b"\n", GZIP_MIB), PACKED_TOO_TIGHTLY),
    "blank-lines.csv.gz": (gzipped(HEADED + LAST_ROW, b" \r\n\t\n\r\n\n", GZIP_MIB), (1, 1, 0)),
    "commas.csv.gz": (gzipped(HEADED + LAST_ROW, b",", GZIP_MIB), PACKED_TOO_TIGHTLY),
    "commas-in-the-header.csv.gz": (gzipped(HEADED[:-1], b",", GZIP_MIB), TOO_LONG),
    "digits.csv.zst": (zstandard_of(HEADED + LAST_ROW, b"0", 400), PACKED_TOO_TIGHTLY),
    "line-ends.csv.zst": (zstandard_of(HEADED + LAST_ROW, b"\n", 400), PACKED_TOO_TIGHTLY),
    "many-frames.csv.zst": (
        repeated(zstandard.compress(HEADED), zstandard.compress(b"") * 1000, 30, zstandard.compress(LAST_ROW)),
        (1, 1, 0),
    ),
    "many-members.csv.gz": (
        # The row twice: the same content as that of another file would be its duplicate.
        repeated(gzip.compress(HEADED), gzip.compress(b"") * 1000, 30, gzip.compress(LAST_ROW * 2)),
        (2, 2, 0),
    ),
}


# A database can be copied outside a transaction only.
@pytest.mark.django_db(transaction=True)
def test_giants_and_bombs_stay_within_a_gigabyte(data_dir, tmp_path):
    for name, (parts, _) in GIANTS.items():
        with (data_dir / f"ipflow_data.{name}").open("wb") as file:
            file.writelines(parts)
    code, out, peak_kib = command(tmp_path)
    assert code == 1
    outcomes = dict(line.split(": ", 1) for line in out.splitlines() if line.startswith(("ingested ", "failed ")))
    expected_lines = {
        f"{'failed' if isinstance(result, str) else 'ingested'} ipflow_data.{name}": (
            result if isinstance(result, str) else f"{result[1]:,} records, {result[2]:,} rejects, 1 intervals"
        )
        for name, (_, result) in GIANTS.items()
    }
    # How many bytes the tight ones take is the packer's business.
    outcomes = {
        name: PACKED_TOO_TIGHTLY if text.startswith(PACKED_TOO_TIGHTLY) else text for name, text in outcomes.items()
    }
    assert outcomes == expected_lines
    assert peak_kib < MIB
