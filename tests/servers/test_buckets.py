"""Files and a lake in an object store: what a folder gives, from objects that may change, vanish or break off."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from unittest.mock import patch

import pytest
import zstandard
from django.core.management import CommandError, call_command

from kpis import pipeline
from kpis.catalog.registry import KPIS
from kpis.health import doctor, state
from kpis.lake import Rows, Staging
from kpis.models import Batch
from kpis.sources.bucket import FoundObject
from kpis.sources.directory import SourceLost
from kpis.sources.places import decode_file, encode_file, found_in
from kpis.stages.memory_ledger import MemoryLedger
from kpis.storage import BucketAddress, address
from kpis.storage.bucket import PART_BYTES, SMALL_BYTES, client
from kpis.store.ledger import DatabaseLedger
from tests.deaths import Death, dying
from tests.property.test_histories import DEATHS
from tests.twin import Call, Flow, Message, expected, file_text, moment, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_alone]

START = 1626566400  # 2021-07-18T00:00:00Z
SECRET = "a-secret-key-that-is-nobody's-business"


def update(*args, **options) -> str:
    out = io.StringIO()
    with suppress(SystemExit):
        call_command("update_network_stats", *args, stdout=out, stderr=out, **options)
    return out.getvalue()


def output_of(query: str) -> str:
    out = io.StringIO()
    call_command("query_lake", query, "--format=csv", stdout=out)
    return out.getvalue()


def put(bucket, files: dict[str, list]) -> None:
    for name, records in files.items():
        text = file_text(records).encode()
        if name.endswith(".gz"):
            text = gzip.compress(text)
        if name.endswith(".zst"):
            text = zstandard.compress(text)
        bucket.put_object(Key=f"in/{name}", Body=text)


def call(second: int) -> Call:
    return Call(second, "Kern", "O2", "CALL")


def hour_of_flows(number: int, files: int = 12) -> dict[str, list[Flow]]:
    """An hour, from its first 5 minutes on, of one file each 5 minutes."""
    start = START + number * 3600
    return {
        f"ipflow_data.{number}-{i:02}.csv": [Flow(start + i * 300, 1 + i % 5, i, 9, i % 3, i % 4)] for i in range(files)
    }


def keys(bucket, prefix: str) -> list[str]:
    return [found.key for found in bucket.objects.filter(Prefix=prefix)]


QUERIES = (
    "FROM CellUniqueUsers_partials SELECT hour, cell_id, count(DISTINCT msisdn) GROUP BY ALL ORDER BY ALL",
    "FROM ServiceTrafficVolume SELECT hour_start, service_id, sum(total_bytes) GROUP BY ALL ORDER BY ALL",
    "FROM antenna SELECT hour, timestamp, bytes, app ORDER BY ALL",
    "FROM rejects SELECT file_name, line, reason, text ORDER BY ALL",
    "FROM batches SELECT name, status, lines, records ORDER BY ALL",
)


def test_a_bucket_gives_what_a_folder_gives(bucket, settings, tmp_path):
    files = {
        **hour_of_flows(0),
        "ipflow_data.packed.csv.gz": [Flow(START, 7, 100, 1, 2, 3), Flow(START + 3900, 7, 100, 1, 2, 3)],
        "antenna_data.1.jsonl.zst": [Message(START + 7, 1, 2, 30, "é"), Message(START + 3700, 1, 2, 5, "x")],
        "cdr_data.1.csv": [call(START + 61), call(START + 3 * 3600)],
    }
    put(bucket, files)
    bucket.put_object(Key="in/cdr_data.2.csv", Body=(file_text([call(START)]) + "rubbish\n").encode())
    bucket.put_object(Key="in/cdr_data.3.csv.part", Body=b"still being written")
    bucket.put_object(Key="in/further/cdr_data.4.csv", Body=file_text([call(START)]).encode())
    assert "16 files ingested, 0 failed" in update()
    watermarks = {Flow: START + 4200, Message: START + 3900, Call: START + 3 * 3600 + 60}
    now = expected(files | {"cdr_data.2.csv": [call(START)]}, watermarks)
    assert stored() == now
    answers = [output_of(query) for query in QUERIES]
    in_bucket = {str(PurePosixPath(key).relative_to("lake")) for key in keys(bucket, "lake/")} - {"lake.json"}

    data, lake = tmp_path / "data", tmp_path / "lake"
    data.mkdir()
    for key in keys(bucket, "in/"):
        if PurePosixPath(key).parent.name == "in":
            bucket.download_file(key, str(data / Path(key).name))
    options, ledger = pipeline.Options(archive_feeds=settings.ARCHIVE_FEEDS), MemoryLedger()
    with pipeline.engine(lake) as engine:
        assert len(list(pipeline.run(pipeline.plan(found_in(data), ledger, options), ledger, engine, options))) > 16
    assert {str(path.relative_to(lake)) for path in lake.rglob("*.parquet")} == in_bucket
    bucket.download_file("lake/lake.json", str(lake / "lake.json"))
    with patch.object(settings, "LAKE_DIR", lake):
        assert [output_of(query) for query in QUERIES] == answers

    assert "0 files ingested" in update()
    assert [output_of(query) for query in QUERIES] == answers
    update(rebuild=[moment(START), moment(START + 4 * 3600)])
    assert stored() == now


def test_what_an_object_holds_is_known_by_its_etag(bucket):
    files = {"ipflow_data.1.csv": [Flow(START, 1, 1, 1, 1, 1)]}
    put(bucket, files)
    update()
    (first,) = Batch.objects.all()
    put(bucket, files)
    assert "0 files ingested, 0 failed" in update()
    assert first.etag == bucket.Object("in/ipflow_data.1.csv").e_tag.strip('"')

    files["ipflow_data.1.csv"] = [Flow(START, 1, 2, 1, 1, 1)]
    put(bucket, files)
    assert "would ingest ipflow_data.1.csv (ipflow, changed" in update(dry_run=True)
    update()
    assert Batch.objects.get().revision == 2
    assert stored() == expected(files, START + 300)


def test_an_etag_that_says_nothing_of_the_content_costs_a_look_at_it_alone(bucket):
    put(bucket, {"ipflow_data.1.csv": [Flow(START, 1, 1, 1, 1, 1)]})
    update()
    Batch.objects.update(mark="another")
    assert "unchanged ipflow_data.1.csv" in update()
    assert Batch.objects.get().etag == bucket.Object("in/ipflow_data.1.csv").e_tag.strip('"')


def test_an_object_can_be_named(bucket):
    put(bucket, {"ipflow_data.1.csv": [Flow(START, 1, 1, 1, 1, 1)], "ipflow_data.2.csv": [Flow(START, 2, 1, 1, 1, 1)]})
    assert "1 files ingested" in update(f"s3://{bucket.name}/in/ipflow_data.2.csv")
    assert Batch.objects.get().name == "ipflow_data.2.csv"
    with pytest.raises(CommandError, match=f"Cannot read s3://{bucket.name}/in/ipflow_data.3.csv: Not Found") as raised:
        update(f"s3://{bucket.name}/in/ipflow_data.3.csv")
    assert raised.value.returncode == 2


def test_a_file_and_an_object_of_one_name_are_not_both_ingested(bucket, tmp_path):
    files = {"ipflow_data.1.csv": [Flow(START, 1, 1, 1, 1, 1)]}
    put(bucket, files)
    path = tmp_path / "ipflow_data.1.csv"
    path.write_text(file_text(files[path.name]))
    with pytest.raises(CommandError, match=r"^ipflow_data\.1\.csv: two files have this name") as raised:
        update(str(path), f"s3://{bucket.name}/in/ipflow_data.1.csv")
    assert raised.value.returncode == 2


def test_an_object_is_the_same_in_another_process(bucket, settings, tmp_path):
    put(bucket, {"ipflow_data.1.csv.gz": [Flow(START, 1, 1, 1, 1, 1)]})
    (found,) = found_in(settings.DATA_DIR)
    there = decode_file(json.loads(json.dumps(encode_file(found))), tmp_path)
    assert replace(there, path=found.path) == found
    assert (there.address, there.stored) == (f"s3://{bucket.name}/in/ipflow_data.1.csv.gz", found.stored)
    fetched = there.fetched(tmp_path)
    assert (fetched.path.parent, fetched.path.suffix, fetched.problem) == (tmp_path, ".gz", "")
    assert fetched.path.read_bytes() == bucket.Object("in/ipflow_data.1.csv.gz").get()["Body"].read()


def test_an_object_knows_what_lies_beside_it(bucket, cloud, settings):
    put(bucket, {f"ipflow_data.{number}.csv": [Flow(START, 1, number, 1, 1, 1)] for number in (1, 2)})
    found, _ = found_in(settings.DATA_DIR)
    assert [found.has_beside(f"ipflow_data.{number}.csv") for number in (1, 2, 3)] == [True, True, False]
    # Of a name that the ledger has in another form it is not known, so that nothing is taken for gone.
    assert found.has_beside("ipflow_data.\\xff.csv")
    with cloud.dropping(left=0), pytest.raises(SourceLost, match=re.escape(f"Cannot read s3://{bucket.name}/")):
        found.has_beside("ipflow_data.2.csv")


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """This process can write no file beyond a size, as on a full disk."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


