"""Sample data is valid, believable and the same for the same seed."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from kpis.catalog.feeds import IPFLOW, feed_of
from kpis.sample import SAMPLES, make_files

EVENING = datetime(2021, 7, 18, 19, 0, tzinfo=UTC)
START = "2021-07-18T19:00:00Z"


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def rows_of(folder: Path) -> list[dict[str, int]]:
    rows = []
    for path in sorted(folder.iterdir()):
        with path.open(newline="") as file:
            rows += [{name: int(text) for name, text in row.items()} for row in csv.DictReader(file)]
    return rows


@pytest.fixture
def evening(tmp_path):
    """Six intervals of 20,000 rows in the busiest hour, as rows in the files' order."""
    list(make_files(SAMPLES["ipflow"], tmp_path, EVENING, intervals=6, rows=20_000, seed=3))
    return rows_of(tmp_path)


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for folder in "first", "second":
        list(make_files(SAMPLES["ipflow"], tmp_path / folder, EVENING, intervals=2, rows=500, seed=3))
    assert digests(tmp_path / "first") == digests(tmp_path / "second")


def test_the_bytes_stay_the_same_from_release_to_release(tmp_path):
    (path,) = make_files(SAMPLES["ipflow"], tmp_path, EVENING, intervals=1, rows=1000, seed=3)
    assert path.name == "ipflow_data.ts-1626635100000.1.csv"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == (
        "55ab9223920aba20a77f7a6b227c0075160201eb79af4ec348b167e1b1198707"
    )


def test_another_seed_gives_other_bytes(tmp_path):
    for seed in 3, 4:
        list(make_files(SAMPLES["ipflow"], tmp_path / str(seed), EVENING, intervals=1, rows=500, seed=seed))
    assert digests(tmp_path / "3") != digests(tmp_path / "4")


def test_an_interval_does_not_depend_on_how_many_follow(tmp_path):
    for intervals in 1, 3:
        list(make_files(SAMPLES["ipflow"], tmp_path / str(intervals), EVENING, intervals, rows=500, seed=3))
    assert digests(tmp_path / "1").items() < digests(tmp_path / "3").items()


def test_files_of_an_interval_share_its_rows(tmp_path):
    list(make_files(SAMPLES["ipflow"], tmp_path / "one", EVENING, intervals=1, rows=1000, seed=3))
    list(make_files(SAMPLES["ipflow"], tmp_path / "three", EVENING, intervals=1, rows=1000, seed=3, files=3))
    assert sorted(path.name for path in (tmp_path / "three").iterdir()) == [
        f"ipflow_data.ts-1626635100000.{number}.csv" for number in (1, 2, 3)
    ]
    assert rows_of(tmp_path / "three") == rows_of(tmp_path / "one")


def test_every_row_is_a_record_of_its_interval(tmp_path):
    paths = list(make_files(SAMPLES["ipflow"], tmp_path, EVENING, intervals=3, rows=2000, seed=3))
    for path in paths:
        assert feed_of(path.name) is IPFLOW
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                record = {column.name: column.type.parse(row.pop(column.name)) for column in IPFLOW.columns}
                assert not row
                assert all(check.holds(record) for check in IPFLOW.checks)
                end = record["interval_end_timestamp"]
                assert f".ts-{end}." in path.name


def test_a_few_services_have_most_of_the_bytes(evening):
    volumes = Counter()
    for row in evening:
        volumes[row["service_id"]] += row["bytes_uplink"] + row["bytes_downlink"]
    assert len(volumes) > 100
    heaviest = volumes.most_common(3)
    assert heaviest[0][0] == 1
    assert sum(volume for _, volume in heaviest) > 0.6 * volumes.total()


def test_video_comes_down_and_backups_go_up(evening):
    up, down = Counter(), Counter()
    for row in evening:
        up[row["service_id"]] += row["bytes_uplink"]
        down[row["service_id"]] += row["bytes_downlink"]
    assert up[1] < 0.05 * down[1]
    assert up[9] > down[9]


def test_some_cells_are_busy(evening):
    users = defaultdict(set)
    for row in evening:
        users[row["cell_id"]].add(row["msisdn"])
    sizes = sorted(map(len, users.values()), reverse=True)
    assert sizes[0] > 2 * sizes[len(sizes) // 2]


def test_users_move_between_cells_from_interval_to_interval(evening):
    cells = defaultdict(set)
    for row in evening:
        cells[row["msisdn"]].add(row["cell_id"])
    moved = sum(len(seen) > 1 for seen in cells.values()) / len(cells)
    assert 0.2 < moved < 0.8


def test_the_night_is_quieter_than_the_evening(tmp_path):
    lines = {}
    for hour in 3, 19:
        start = EVENING.replace(hour=hour)
        (path,) = make_files(SAMPLES["ipflow"], tmp_path, start, intervals=1, rows=1000, seed=3)
        lines[hour] = len(path.read_text().splitlines()) - 1
    assert lines == {3: 100, 19: 1000}


def test_the_command_makes_the_files_and_says_how_many(tmp_path, capsys):
    folder = tmp_path / "new" / "folder"
    call_command(
        "make_sample_data",
        folder,
        "--feed=ipflow",
        f"--start={START}",
        "--intervals=2",
        "--rows=100",
        "--seed=3",
    )
    assert sorted(path.name for path in folder.iterdir()) == [
        "ipflow_data.ts-1626635100000.1.csv",
        "ipflow_data.ts-1626635400000.1.csv",
    ]
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert capsys.readouterr().out == f"2 files, {size:,} bytes in {folder}\n"


def test_the_command_takes_a_start_in_another_zone(tmp_path):
    call_command(
        "make_sample_data",
        tmp_path,
        feed="ipflow",
        start="2021-07-18T21:00:00+02:00",
        intervals=1,
        verbosity=0,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["ipflow_data.ts-1626635100000.1.csv"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("feed", "smoke", "--feed must be one of ipflow, not 'smoke'."),
        ("start", "yesterday", "--start must be like 2021-07-18T00:00:00Z, not 'yesterday'."),
        (
            "start",
            "2021-07-18T19:01:00Z",
            "--start must be aligned to 5 minutes: 2021-07-18T19:01:00Z is not.",
        ),
        ("start", "9999-12-31T23:55:00Z", "The intervals would go beyond the year 9999."),
        ("intervals", 0, "--intervals must be at least 1, not 0."),
        ("rows", 0, "--rows must be at least 1, not 0."),
        ("files", 0, "--files must be at least 1, not 0."),
        ("seed", -1, "--seed must be at least 0, not -1."),
    ],
)
def test_wrong_use_is_told_and_makes_nothing(tmp_path, option, value, message):
    options = {"feed": "ipflow", "start": START, option: value}
    with pytest.raises(CommandError) as error:
        call_command("make_sample_data", tmp_path, **options)
    assert str(error.value) == message
    assert error.value.returncode == 2
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=r"^Cannot write to .*/file/folder: Not a directory\.$"):
        call_command("make_sample_data", tmp_path / "file" / "folder", feed="ipflow", start=START)
