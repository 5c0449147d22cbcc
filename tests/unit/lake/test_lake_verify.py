"""A lake file that a disk changed or lost is noticed when it is read, and never becomes part of a result."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from kpis.lake import read_identity
from kpis.models import Batch, LakeBinding, LakeFile
from kpis.storage.folder import Folder
from tests.copies import made_once
from tests.effort import times
from tests.twin import Flow, Message, expected, file_text, moment, stored

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("each_alone"),
    pytest.mark.sqlite_alone,
]

START = 1626566400  # 2021-07-18T00:00:00Z
HOUR = [moment(START), moment(START + 3600)]
FLIPS = times("FLIPS", 6, 200)


def update(**options) -> str:
    out = io.StringIO()
    call_command("update_network_stats", stdout=out, stderr=out, **options)
    return out.getvalue()


@pytest.fixture
def files(data_dir) -> dict[str, list]:
    """An hour of flows and the beginning of the next, so that it is closed, and messages that are archived."""
    files: dict[str, list] = {}
    for i in range(13):
        start = START + i * 300
        files[f"ipflow_data.{i:02}.csv"] = [Flow(start, 1 + i % 3, i, 7, i % 4, 5), Flow(start, 9, 1, 1, 2, 6)]
    files["antenna_data.1.jsonl"] = [Message(START, 1, 2, 30, "x"), Message(START + 3700, 2, 2, 30, "y")]
    for name, records in files.items():
        (data_dir / name).write_text(file_text(records))
    return files


@pytest.fixture
def figures(files, tmp_path):
    """The tables that are right, before and after."""
    made_once(__name__, tmp_path, update)
    right = stored()
    assert right == expected(files, {Flow: START + 13 * 300, Message: START + 3900})
    return right


def partials(lake_dir: Path, hour: int = 0) -> list[Path]:
    return sorted(lake_dir.glob(f"partials/[CS]e*/**/hour={hour:02}/*.parquet"))


def test_every_file_has_its_digest_in_its_name_and_a_row_in_the_ledger(figures, lake_dir):
    there = {path.relative_to(lake_dir): path for path in lake_dir.rglob("*.parquet")}
    rows = {Path(str(file)): file for file in LakeFile.objects.all()}
    assert rows.keys() == there.keys()
    assert {path.parts[0] for path in there} == {"partials", "records"}
    keys = set(Batch.objects.values_list("key", flat=True))
    for path, file in rows.items():
        assert path.name == f"{file.key}.{file.digest[:16]}.parquet"
        assert file.key in keys
        assert file.size == there[path].stat().st_size


def test_a_flipped_bit_is_reported_wherever_it_is_and_changes_no_figure(figures, lake_dir):
    chance = random.Random(4)  # noqa: S311
    for _ in range(FLIPS):
        path = chance.choice(partials(lake_dir))
        whole = path.read_bytes()
        place = chance.randrange(len(whole))
        flipped = bytes([whole[place] ^ 1 << chance.randrange(8)])
        path.write_bytes(whole[:place] + flipped + whole[place + 1 :])
        with pytest.raises((CommandError, SystemExit)):
            update(rebuild=HOUR)
        assert stored()[0] == figures[0], (path, place)
        path.write_bytes(whole)
    update(rebuild=HOUR)
    assert stored()[0] == figures[0]


def test_two_files_of_one_size_that_changed_places_are_reported(figures, lake_dir):
    by_size: dict[int, list[Path]] = {}
    for path in lake_dir.glob("partials/CellUniqueUsers/**/hour=00/*.parquet"):
        by_size.setdefault(path.stat().st_size, []).append(path)
    one, other = next(paths for paths in by_size.values() if len(paths) > 1)[:2]
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    with pytest.raises((CommandError, SystemExit)):
        update(rebuild=HOUR)
    assert stored()[0] == figures[0]


@pytest.mark.parametrize(("when", "is_noticed"), [("compaction", True), ("off", False)])
def test_a_compaction_reads_digests_unless_verification_is_off(figures, lake_dir, settings, when, is_noticed):
    settings.LAKE_VERIFY = when
    path = next(lake_dir.glob("partials/ServiceTrafficVolume/**/hour=00/*.parquet"))
    whole = path.read_bytes()
    # The writer's name, which is not read.
    place = max(whole.rfind(b"DuckDB"), whole.rfind(b"Network"))
    path.write_bytes(whole[:place] + whole[place : place + 1].lower() + whole[place + 1 :])
    update(rebuild=HOUR)
    if is_noticed:
        with pytest.raises((CommandError, SystemExit)):
            update()
    else:
        update()
        assert not path.exists()
    assert stored()[0] == figures[0]


def as_of_0_1_0(lake_dir: Path) -> None:
    """Makes the lake and its ledger what version 0.1.0 left of them."""
    for path in lake_dir.rglob("*.parquet"):
        path.rename(path.with_name(f"{path.name.partition('.')[0]}.parquet"))
    (lake_dir / "lake.json").unlink()
    LakeFile.objects.all().delete()
    LakeBinding.objects.all().delete()


@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_lake_of_0_1_0_is_taken_over_by_the_first_run(figures, lake_dir, data_dir, files, is_compacted):
    if is_compacted:
        update()
        assert partials(lake_dir)[0].name.startswith("compacted-")
    as_of_0_1_0(lake_dir)
    name = "ipflow_data.03.csv"
    files[name] = [Flow(START + 900, 4, 100, 0, 3, 8)]
    (data_dir / name).write_text(file_text(files[name]))
    assert "1 files ingested, 0 failed" in update()
    update()
    update(rebuild=HOUR)
    assert stored()[0] == expected(files, {Flow: START + 13 * 300, Message: START + 3900})[0]
    assert {str(file) for file in LakeFile.objects.all()} == {
        str(path.relative_to(lake_dir)) for path in lake_dir.rglob("*.parquet")
    }
    assert all(len(file.digest) == 64 for file in LakeFile.objects.all())
    assert str(LakeBinding.objects.get().lake_id) == read_identity(Folder(lake_dir)).lake


def test_of_two_files_of_0_1_0_with_the_same_batches_one_counts(figures, lake_dir):
    update()
    as_of_0_1_0(lake_dir)
    (path,) = lake_dir.glob("partials/CellUniqueUsers/**/hour=00/*.parquet")
    path.with_name("compacted-z.parquet").write_bytes(path.read_bytes())
    update()
    counted = LakeFile.objects.filter(folder=path.parent.relative_to(lake_dir))
    assert list(counted.values_list("name", flat=True)) == [path.name]
    update(rebuild=HOUR)
    assert stored()[0] == figures[0]


@pytest.mark.parametrize("noted", [False, True])
def test_a_compaction_of_0_1_0_that_broke_off_is_ended(figures, lake_dir, noted):
    as_of_0_1_0(lake_dir)
    staging = lake_dir / "staging" / "compacting-x"
    staging.mkdir(parents=True)
    path = next(lake_dir.glob("partials/CellUniqueUsers/**/hour=00/*.parquet"))
    new = path.with_name("compacted-x.parquet")
    new.write_bytes(b"half")
    (staging / "plan.json").write_text(f'["{new.relative_to(lake_dir)}"]')
    if noted:
        (staging / "superseded.json").write_text("[]")
    update()
    assert not staging.exists()
    assert new.exists() == noted
    update(rebuild=HOUR)
    assert stored()[0] == figures[0]