def test_an_object_that_finds_no_room_has_a_problem_and_leaves_nothing(bucket, settings, tmp_path):
    bucket.put_object(Key="in/ipflow_data.1.csv", Body=b"x" * 5000)
    (found,) = found_in(settings.DATA_DIR)
    advice = "Make room there, or name another folder with TMPDIR."
    scratch = tmp_path / "scratch"
    problem = f"Cannot write temporary files to {scratch}: "
    assert found.fetched(scratch).problem == f"{problem}No such file or directory. {advice}"
    scratch.mkdir()
    with small_files(4000):
        assert found.fetched(scratch).problem == f"{problem}File too large. {advice}"
    assert list(scratch.iterdir()) == []


def test_a_listing_is_held_against_the_ledger_page_by_page(bucket):
    files = {f"ipflow_data.{number:02}.csv": [Flow(START, 1, number, 1, 1, 1)] for number in range(8)}
    put(bucket, {name: files[name] for name in sorted(files)[:6]})
    with patch.dict(os.environ, MOTO_S3_DEFAULT_MAX_KEYS="3"):
        assert "6 files ingested" in update()
        put(bucket, {name: files[name] for name in sorted(files)[6:]})
        asked = []
        known = pipeline.known_to(DatabaseLedger())
        found = found_in(
            address(f"s3://{bucket.name}/in"), known=lambda feed, some: [asked.append(len(some)), *known(feed, some)]
        )
    assert [file.name for file in found] == ["ipflow_data.06.csv", "ipflow_data.07.csv"]
    assert asked == [3, 3, 2]


