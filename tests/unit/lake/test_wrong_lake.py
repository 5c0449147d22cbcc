"""A lake that is another database's, or is not there, is refused by every command, and nothing is written into it."""

from __future__ import annotations

import io
import json
import shutil
import uuid
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from kpis.health import doctor, state
from kpis.lake import read_identity
from kpis.models import Batch, LakeBinding, LakeFile, Watermark
from kpis.storage.folder import Folder
from kpis.store.binding import check_ids
from tests.twin import Flow, expected, file_text, moment, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_alone]

START = 1626566400  # 2021-07-18T00:00:00Z
HOUR = [moment(START), moment(START + 3600)]


def call(*arguments, **options) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=out, **options)
    return out.getvalue()


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def put(data_dir: Path, number: int) -> None:
    flows = [Flow(START + number * 300, number, 1, 2, 3, 4)]
    (data_dir / f"ipflow_data.{number}.csv").write_text(file_text(flows))


@pytest.fixture
def bound(data_dir, lake_dir):
    """A database and its lake with one file in, and another file to ingest."""
    put(data_dir, 1)
    assert "1 files ingested" in call("update_network_stats")
    put(data_dir, 2)
    return lake_dir


def unmounted(lake_dir: Path) -> str:
    shutil.rmtree(lake_dir)
    lake_dir.mkdir()
    return f"There is no lake at {lake_dir} "


def of_another_database(lake_dir: Path) -> str:
    fields = json.loads((lake_dir / "lake.json").read_text())
    (lake_dir / "lake.json").write_text(json.dumps(fields | {"database": str(uuid.uuid4())}))
    return rf"The lake at {lake_dir} \({fields['lake']}\) belongs to another database than"


def another_of_this_database(lake_dir: Path) -> str:
    fields = json.loads((lake_dir / "lake.json").read_text())
    other = str(uuid.uuid4())
    (lake_dir / "lake.json").write_text(json.dumps(fields | {"lake": other}))
    return f"The lake at {lake_dir} is {other}, but the database .* has the lake {fields['lake']}"


def without_its_name(lake_dir: Path) -> str:
    (lake_dir / "lake.json").write_text("{")
    return f"{lake_dir}/lake.json is damaged"


WAYS = {
    "update_network_stats": ["update_network_stats"],
    "rebuild": ["update_network_stats", "--rebuild", "2021-07-18T00:00", "2021-07-18T01:00"],
    "prune_lake": ["prune_lake", "--older-than=1d"],
    "prune_lake, dry run": ["prune_lake", "--older-than=1d", "--dry-run"],
    "prune": ["prune", "--older-than=1d", "--kind=lake"],
    "query_lake": ["query_lake", "SELECT count(*) FROM ServiceTrafficVolume"],
    "lake_ddl": ["lake_ddl", "--dialect=duckdb"],
}


@pytest.mark.parametrize("wrong", [unmounted, of_another_database, another_of_this_database, without_its_name])
def test_every_command_refuses_a_wrong_lake_names_it_and_writes_nothing(bound, wrong):
    said = wrong(bound)
    there, tables = files_below(bound), stored()
    for arguments in WAYS.values():
        with pytest.raises(CommandError, match=said) as raised:
            call(*arguments)
        assert raised.value.returncode == 1
        assert "repair_lake" in str(raised.value)
        assert files_below(bound) == there
        assert not (bound / "staging").exists() or not list((bound / "staging").iterdir())
    assert stored() == tables
    assert not state.current().lake
    assert doctor.lake().verdict is doctor.Verdict.MEND


def test_a_disk_that_is_mounted_again_is_gone_on_with(bound, data_dir, tmp_path):
    shutil.copytree(bound, tmp_path / "disk")
    unmounted(bound)
    with pytest.raises(CommandError):
        call("update_network_stats")
    shutil.rmtree(bound)
    shutil.copytree(tmp_path / "disk", bound)
    assert "1 files ingested, 0 failed" in call("update_network_stats")
    assert state.current().lake
    assert doctor.lake().verdict is not doctor.Verdict.MEND
    assert "3" in call("query_lake", "SELECT sum(total_bytes) // 2 FROM ServiceTrafficVolume", format="csv")


