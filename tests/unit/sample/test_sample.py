"""Sample data is valid, believable and the same for the same seed; what single feeds are like is tested by feed."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from kpis.catalog.feeds import BadRow, moment_of
from kpis.catalog.file_names import feed_of
from kpis.catalog.intervals import FIVE_MINUTES
from kpis.catalog.registry import FEEDS
from kpis.formats.file_formats import row_format_of
from kpis.formats.judge import judge
from kpis.formats.lines import Line
from kpis.sample import SAMPLES, make_files

EVENING = datetime(2021, 7, 18, 19, 0, tzinfo=UTC)
START = "2021-07-18T19:00:00Z"

every_feed = pytest.mark.parametrize("feed", sorted(FEEDS))
# An interval's rows depend on the seed and its own time alone, except for those who wander.
without_memory = pytest.mark.parametrize("feed", sorted(set(FEEDS) - {"ipflow"}))


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def make(feed: str, folder: Path, start: datetime = EVENING, intervals=1, rows=500, seed=3, files=1) -> list[Path]:
    return list(make_files(SAMPLES[feed], folder, start, intervals, rows, seed, files))


def rows_of(folder: Path) -> list[dict[str, int]]:
    rows = []
    for path in sorted(folder.iterdir()):
        with path.open(newline="") as file:
            rows += [{name: int(text) for name, text in row.items()} for row in csv.DictReader(file)]
    return rows


def data_lines(path: Path) -> list[str]:
    """A file's lines without its header, where it has one."""
    lines = path.read_text().splitlines()
    return lines if path.suffix == ".jsonl" else lines[1:]


@pytest.fixture
def evening(tmp_path):
    """Six intervals of 20,000 IP flows in the busiest hour, as rows in the files' order."""
    make("ipflow", tmp_path, intervals=6, rows=20_000)
    return rows_of(tmp_path)


def test_there_is_a_sample_of_every_feed():
    assert {name: sample.feed for name, sample in SAMPLES.items()} == FEEDS


@every_feed
def test_the_same_seed_gives_the_same_bytes(tmp_path, feed):
    for folder in "first", "second":
        make(feed, tmp_path / folder, intervals=2)
    assert digests(tmp_path / "first") == digests(tmp_path / "second")


@pytest.mark.parametrize(
    ("feed", "name", "digest"),
    [
        (
            "ipflow",
            "ipflow_data.ts-1626635100000.1.csv",
            "55ab9223920aba20a77f7a6b227c0075160201eb79af4ec348b167e1b1198707",
        ),
        (
            "antenna",
            "antenna_data.2021-07-18T1900.jsonl",
            "6ab0b4023504a06e81cf0bb7c3935d954a356837684275ab6e4c2245ce8a5ad0",
        ),
        (
            "coverage",
            "coverage_data.2021-07-18.229.csv",
            "49fc26d19ca35675d026982783f745d7f2e3a5b12546914fa9f36aff82263702",
        ),
        (
            "cdr",
            "cdr_data.2021-07-18T1900.csv",
            "4e856ad08d275e40921216f927375b8e2fafea8d2a2ea3a9c62ff8745fadb7af",
        ),
    ],
)
def test_the_bytes_stay_the_same_from_release_to_release(tmp_path, feed, name, digest):
    make(feed, tmp_path, rows=1000)
    assert digests(tmp_path) == {name: digest}


@every_feed
def test_another_seed_gives_other_bytes(tmp_path, feed):
    for seed in 3, 4:
        make(feed, tmp_path / str(seed), seed=seed)
    assert digests(tmp_path / "3") != digests(tmp_path / "4")


@every_feed
def test_an_interval_does_not_depend_on_how_many_follow(tmp_path, feed):
    for intervals in 1, 3:
        make(feed, tmp_path / str(intervals), intervals=intervals)
    assert digests(tmp_path / "1").items() < digests(tmp_path / "3").items()


@without_memory
def test_an_interval_does_not_depend_on_how_many_came_before(tmp_path, feed):
    make(feed, tmp_path / "all", intervals=3)
    make(feed, tmp_path / "last", start=EVENING + timedelta(minutes=10))
    assert digests(tmp_path / "last").items() < digests(tmp_path / "all").items()


@every_feed
def test_no_two_intervals_are_alike(tmp_path, feed):
    first, second = make(feed, tmp_path, intervals=2)
    assert not set(data_lines(first)) & set(data_lines(second))
    bare = [[line.split(",")[2:5] for line in data_lines(path)] for path in (first, second)]
    assert bare[0] != bare[1]


@pytest.mark.parametrize(
    ("feed", "names"),
    [
        ("ipflow", [f"ipflow_data.ts-1626635100000.{number}.csv" for number in (1, 2, 3)]),
        ("antenna", [f"antenna_data.2021-07-18T1900.{number}.jsonl" for number in (1, 2, 3)]),
        ("coverage", [f"coverage_data.2021-07-18.{number}.csv" for number in (685, 686, 687)]),
        ("cdr", [f"cdr_data.2021-07-18T1900.{number}.csv" for number in (1, 2, 3)]),
    ],
)
def test_files_of_an_interval_share_its_rows(tmp_path, feed, names):
    (one,) = make(feed, tmp_path / "one", rows=1000)
    three = make(feed, tmp_path / "three", rows=1000, files=3)
    assert [path.name for path in three] == names
    assert [line for path in three for line in data_lines(path)] == data_lines(one)


@every_feed
def test_files_of_intervals_that_follow_each_other_have_names_of_their_own(tmp_path, feed):
    made = make(feed, tmp_path, start=EVENING.replace(hour=23, minute=50), intervals=4, rows=10, files=2)
    assert len({path.name for path in made}) == 8