def test_a_large_object_is_fetched_part_by_part_and_each_part_again_where_it_breaks_off(bucket, cloud, tmp_path):
    content = os.urandom(PART_BYTES * 2 + 1)
    bucket.put_object(Key="in/ipflow_data.1.csv", Body=content)
    (found,) = found_in(address(f"s3://{bucket.name}/in"))
    # The first request is dropped, whatever other tests have asked for before.
    cloud.faults.chance.seed(3)
    with cloud.dropping(0.4) as faults:
        fetched = found.fetched(tmp_path)
    assert fetched.path.read_bytes() == content
    assert sum(faults.dropped.values()) > 0
    fetched.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", ["changed", "vanished"])
def test_an_object_that_changes_while_it_is_read_is_ingested_by_the_next_run(bucket, change):
    put(bucket, {"ipflow_data.1.csv": [Flow(START, 1, 1, 1, 1, 1)]})
    other = {"ipflow_data.1.csv": [Flow(START, 2, 5, 5, 5, 5)]}
    fetched = FoundObject.fetched

    def late(self, scratch):
        if change == "changed":
            put(bucket, other)
        else:
            bucket.Object("in/ipflow_data.1.csv").delete()
        return fetched(self, scratch)

    with patch.object(FoundObject, "fetched", late):
        said = update()
    reason = {"changed": "changed while it was read", "vanished": "vanished before it was read"}[change]
    assert f"failed ipflow_data.1.csv: {reason}" in said
    put(bucket, other)
    assert "1 files ingested, 0 failed" in update()
    assert stored() == expected(other, START + 300)


@pytest.mark.usefixtures("each_alone")
@pytest.mark.parametrize("point", ["between lake and database", "after the commit", "before the lake has the batch"])
def test_what_a_broken_run_left_in_the_bucket_goes_with_the_next(bucket, point):
    files = hour_of_flows(0)
    put(bucket, files)
    with dying(*DEATHS[point], 1), pytest.raises(Death):
        update()
    # A file so large that it is put in parts, of which the last never came.
    half = client("s3").create_multipart_upload(Bucket=bucket.name, Key="lake/partials/half.parquet")
    client("s3").upload_part(
        Bucket=bucket.name,
        Key="lake/partials/half.parquet",
        UploadId=half["UploadId"],
        PartNumber=1,
        Body=b"half of it",
    )
    bucket.put_object(Key="lake/staging/left/plan.json", Body=b'["partials/never.parquet"]')
    update()
    assert stored() == expected(files, START + 3600)
    in_lake = [PurePosixPath(key) for key in keys(bucket, "lake/")]
    assert {path.parts[1] for path in in_lake} == {"lake.json", "partials"}
    assert {path.name.partition(".")[0] for path in in_lake if path.parts[1] == "partials"} == set(
        Batch.objects.values_list("key", flat=True)
    )
    assert "Uploads" not in client("s3").list_multipart_uploads(Bucket=bucket.name)