def test_a_new_database_and_a_new_lake_are_bound_by_the_first_run(lake_dir, data_dir):
    check_ids(Folder(lake_dir))
    assert "0" in call("query_lake", "SELECT count(*) FROM ServiceTrafficVolume", format="csv")
    assert not lake_dir.exists()
    call("update_network_stats")
    identity, binding = read_identity(Folder(lake_dir)), LakeBinding.objects.get()
    assert (identity.lake, identity.database) == (str(binding.lake_id), str(binding.database_id))
    check_ids(Folder(lake_dir))


def test_a_new_database_does_not_take_a_lake_from_another(bound):
    for model in (LakeFile, LakeBinding, Batch):
        model.objects.all().delete()
    with pytest.raises(CommandError, match="belongs to another database"):
        call("update_network_stats")


def test_a_binding_that_broke_off_is_ended_by_the_next_run(bound, data_dir):
    files = {
        "ipflow_data.1.csv": [Flow(START + 300, 1, 1, 2, 3, 4)],
        "ipflow_data.2.csv": [Flow(START + 600, 2, 1, 2, 3, 4)],
    }
    LakeBinding.objects.update(lake_id=None)
    LakeFile.objects.all().delete()
    for path in bound.rglob("*.parquet"):
        path.rename(path.with_name(f"{path.name.partition('.')[0]}.parquet"))
    assert "1 files ingested" in call("update_network_stats")
    call("update_network_stats", rebuild=HOUR)
    assert stored() == expected(files, START + 900)


def test_a_repair_ends_a_binding_that_broke_off_before_the_lake_had_it(data_dir, lake_dir):
    LakeBinding.objects.create(database_id=uuid.uuid4())
    lake_dir.mkdir()
    call("repair_lake")
    identity, binding = read_identity(Folder(lake_dir)), LakeBinding.objects.get()
    assert (identity.lake, identity.database) == (str(binding.lake_id), str(binding.database_id))
    put(data_dir, 1)
    assert "1 files ingested" in call("update_network_stats")


def test_a_database_of_0_1_0_without_its_lake_is_refused(bound):
    LakeBinding.objects.all().delete()
    LakeFile.objects.all().delete()
    shutil.rmtree(bound)
    with pytest.raises(CommandError, match=r"has none of the files that the database .* refers to.*repair_lake"):
        call("update_network_stats")
    assert not bound.exists()
    with pytest.raises(CommandError, match=r"is of version 0\.1\.0"):
        call("query_lake", "SELECT count(*) FROM ServiceTrafficVolume")


def test_a_database_restored_from_before_a_prune_learns_from_the_lake_what_is_gone(bound, data_dir):
    (data_dir / "ipflow_data.9.csv").write_text(file_text([Flow(START + 7200, 1, 1, 2, 3, 4)]))
    call("update_network_stats")
    before = list(LakeFile.objects.values())
    call("prune_lake", "--older-than=1d")
    assert read_identity(Folder(bound)).kept_from == {"ipflow": moment(START + 7200)}
    # The database as a dump of before has it.
    Watermark.objects.update(kept_from=None)
    LakeFile.objects.all().delete()
    LakeFile.objects.bulk_create(LakeFile(**row) for row in before)
    put(data_dir, 3)
    with pytest.raises(SystemExit):
        call("update_network_stats")
    assert "whose other records the lake no longer has" in Batch.objects.get(name="ipflow_data.3.csv").reason
    assert Watermark.objects.get().kept_from == moment(START + 7200)
    assert {file.interval_start_timestamp for file in LakeFile.objects.all()} == {moment(START + 7200)}


def test_another_bucket_is_refused_too(bucket, settings):
    bucket.put_object(Key="in/ipflow_data.1.csv", Body=file_text([Flow(START, 1, 1, 2, 3, 4)]).encode())
    call("update_network_stats")
    bucket.Object("lake/lake.json").delete()
    bucket.put_object(Key="in/ipflow_data.2.csv", Body=file_text([Flow(START, 2, 1, 2, 3, 4)]).encode())
    before = {found.key for found in bucket.objects.filter(Prefix="lake/")}
    for arguments in (WAYS["update_network_stats"], WAYS["query_lake"], WAYS["prune_lake"]):
        with pytest.raises(CommandError, match=f"There is no lake at {settings.LAKE_DIR} "):
            call(*arguments)
    assert {found.key for found in bucket.objects.filter(Prefix="lake/")} == before
    with pytest.raises(CommandError, match=f"There is no lake at {settings.LAKE_DIR} "):
        call("register_lake", "--catalog=glue", "--database=lake")
