"""``repair_lake``: from any damage to exact or incomplete with the reason, in one call; a second finds nothing."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from kpis.models import DueRollup, IntervalSummary, LakeFile, LostFile, Run
from tests.twin import Flow, Message, expected, file_text, moment, stored

pytestmark = pytest.mark.django_db(transaction=True)

START = 1626566400  # 2021-07-18T00:00:00Z
HOUR = 3600
FILES = {
    "ipflow_data.a.csv": [
        Flow(START, 1, 100, 10, service=1, cell=7),
        Flow(START + 300, 2, 5, 5, service=2, cell=8),
        Flow(START + HOUR, 3, 1, 0, service=3, cell=7),
    ],
    "ipflow_data.b.csv": [Flow(START, 2, 100, 10, service=2, cell=7), Flow(START + 300, 2, 7, 0, service=1, cell=8)],
    "antenna_data.a.jsonl": [
        Message(START + 1, device=4, antenna=1, bytes=40, app="SKYPE"),
        Message(START + HOUR, device=4, antenna=2, bytes=3, app="TELEGRAM"),
    ],
    "antenna_data.b.jsonl": [Message(START + 301, device=4, antenna=1, bytes=20, app="SKYPE")],
}
# Two hours have closed; of the third nothing is looked at.
LAST = {
    "ipflow_data.z.csv": [Flow(START + 2 * HOUR, 1, 1, 1, service=1, cell=7)],
    "antenna_data.z.jsonl": [Message(START + 2 * HOUR, device=4, antenna=1, bytes=1, app="SKYPE")],
}
WATERMARK = START + 2 * HOUR + 300


def update(**options) -> str:
    out = io.StringIO()
    call_command("update_network_stats", stdout=out, stderr=out, **options)
    return out.getvalue()


def repair(**options) -> str:
    out = io.StringIO()
    call_command("repair_lake", stdout=out, stderr=out, **options)
    return out.getvalue()


def rebuilt() -> tuple[dict, dict]:
    """The tables after all of them were computed again from the lake, which raises where that fails."""
    update(rebuild=(moment(START), moment(START + 3 * HOUR)))
    return stored()


@pytest.fixture
def lake(data_dir, lake_dir, settings) -> Path:
    """A lake with two closed and compacted hours of two feeds, records of one and rejects of the other."""
    # Some lake files are of one batch, some of two.
    settings.GROUP_FILES = 2
    for name, records in (FILES | LAST).items():
        (data_dir / name).write_text(file_text(records))
    with (data_dir / "ipflow_data.a.csv").open("a") as file:
        file.write("".join(f"{START * 1000},{START * 1000 + 300000},x{number},1,1,1,1\n" for number in range(2)))
    update()
    update()
    assert stored() == EXACT
    return lake_dir


EXACT = expected(FILES | LAST, WATERMARK)


def files_of(lake: Path, pattern: str) -> list[Path]:
    found = sorted(lake.glob(pattern))
    assert found, pattern
    return found


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def one_partial_lost(lake: Path) -> None:
    files_of(lake, "partials/ServiceTrafficVolume/**/hour=02/*.parquet")[0].unlink()


def all_of_an_hour_lost(lake: Path) -> None:
    for path in files_of(lake, "partials/*/**/hour=00/*.parquet"):
        path.unlink()


def compacted_file_damaged(lake: Path) -> None:
    for path in files_of(lake, "partials/*/**/hour=00/compacted-*.parquet"):
        flip(path)


def file_cut(lake: Path) -> None:
    for path in files_of(lake, "partials/AppTrafficVolume/**/*.parquet"):
        path.write_bytes(path.read_bytes()[:-20])


def two_files_swapped(lake: Path) -> None:
    one, other, *_ = files_of(lake, "partials/CellUniqueUsers/**/*.parquet")
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def rejects_and_records_lost(lake: Path) -> None:
    shutil.rmtree(lake / "rejects")
    shutil.rmtree(lake / "records")


def whole_lake_lost(lake: Path) -> None:
    shutil.rmtree(lake)


def identity_damaged(lake: Path) -> None:
    (lake / "lake.json").write_text("{}")


def identity_is_no_text(lake: Path) -> None:
    (lake / "lake.json").write_bytes(b'{"lake": "\xb7"}')


VIEWS = ("SELECT count(*), sum(line) FROM rejects", "SELECT count(*), sum(bytes) FROM antenna")
DAMAGES: list[Callable[[Path], None]] = [
    one_partial_lost,
    all_of_an_hour_lost,
    compacted_file_damaged,
    file_cut,
    two_files_swapped,
    rejects_and_records_lost,
    whole_lake_lost,
    identity_damaged,
    identity_is_no_text,
]


@pytest.mark.sqlite_alone
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_repair_makes_the_lake_again_from_the_source_files(lake, damage):
    views = [query(sql) for sql in VIEWS]
    damage(lake)
    with pytest.raises(SystemExit, match="1"):
        repair(dry_run=True)
    printed = repair()
    assert " 0 lost" in printed, printed
    assert stored() == EXACT
    assert rebuilt() == EXACT
    assert "0 findings" in repair()
    assert [
        query("SELECT count(*), sum(line) FROM rejects"),
        query("SELECT count(*), sum(bytes) FROM antenna"),
    ] == views
    assert update().startswith("0 files ingested, 0 failed")


def query(sql: str) -> list:
    out = io.StringIO()
    call_command("query_lake", sql, format="json", stdout=out)
    return json.loads(out.getvalue())


def test_nothing_is_found_in_a_lake_that_is_whole(lake):
    before = {path: path.stat().st_mtime_ns for path in lake.rglob("*")}
    assert "0 findings, 0 lost; nothing was changed" in repair(dry_run=True)
    assert "0 findings, 0 lost" in repair()
    assert {path: path.stat().st_mtime_ns for path in lake.rglob("*")} == before


def test_a_dry_run_says_what_is_wrong_and_changes_nothing(lake):
    one_partial_lost(lake)
    (lake / "partials" / "ServiceTrafficVolume" / "orphan.parquet").write_text("x")
    before = {path: path.stat().st_mtime_ns for path in lake.rglob("*")}
    rows, runs = list(LakeFile.objects.values_list()), Run.objects.count()
    out = io.StringIO()
    with pytest.raises(SystemExit, match="1"):
        call_command("repair_lake", dry_run=True, stdout=out, stderr=out)
    printed = out.getvalue()
    assert ".parquet is missing" in printed
    assert "partials of ServiceTrafficVolume of 2021-07-18T02:00:00Z: would be rebuilt from its source file" in printed
    assert "1 files that nothing refers to: would be removed" in printed
    assert {path: path.stat().st_mtime_ns for path in lake.rglob("*")} == before
    assert (list(LakeFile.objects.values_list()), Run.objects.count()) == (rows, runs)


@pytest.mark.sqlite_alone
@pytest.mark.parametrize("damage", [all_of_an_hour_lost, compacted_file_damaged, file_cut])
def test_without_source_files_archived_records_serve(lake, data_dir, damage):
    for path in data_dir.iterdir():
        path.unlink()
    damage(lake)
    repair()
    assert not LostFile.objects.filter(batch__feed="antenna").exists()
    antenna = {3, 4, 5}
    tables, summaries = stored()
    assert tables == EXACT[0]
    assert {key: one for key, one in summaries.items() if key[0] in antenna} == {
        key: one for key, one in EXACT[1].items() if key[0] in antenna
    }


def test_what_is_lost_for_good_is_incomplete_with_the_reason_and_stops_no_run(lake, data_dir, client):
    all_of_an_hour_lost(lake)
    shutil.rmtree(lake / "records")
    sources = {path: path.read_bytes() for path in data_dir.iterdir()}
    for path in sources:
        path.unlink()
    printed = repair()
    assert (
        "ipflow_data.a.csv, partials of ServiceTrafficVolume, CellUniqueUsers of 2021-07-18T00:00:00Z: lost" in printed
    )
    # The figures are those of before, and say so.
    tables, summaries = stored()
    assert tables == EXACT[0]
    incomplete = {key for key, one in summaries.items() if one[-1] == "incomplete"}
    lost_kpis = {1, 2, 3, 4, 5, 6}
    hour = moment(START), moment(START + HOUR)
    assert incomplete == {key for key in EXACT[1] if key[0] in lost_kpis and hour[0] <= key[2] < hour[1]}
    reason = IntervalSummary.objects.get(kpi=1, interval=2, interval_start_timestamp=hour[0]).reason
    assert reason == (
        "Cannot be computed again: the lake has lost what it had of ipflow_data.a.csv, and neither its source nor its "
        "records are there."
    )
    [one] = [
        one
        for one in client.get("/api/intervals/", {"kpi": 1, "interval": 2}).json()
        if one["interval_start_timestamp"] == "2021-07-18T00:00:00Z"
    ]
    assert one["state"] == "incomplete"
    # Runs go on, also over what is lost; a second repair finds nothing.
    assert "0 findings, 0 lost" in repair()
    update(rebuild=(moment(START), moment(START + 3 * HOUR)))
    (data_dir / "ipflow_data.late.csv").write_text(file_text([Flow(START, 9, 1000, 0, service=9, cell=9)]))
    assert update().splitlines()[-1].startswith("1 files ingested, 0 failed")
    tables, summaries = stored()
    assert {key: rows for key, rows in tables.items() if key[0] in lost_kpis and key[2] < hour[1]} == {
        key: rows for key, rows in EXACT[0].items() if key[0] in lost_kpis and key[2] < hour[1]
    }
    assert summaries[1, 2, hour[0]][-1] == "incomplete"
    assert query("SELECT count(*) AS n FROM ServiceTrafficVolume WHERE hour = 0") == [{"n": 0}]
    # When the source files are back, all is exact again.
    for path, content in sources.items():
        path.write_bytes(content)
    assert " 0 lost" in repair()
    late = {"ipflow_data.late.csv": [Flow(START, 9, 1000, 0, service=9, cell=9)]}
    assert stored() == expected(FILES | LAST | late, WATERMARK) == rebuilt()
    assert not LostFile.objects.exists()
    assert not IntervalSummary.objects.exclude(reason="").exists()
    assert not DueRollup.objects.filter(interval_start_timestamp__lt=hour[1] + timedelta(hours=1)).exists()


def test_a_source_file_that_says_something_else_now_is_not_taken_for_what_was_lost(lake, data_dir):
    one_partial_lost(lake)
    name = "ipflow_data.z.csv"
    (data_dir / name).write_text(file_text([Flow(START + 2 * HOUR, 1, 500, 1, service=1, cell=7)]))
    assert "lost for good" in repair()
    assert stored()[0] == EXACT[0]
    assert not IntervalSummary.objects.filter(interval=2, interval_start_timestamp=moment(START + 2 * HOUR)).exists()
    # The next run takes it for what it is: another content of the batch.
    assert update().startswith(f"ingested {name}")
    wanted = expected(FILES | LAST | {name: [Flow(START + 2 * HOUR, 1, 500, 1, service=1, cell=7)]}, WATERMARK)
    assert stored() == wanted
    assert not LostFile.objects.exists()


def test_another_databases_lake_is_not_repaired(lake):
    fields = json.loads((lake / "lake.json").read_text())
    fields["database"] = fields["lake"]
    (lake / "lake.json").write_text(json.dumps(fields))
    for dry_run in (True, False):
        with pytest.raises(CommandError, match="belongs to another database"):
            repair(dry_run=dry_run)


def test_a_run_says_which_step_mends_and_that_step_does(lake):
    one_partial_lost(lake)
    out = io.StringIO()
    with pytest.raises(SystemExit, match="1"):
        call_command("update_network_stats", rebuild=(moment(START), moment(START + 3 * HOUR)), stdout=out, stderr=out)
    assert "Run manage.py repair_lake" in out.getvalue()
    repair()
    assert update().startswith("0 files ingested, 0 failed")
    assert stored() == EXACT


def test_an_hour_that_closes_after_a_part_of_it_was_lost_is_incomplete_and_not_left_out(lake, data_dir):
    one_partial_lost(lake)
    (data_dir / "ipflow_data.z.csv").unlink()
    repair()
    (data_dir / "ipflow_data.y.csv").write_text(
        file_text([Flow(START + 3 * HOUR - 300, 1, 7, 0, service=1, cell=7), Flow(START + 3 * HOUR, 1, 1, 1, 1, 7)])
    )
    assert update().splitlines()[-1].startswith("1 files ingested, 0 failed")
    hour = IntervalSummary.objects.get(kpi=1, interval=2, interval_start_timestamp=moment(START + 2 * HOUR))
    assert (hour.state, hour.total, hour.groups, hour.records) == ("incomplete", None, 0, 2)
    assert hour.reason.startswith("Cannot be computed: the lake has lost what it had of ipflow_data.z.csv")
    users = IntervalSummary.objects.get(kpi=2, interval=2, interval_start_timestamp=moment(START + 2 * HOUR))
    assert (users.state, users.total) == ("final", 1)