def test_nothing_counts_before_all_of_it_is_there(bucket, cloud):
    put(bucket, {"ipflow_data.1.csv": [Flow(START, 1, 1, 1, 1, 1)]})
    publish = Staging.publish

    def in_part(self, replaces):
        with cloud.dropping(left=2):
            return publish(self, replaces)

    with patch.object(Staging, "publish", in_part), pytest.raises(CommandError, match="Cannot use the lake at s3://"):
        update()
    there = [PurePosixPath(key).parts[1] for key in keys(bucket, "lake/")]
    assert there == ["lake.json", "partials", "staging"]
    assert output_of("FROM ServiceTrafficVolume SELECT count(*)").splitlines() == ["count_star()", "0"]
    assert not Batch.objects.exists()
    assert "1 files ingested" in update()
    assert len(keys(bucket, "lake/staging")) == 0


def test_large_files_of_the_lake_are_read_by_what_is_asked_for(bucket, tmp_path):
    kpi = KPIS[2]
    with pipeline.engine(address(f"s3://{bucket.name}/lake")) as engine:
        engine.connection.execute(
            "CREATE TABLE large AS SELECT make_timestamp(2021, 7, 18, 0, 0, 0) AS interval_start, "
            "(hash(i) >> 1)::BIGINT AS cell_id, (hash(-i) >> 1)::BIGINT AS msisdn FROM range(200_000) AS t(i)"
        )
        staging = engine.lake.stage("large")
        staging.add_partials(kpi, [Rows("SELECT *, 'large' AS batch FROM large")], {moment(START): ["large"]})
        files = staging.publish([])
        assert bucket.Object(keys(bucket, "lake/partials")[0]).content_length > SMALL_BYTES
        with engine.lake.partials(kpi, {moment(START): {"large"}}, lambda folders: files) as (table,):
            count = engine.connection.execute(f"SELECT count(*), count(DISTINCT cell_id) FROM {table}").fetchone()
    assert count[0] == 200_000


def test_a_damaged_and_a_missing_file_of_the_lake_are_distinguished(bucket):
    put(bucket, hour_of_flows(0, 2))
    update()
    hour = [moment(START), moment(START + 3600)]
    key = next(key for key in keys(bucket, "lake/partials/CellUniqueUsers"))
    bucket.put_object(Key=key, Body=b"PAR1 is all there is of it")
    assert f": The lake's file s3://{bucket.name}/{key} is damaged" in update(rebuild=hour)
    bucket.Object(key).delete()
    assert f": The lake lacks s3://{bucket.name}/{key}, which the ledger refers to" in update(rebuild=hour)


def test_a_store_that_does_not_answer_is_named_in_the_error(bucket, cloud):
    put(bucket, hour_of_flows(0, 2))
    update()
    place = re.escape(f"s3://{bucket.name}/")
    with cloud.dropping(left=0):
        with pytest.raises(CommandError, match=f"Cannot read {place}.*the next run goes on from there") as raised:
            update()
        assert raised.value.returncode == 1
        with pytest.raises(CommandError, match=f"Cannot use the lake at {place}"):
            output_of("FROM ServiceTrafficVolume")
        with pytest.raises(CommandError, match=f"Cannot use the lake at {place}"):
            update(rebuild=[moment(START), moment(START + 3600)])
        assert not state.can_be_written(address(f"s3://{bucket.name}/lake"))
        assert doctor.lake().verdict is doctor.Verdict.MEND
        assert doctor.data_dir().verdict is doctor.Verdict.MEND
    with cloud.dropping(left=1), pytest.raises(CommandError, match=f"Cannot use the lake at {place}"):
        output_of("FROM CellUniqueUsers_partials SELECT count(DISTINCT msisdn)")


