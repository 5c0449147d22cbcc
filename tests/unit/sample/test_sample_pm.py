"""Sample measurement files are read without rejects, are the same for the same seed, and follow the day."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from kpis.sample import MAKERS
from tests.pm3gpp import rows_of

EVENING = datetime(2021, 7, 18, 4, 0, tzinfo=UTC)
NIGHT = EVENING.replace(hour=12)
COLUMNS = "cell counter value suspect end"


def make(folder: Path, start: datetime = EVENING, intervals=1, rows=400, seed=3, files=1, bad=0) -> list[Path]:
    return list(MAKERS["pm"].make(folder, start, intervals, rows, seed, files, bad))


def values_of(path: Path) -> list[list[str]]:
    """The cell, counter, value, suspect and end of each row, of which none is refused."""
    return [row.decode().split("\t") for row in rows_of(path.read_bytes(), COLUMNS)]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_bytes_stay_the_same_from_release_to_release(tmp_path):
    (path,) = make(tmp_path)
    assert path.name == "C20210718.0400+0000-0415+0000_1.xml"
    assert digest(path) == "9e096c6cd290e05416774d302e6bab7289b5fe42baff03897aec330df792bbc1"


def test_an_interval_depends_on_the_seed_and_its_own_time_alone(tmp_path):
    (one,) = make(tmp_path / "one")
    assert digest(make(tmp_path / "two", intervals=2)[0]) == digest(one)
    assert digest(make(tmp_path / "other", seed=4)[0]) != digest(one)


def test_a_file_has_the_counters_of_cells_of_two_technologies(tmp_path):
    (path,) = make(tmp_path)
    rows = values_of(path)
    assert {row[4] for row in rows} == {"2021-07-18T04:15:00Z"}
    counters = {cell: {row[1] for row in rows if row[0] == cell} for cell in sorted({row[0] for row in rows})}
    assert {cell.rpartition("/")[0] for cell in counters} == {"Sample/gnb1", "Sample/enb1"}
    assert (len(counters["Sample/gnb1/1"]), len(counters["Sample/enb1/1"])) == (18, 21)
    # 10 cells of each: 390 values.
    assert (len(counters), len(rows)) == (20, 390)


def test_no_more_succeed_than_are_tried(tmp_path):
    pairs = [("RRC.ConnEstabSucc.sum", "RRC.ConnEstabAtt.sum"), ("MM.HoExeInterSucc", "MM.HoPrepInterReq")]
    for path in make(tmp_path, intervals=4):
        values = {(cell, counter): int(value) for cell, counter, value, *_ in values_of(path)}
        for succeeded, tried in pairs:
            found = [(values[cell, succeeded], values[cell, tried]) for cell, name in values if name == succeeded]
            assert all(0 < one <= other for one, other in found)
            assert sum(one for one, _ in found) > 0.9 * sum(other for _, other in found)


def test_the_night_is_quieter_than_the_evening(tmp_path):
    tried = Counter()
    for start in EVENING, NIGHT:
        (path,) = make(tmp_path, start)
        tried[start] = sum(int(row[2]) for row in values_of(path) if row[1] == "RRC.ConnEstabAtt.sum")
    assert tried[NIGHT] < tried[EVENING] / 3


def test_a_day_has_some_values_that_are_suspect(tmp_path):
    rows = [row for path in make(tmp_path, intervals=96, rows=800) for row in values_of(path)]
    suspect = sum(row[3] == "true" for row in rows) / len(rows)
    assert 0.0005 < suspect < 0.005


def test_elements_have_files_of_their_own_and_share_the_values(tmp_path):
    paths = make(tmp_path, files=3)
    assert [path.name[-5] for path in paths] == ["1", "2", "3"]
    assert [len(values_of(path)) for path in paths] == [3 * 39] * 3


def test_so_many_values_are_wrong_as_asked_for(tmp_path):
    (path,) = make(tmp_path, rows=8000, bad=200)
    rows = values_of(path)
    wrong = sum(row[2] == "?" for row in rows)
    # 2% of 7,995 by chance.
    assert 100 < wrong < 230


def test_the_command_makes_them_and_wants_a_start_of_15_minutes(tmp_path):
    given = {"feed": "pm", "intervals": 2, "rows": 100, "verbosity": 0}
    call_command("make_sample_data", tmp_path, start="2021-07-18T00:00:00Z", **given)
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(CommandError, match="--start must be aligned to 15 minutes"):
        call_command("make_sample_data", tmp_path, start="2021-07-18T00:05:00Z", **given)