@every_feed
def test_every_row_is_a_record_of_its_file_s_interval(tmp_path, feed):
    for number, path in enumerate(make(feed, tmp_path, intervals=3, rows=3000)):
        assert feed_of(path.name) is FEEDS[feed]
        first_line, *_ = lines = path.read_bytes().splitlines()
        day = FEEDS[feed].date_in(path.name)
        row_format = row_format_of(FEEDS[feed], first_line, {"date": day} if day else {})
        assert row_format.has_header == (feed != "antenna")
        start = EVENING + number * timedelta(minutes=5)
        for line_number, content in enumerate(lines[row_format.has_header :], 1 + row_format.has_header):
            record = judge(row_format, Line(line_number, content))
            assert FIVE_MINUTES.floor(moment_of(FEEDS[feed], record)) == start


@every_feed
def test_rows_come_in_the_order_of_their_time(tmp_path, feed):
    (path,) = make(feed, tmp_path)
    moments = [line.split(",")[{"cdr": 3}.get(feed, 0)] for line in data_lines(path)]
    assert moments == sorted(moments)


@every_feed
def test_a_single_row_is_a_file_too(tmp_path, feed):
    (path,) = make(feed, tmp_path, rows=1)
    assert len(data_lines(path)) == 1


@pytest.mark.parametrize(
    ("feed", "night", "evening"), [("ipflow", 3, 19), ("antenna", 12, 4), ("coverage", 12, 4), ("cdr", 12, 4)]
)
def test_the_night_is_quieter_than_the_evening(tmp_path, feed, night, evening):
    rows = {}
    for hour in night, evening:
        (path,) = make(feed, tmp_path, start=EVENING.replace(hour=hour), rows=1000)
        rows[hour] = len(data_lines(path))
    assert rows == {night: 100, evening: 1000}


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


@every_feed
def test_the_first_and_the_last_interval_that_can_be(tmp_path, feed):
    for start in "1970-01-01T00:00:00Z", "9999-12-30T23:55:00Z":
        call_command("make_sample_data", tmp_path, feed=feed, start=start, intervals=1, rows=10, verbosity=0)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_command_names_each_file_on_request(tmp_path, capsys):
    call_command("make_sample_data", tmp_path, feed="cdr", start=START, intervals=1, rows=10, verbosity=2)
    assert capsys.readouterr().out.startswith(f"{tmp_path}/cdr_data.2021-07-18T1900.csv\n1 files, ")


def test_the_command_also_writes_the_subscribers_and_says_how_many(tmp_path, capsys):
    path = tmp_path / "subscribers.csv"
    folder = tmp_path / "files"
    call_command(
        "make_sample_data",
        folder,
        "--feed=antenna",
        f"--start={START}",
        "--intervals=1",
        "--rows=500",
        f"--subscribers={path}",
    )
    count = len(path.read_text().splitlines()) - 1
    assert capsys.readouterr().out.endswith(f" bytes in {folder}\n{count:,} subscribers in {path}\n")


def test_a_file_of_subscribers_that_cannot_be_written_is_reported(tmp_path):
    path = tmp_path / "nowhere" / "subscribers.csv"
    with pytest.raises(CommandError, match=r"^Cannot write to .*/nowhere/subscribers\.csv: No such file or directory"):
        call_command("make_sample_data", tmp_path, feed="antenna", start=START, rows=10, subscribers=path)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("feed", "smoke", "--feed must be one of ipflow, antenna, coverage, cdr, pm, not 'smoke'."),
        ("start", "yesterday", "--start must be like 2021-07-18T00:00:00Z, not 'yesterday'."),
        (
            "start",
            "2021-07-18T19:01:00Z",
            "--start must be aligned to 5 minutes: 2021-07-18T19:01:00Z is not.",
        ),
        ("start", "1969-12-31T23:55:00Z", "--start must not be before 1970."),
        ("start", "9999-12-30T23:05:00Z", "The intervals would go beyond 9999-12-30."),
        ("intervals", 10**18, "The intervals would go beyond 9999-12-30."),
        ("intervals", 0, "--intervals must be at least 1, not 0."),
        ("rows", 0, "--rows must be at least 1, not 0."),
        ("files", 0, "--files must be at least 1, not 0."),
        ("seed", -1, "--seed must be at least 0, not -1."),
        ("subscribers", Path("subscribers.csv"), "--subscribers goes with --feed antenna, not with ipflow."),
    ],
)
def test_wrong_use_is_reported_and_makes_nothing(tmp_path, option, value, message):
    options = {"feed": "ipflow", "start": START, option: value}
    with pytest.raises(CommandError) as error:
        call_command("make_sample_data", tmp_path, **options)
    assert str(error.value) == message
    assert error.value.returncode == 2
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=r"^Cannot write to .*/file/folder: Not a directory\.$"):
        call_command("make_sample_data", tmp_path / "file" / "folder", feed="ipflow", start=START)


@every_feed
def test_so_many_rows_are_wrong_as_asked_for_and_the_others_are_as_without(tmp_path, feed):
    (clean,) = make(feed, tmp_path / "clean", rows=5000)
    (path,) = make_files(SAMPLES[feed], tmp_path / "bad", EVENING, 1, 5000, 3, 1, 200)
    pairs = list(zip(data_lines(path), data_lines(clean), strict=True))
    bad = [line for line, before in pairs if line != before]
    # 2% of 5,000 by chance, and two thirds more or less of that are a long way off.
    assert 60 < len(bad) < 140
    first_line = path.read_bytes().splitlines()[0]
    day = FEEDS[feed].date_in(path.name)
    row_format = row_format_of(FEEDS[feed], first_line, {"date": day} if day else {})
    for line in bad:
        with pytest.raises(BadRow):
            judge(row_format, Line(2, line.encode()))