def test_the_doctor_looks_into_buckets(bucket, settings):
    put(bucket, {"ipflow_data.1.csv": [Flow(START, 1, 1, 1, 1, 1)], "notes.txt": [call(START)]})
    assert str(doctor.lake()) == f"ok   lake: s3://{bucket.name}/lake can be written"
    assert str(doctor.staging()) == "ok   staging: no leftovers"
    note = "note data folder: 1 files are of no feed, such as 'notes.txt'; rename them, or see FEED_FILES"
    assert str(doctor.data_dir()) == note
    bucket.Object("in/notes.txt").delete()
    assert str(doctor.data_dir()) == f"ok   data folder: s3://{bucket.name}/in has 1 files of known feeds"
    assert state.can_be_written(settings.LAKE_DIR)
    bucket.put_object(Key="in/strange.txt", Body=b"")
    assert "1 files are of no feed, such as 'strange.txt'" in str(doctor.data_dir())
    assert keys(bucket, "lake") == []


def test_a_bucket_that_is_not_there_is_wrong_use(bucket, settings):
    settings.DATA_DIR = address("s3://no-such-bucket/in")
    with pytest.raises(
        CommandError, match="Cannot read s3://no-such-bucket/in/: The specified bucket does not"
    ) as raised:
        update()
    assert raised.value.returncode == 2


@pytest.mark.usefixtures("each_alone")
def test_pruning_and_compaction_leave_a_bucket_as_they_leave_a_folder(bucket):
    files = hour_of_flows(0, 3) | hour_of_flows(1, 3) | {"ipflow_data.x.csv": [Flow(START + 7200, 1, 1, 1, 1, 1)]}
    put(bucket, files)
    update()
    assert len(keys(bucket, "lake/partials/CellUniqueUsers/")) == 7
    update()
    assert [PurePosixPath(key).name[:10] for key in keys(bucket, "lake/partials/CellUniqueUsers/")][:2] == [
        "compacted-",
        "compacted-",
    ]
    assert len(keys(bucket, "lake/partials/CellUniqueUsers/")) == 3
    update(rebuild=[moment(START), moment(START + 7200)])
    assert stored() == expected(files, START + 7500)
    out = io.StringIO()
    call_command("prune_lake", "--older-than=1d", stdout=out)
    assert "removed 4 files of ipflow before 2021-07-18T02:00:00Z" in out.getvalue()
    assert len(keys(bucket, "lake/partials/CellUniqueUsers/")) == 1
    assert stored() == expected(files, START + 7500)


def test_a_query_reads_no_object_but_the_lakes(bucket):
    put(bucket, hour_of_flows(0, 2))
    update()
    bucket.put_object(Key="in/secret.csv", Body=b"a\n1\n")
    for place in (f"s3://{bucket.name}/in/secret.csv", f"s3://{bucket.name}/lake/../in/secret.csv", "/etc/passwd"):
        with pytest.raises(CommandError, match="Cannot access file"):
            output_of(f"FROM read_csv('{place}')")


def test_credentials_are_never_logged(place, cloud, bucket):
    put(bucket, hour_of_flows(0, 2))
    where = {"DATA_DIR": f"s3://{bucket.name}/in", "LAKE_DIR": f"s3://{bucket.name}/lake"}
    for more in ({}, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}):
        ended = place.run(
            "update_network_stats",
            LOG_LEVEL="DEBUG",
            LOG_FORMAT="json",
            AWS_SECRET_ACCESS_KEY=SECRET,
            AWS_SESSION_TOKEN=f"token-{SECRET}",
            AWS_MAX_ATTEMPTS="1",
            **where,
            **more,
        )
        assert ended.code == bool(more), ended.err
        assert SECRET not in ended.out + ended.err
        assert "Authorization" not in ended.err


def test_without_boto3_a_bucket_says_what_is_missing(bucket, monkeypatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.delitem(sys.modules, "kpis.storage.bucket")
    with pytest.raises(CommandError, match=r"object storage needs boto3 and fsspec: pip install "):
        update()


@pytest.mark.parametrize("text", ["s3://", "s3://UPPER/x", "s3://bucket//x", "s3://bucket/a*b", "s3://bucket/[a]"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="is not like s3://bucket/prefix"):
        address(text)


def test_an_address_is_written_in_one_way():
    assert str(BucketAddress.parsed("s3://bucket/a/b/")) == "s3://bucket/a/b"
    assert BucketAddress.parsed("s3://bucket") == BucketAddress("bucket", "")


def test_a_notebook_can_name_a_bucket(bucket):
    put(bucket, {"ipflow_data.1.csv": [Flow(START, 1, 10, 20, 1, 7)]})
    table = pipeline.compute(f"s3://{bucket.name}/in")["ServiceTrafficVolume"]
    assert list(table.total_bytes) == [30, 30]
