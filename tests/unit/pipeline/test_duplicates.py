"""The same content counts once, whatever names it is seen under, and as long as one of them has it."""

from __future__ import annotations

import gzip
import os
import re
import shutil
from datetime import date
from pathlib import Path, PurePosixPath

import pytest
import zstandard
from blake3 import blake3
from django.urls import reverse

from kpis import pipeline
from kpis.catalog.builtin.ipflow import IPFLOW
from kpis.catalog.registry import KPIS
from kpis.models import Batch, BatchInterval, IntervalSummary, Reject, Run
from kpis.models.result_models import result_model
from kpis.sources.places import found_in
from kpis.stages.memory_ledger import MemoryLedger
from kpis.store.kpi_sets import save_kpi_set
from kpis.store.ledger import DatabaseLedger
from tests.deaths import Death, dying
from tests.factories import make_user
from tests.processes import Place
from tests.property.test_histories import DEATHS
from tests.servers.test_watch import await_true, stopped, watching
from tests.twin import HEADER, Flow, Log, expected, file_text, moment, stored
from tests.unit.management.test_update_network_stats import START, update

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "ipflow_data.ts-1626566700000.1.csv"
FLOWS = [Flow(START, 1, 10, 20, service=1, cell=7), Flow(START, 2, 0, 0, service=2, cell=7)]
OTHERS = [Flow(START, 3, 1, 2, service=1, cell=7), Flow(START + 300, 4, 5, 0, service=2, cell=8)]
TEXT = file_text(FLOWS)
END = START + 300


def put(folder: Path, **contents: list[Flow]) -> None:
    """Files ``ipflow_data.<name>.csv`` of flows, each with one row more that is a reject."""
    for name, flows in contents.items():
        (folder / f"ipflow_data.{name}.csv").write_text(file_text(flows) + "rubbish\n")


def ledger() -> dict[str, str]:
    """Each file's status, and the name of the file that it duplicates."""
    return {
        batch.name.removeprefix("ipflow_data.").removesuffix(".csv"): (
            f"{batch.status} {batch.duplicate_of.name.removeprefix('ipflow_data.').removesuffix('.csv')}"
            if batch.duplicate_of
            else batch.status
        )
        for batch in Batch.objects.select_related("duplicate_of")
    }


def assert_counts(*contents: list[Flow]) -> None:
    """The tables hold each of the contents once, and all that the ledger has of them hangs together."""
    watermark = max(flow.start for content in contents for flow in content) + 300
    assert stored() == expected({str(number): content for number, content in enumerate(contents)}, watermark)
    for batch in Batch.objects.all():
        assert sum(batch.intervals.values_list("records", flat=True)) == batch.records
        assert batch.first_rejects.count() == batch.rejects
        assert bool(batch.key) == (batch.status == "in")


def rows() -> list[list]:
    """The summaries, the rejects and the intervals of batches, without the batches' names."""
    return [sorted(model.objects.values_list(*columns.split())) for columns, model in TABLES.items()]


def packed(text: str, suffix: str) -> bytes:
    return {".gz": gzip.compress, ".zst": zstandard.compress, "": bytes}[suffix](text.encode())


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_that_is_compressed_in_place_counts_once(data_dir, suffix):
    (data_dir / NAME).write_text(TEXT)
    update()
    (data_dir / NAME).unlink()
    (data_dir / f"{NAME}{suffix}").write_bytes(packed(TEXT, suffix))
    out = update()
    assert out.splitlines()[0] == f"renamed {NAME} to {NAME}{suffix}"
    assert "0 files ingested, 0 failed, 1 duplicates, 0 records" in out
    assert_counts(FLOWS)
    statuses = {
        batch.name: (batch.status, batch.duplicate_of and batch.duplicate_of.name) for batch in Batch.objects.all()
    }
    assert statuses == {f"{NAME}{suffix}": ("in", None), NAME: ("renamed", f"{NAME}{suffix}")}
    assert "0 files ingested, 0 failed, 0 records" in update()


def test_a_file_that_is_copied_counts_once_and_the_copy_is_named(data_dir):
    put(data_dir, a=FLOWS)
    update()
    put(data_dir, b=FLOWS)
    assert update().splitlines()[0] == "duplicate ipflow_data.b.csv of ipflow_data.a.csv"
    assert ledger() == {"a": "in", "b": "duplicate a"}
    assert_counts(FLOWS)
    assert list(Run.objects.values_list("batches", "duplicate_batches")) == [(0, 1), (1, 0)]
    assert "would ingest 0 files" in update(dry_run=True)


def test_copies_that_come_together_count_once(data_dir):
    put(data_dir, a=FLOWS, b=FLOWS, c=FLOWS)
    (data_dir / "ipflow_data.d.csv.gz").write_bytes(packed(TEXT + "rubbish\n", ".gz"))
    assert "1 files ingested, 0 failed, 3 duplicates" in update()
    assert_counts(FLOWS)


def test_a_file_that_is_renamed_keeps_all_that_it_gave(data_dir, lake_dir):
    put(data_dir, a=FLOWS, b=OTHERS)
    update()
    lake = sorted(lake_dir.rglob("*.parquet"))
    before = rows()
    (data_dir / "ipflow_data.a.csv").rename(data_dir / "ipflow_data.c.csv")
    assert update().splitlines()[0] == "renamed ipflow_data.a.csv to ipflow_data.c.csv"
    assert ledger() == {"a": "renamed c", "b": "in", "c": "in"}
    assert_counts(FLOWS, OTHERS)
    assert sorted(lake_dir.rglob("*.parquet")) == lake
    assert rows() == before
    # Replaced under its new name, it gives nothing any more of what it gave under its old one.
    put(data_dir, c=[Flow(START, 9, 9, 9, 9, 9)])
    update()
    assert_counts(OTHERS, [Flow(START, 9, 9, 9, 9, 9)])


TABLES = {"kpi total revision": IntervalSummary, "line text": Reject, "interval_start_timestamp records": BatchInterval}


def test_a_name_that_comes_back_after_it_was_renamed_is_a_duplicate_and_counts_when_the_other_changes(data_dir):
    put(data_dir, a=FLOWS)
    update()
    os.rename(data_dir / "ipflow_data.a.csv", data_dir / "ipflow_data.b.csv")
    update()
    put(data_dir, a=FLOWS)
    update()
    assert ledger() == {"a": "duplicate b", "b": "in"}
    put(data_dir, b=OTHERS)
    update()
    assert ledger() == {"a": "in", "b": "in"}
    assert_counts(FLOWS, OTHERS)


@pytest.mark.parametrize("content", [OTHERS, "rubbish"])
def test_when_the_original_is_replaced_or_fails_its_content_counts_by_the_copy(data_dir, lake_dir, content):
    put(data_dir, a=FLOWS)
    update()
    put(data_dir, b=FLOWS, c=FLOWS)
    update()
    if content == "rubbish":
        (data_dir / "ipflow_data.a.csv").write_text("rubbish")
        with pytest.raises(SystemExit, match="1"):
            update()
        assert ledger() == {"a": "failed", "b": "in", "c": "duplicate b"}
        assert_counts_of_good(FLOWS)
    else:
        put(data_dir, a=content)
        update()
        assert ledger() == {"a": "in", "b": "in", "c": "duplicate b"}
        assert_counts(FLOWS, content)
    # And so on until the last of them.
    put(data_dir, b=[Flow(START, 5, 5, 5, 5, 5)], c=[Flow(START, 6, 6, 6, 6, 6)])
    with_failed(update)
    good = [[Flow(START, 5, 5, 5, 5, 5)], [Flow(START, 6, 6, 6, 6, 6)]]
    assert_counts_of_good(*good, *([] if content == "rubbish" else [content]))
    assert not list(lake_dir.glob("staging/*"))


def with_failed(run) -> None:
    try:
        run()
    except SystemExit:
        return


def assert_counts_of_good(*contents: list[Flow]) -> None:
    newest = max(flow.start for content in contents for flow in content) + 300
    assert stored()[0] == expected({str(number): content for number, content in enumerate(contents)}, newest)[0]


def test_a_file_that_changes_into_anothers_content_gives_nothing_more(data_dir):
    put(data_dir, a=FLOWS, b=OTHERS)
    update()
    put(data_dir, b=FLOWS)
    assert update().splitlines()[0] == "duplicate ipflow_data.b.csv of ipflow_data.a.csv"
    assert ledger() == {"a": "in", "b": "duplicate a"}
    assert stored()[0] == expected({"a": FLOWS}, END)[0]
    put(data_dir, b=OTHERS)
    update()
    assert_counts(FLOWS, OTHERS)


def test_two_files_that_swap_their_contents_give_what_they_gave(data_dir):
    put(data_dir, a=FLOWS, b=OTHERS)
    update()
    put(data_dir, a=OTHERS, b=FLOWS)
    update()
    assert_counts(FLOWS, OTHERS)


def test_files_without_records_are_no_duplicates(data_dir):
    for name in ("a", "b"):
        (data_dir / f"ipflow_data.{name}.csv").write_text(HEADER + "\n")
        (data_dir / f"cdr_data.{name}.csv").write_text("")
    with_failed(update)
    assert set(Batch.objects.values_list("feed", "status")) == {("ipflow", "in"), ("cdr", "failed")}
    assert not Batch.objects.exclude(duplicate_of=None).exists()


def test_a_name_that_tells_the_interval_is_part_of_what_a_file_says(data_dir):
    for end in (START + 300, START + 600):
        (data_dir / f"ipflow_data.ts-{end * 1000}.1.csv").write_text(TEXT)
    (data_dir / f"ipflow_data.ts-{(START + 300) * 1000}.again.csv").write_text(TEXT)
    assert "2 files ingested, 0 failed, 1 duplicates" in update(interval_from="filename")
    again = [Flow(START + 300, flow.msisdn, flow.uplink, flow.downlink, flow.service, flow.cell) for flow in FLOWS]
    assert_counts(FLOWS, again)


def test_a_day_in_the_name_is_part_of_what_a_file_says(data_dir):
    header, line = file_text([Log(START, "O2", "5", 0, "", "")]).splitlines()
    text = header.removeprefix("date,") + "\n" + line.partition(",")[2] + "\n"
    for name in ("2021-07-18.1", "2021-07-18.2", "2021-07-19.1", "x"):
        (data_dir / f"coverage_data.{name}.csv").write_text(text)
    assert "2 files ingested, 0 failed, 2 duplicates" in update(date=date(2021, 7, 19))
    logs = [Log(start, "O2", "5", 0, "", "") for start in (START, START + 86400)]
    assert stored() == expected({"1": logs[:1], "2": logs[1:]}, {Log: START + 86700})


def put_logs(folder: Path, text: str, *names: str) -> None:
    for name in names:
        (folder / f"coverage_data.{name}.csv").write_text(text)


def test_a_day_in_the_name_is_no_part_of_what_a_file_says_whose_rows_tell_their_own(data_dir):
    logs = [Log(START, "O2", "5", 0, "", ""), Log(START + 86400, "O2", "6", 0, "", "")]
    put_logs(data_dir, file_text(logs), "2021-07-18.1", "2021-07-19.1", "2021-07-19.2", "x")
    assert "1 files ingested, 0 failed, 3 duplicates, 2 records" in update(date=date(2021, 7, 20))
    (data_dir / "coverage_data.2021-07-18.1.csv").rename(data_dir / "coverage_data.2021-07-21.1.csv")
    assert update().splitlines()[0] == "renamed coverage_data.2021-07-18.1.csv to coverage_data.2021-07-21.1.csv"
    assert stored() == expected({"1": logs}, START + 86700)


def test_a_day_that_no_row_needs_may_change(data_dir):
    logs = [Log(START, "O2", "5", 0, "", "")]
    put_logs(data_dir, file_text(logs), "x")
    update(date=date(2021, 7, 19))
    named = str(data_dir / "coverage_data.x.csv")
    assert update(named, date=date(2021, 7, 20)).splitlines()[0] == "unchanged coverage_data.x.csv"
    assert "would ingest 0 files" in update(named, date=date(2021, 7, 20), dry_run=True)
    assert Batch.objects.get().reading == "interval-from=record date=2021-07-20"
    assert stored() == expected({"1": logs}, START + 300)


@pytest.mark.parametrize("quote", ["", '"'], ids=["read in bulk", "read singly"])
def test_a_day_in_the_name_is_part_of_what_a_file_says_of_which_one_row_tells_none(data_dir, quote):
    logs = [Log(START, "O2", "5", 0, "", ""), Log(START + 300, "O2", "6", 0, "", "")]
    # The second row has no date.
    first, _, last = file_text(logs).rpartition("2021-07-18")
    put_logs(data_dir, f"{first}{quote}{quote}{last}", "2021-07-18.1", "2021-07-18.2", "2021-07-19.1")
    assert "2 files ingested, 0 failed, 1 duplicates, 4 records" in update()
    again = [logs[0], Log(START + 86700, "O2", "6", 0, "", "")]
    assert stored() == expected({"1": logs, "2": again}, START + 87000)


def test_with_duplicates_to_be_counted_each_file_counts(data_dir, settings):
    settings.DUPLICATES = "count"
    put(data_dir, a=FLOWS, b=FLOWS)
    assert "2 files ingested, 0 failed, 4 records" in update()
    assert_counts(FLOWS, FLOWS)
    put(data_dir, b=OTHERS)
    update()
    assert_counts(FLOWS, OTHERS)


def test_a_duplicate_of_what_was_pruned_is_no_failure(data_dir):
    put(data_dir, a=FLOWS, b=[Flow(START + 7200, 1, 1, 1, 1, 1)])
    update()
    DatabaseLedger().keep_from(IPFLOW, moment(START + 3600))
    os.rename(data_dir / "ipflow_data.a.csv", data_dir / "ipflow_data.c.csv")
    assert update().splitlines()[0] == "renamed ipflow_data.a.csv to ipflow_data.c.csv"


def test_a_new_kpi_is_filled_from_the_copy_whose_original_is_gone(data_dir):
    put(data_dir, a=FLOWS)
    update()
    put(data_dir, b=FLOWS)
    update()
    (data_dir / "ipflow_data.a.csv").unlink()
    # As if the second KPI had not been there then.
    Batch.objects.update(kpi_set=save_kpi_set(frozenset({1})))
    assert "ingested ipflow_data.b.csv: 2 records" in update()
    assert ledger() == {"a": "renamed b", "b": "in"}
    assert str(Batch.objects.get(name="ipflow_data.b.csv").kpi_set) == "1,2"
    assert_counts(FLOWS)


def test_a_packed_file_of_before_is_known_by_its_own_bytes(data_dir):
    path = data_dir / f"{NAME}.gz"
    path.write_bytes(packed(TEXT, ".gz"))
    update()
    unpacked = Batch.objects.get().digest
    assert unpacked == blake3(TEXT.encode()).hexdigest()
    # As the ledger had it before it recognised duplicates.
    Batch.objects.update(digest=blake3(path.read_bytes()).hexdigest(), key="old", mark="")
    before = stored()
    assert update().splitlines()[0] == f"unchanged {NAME}.gz"
    assert Batch.objects.get().digest == unpacked
    assert stored() == before
    (data_dir / NAME).write_text(TEXT)
    assert update().splitlines()[0] == f"duplicate {NAME} of {NAME}.gz"


def test_a_file_that_is_packed_anew_is_unchanged(data_dir):
    path = data_dir / f"{NAME}.gz"
    path.write_bytes(gzip.compress(TEXT.encode() * 1, 1))
    update()
    path.write_bytes(gzip.compress(TEXT.encode(), 9) + gzip.compress(b""))
    assert update().splitlines()[0] == f"unchanged {NAME}.gz"
    assert Batch.objects.get().revision == 1


def test_objects_are_duplicates_and_renamed_as_files_are(bucket):
    def put_object(name: str, flows: list[Flow]) -> None:
        bucket.put_object(Key=f"in/ipflow_data.{name}.csv", Body=(file_text(flows) + "rubbish\n").encode())

    put_object("a", FLOWS)
    update()
    put_object("b", FLOWS)
    assert update().splitlines()[0] == "duplicate ipflow_data.b.csv of ipflow_data.a.csv"
    bucket.Object("in/ipflow_data.a.csv").delete()
    bucket.put_object(Key="in/ipflow_data.c.csv.gz", Body=packed(file_text(FLOWS) + "rubbish\n", ".gz"))
    assert update().splitlines()[0] == "renamed ipflow_data.a.csv to ipflow_data.c.csv.gz"
    assert ledger() == {"a": "renamed c.csv.gz", "b": "duplicate c.csv.gz", "c.csv.gz": "in"}
    assert_counts(FLOWS)
    bucket.put_object(Key="in/ipflow_data.c.csv.gz", Body=packed(file_text(OTHERS) + "rubbish\n", ".gz"))
    update()
    assert ledger() == {"a": "renamed b", "b": "in", "c.csv.gz": "in"}
    assert_counts(FLOWS, OTHERS)


def test_a_watch_finds_duplicates_and_renamed_files(place: Place):
    place.put({"ipflow_data.a.csv": FLOWS})
    with watching(place) as process:
        shutil.copy(place.data / "ipflow_data.a.csv", place.data / "ipflow_data.b.csv")
        await_true(lambda: statuses(place) == ["duplicate", "in"], process)
        (place.data / "ipflow_data.a.csv").rename(place.data / "ipflow_data.c.csv")
        await_true(lambda: statuses(place) == ["duplicate", "in", "renamed"], process)
        out, _ = stopped(process)
    assert "duplicate ipflow_data.b.csv of ipflow_data.a.csv" in out
    assert "renamed ipflow_data.a.csv to ipflow_data.c.csv" in out
    assert place.stored() == expected({"a": FLOWS}, END)


def statuses(place: Place) -> list[str]:
    with place.alias() as alias:
        return sorted(Batch.objects.using(alias).values_list("status", flat=True))


def test_a_ledger_in_memory_says_what_the_databases_says(data_dir, tmp_path):
    memory, options = MemoryLedger(), pipeline.Options()

    def run(**contents: list[Flow]) -> list[str]:
        put(data_dir, **contents)
        with pipeline.engine(tmp_path / "other lake") as engine:
            planned = pipeline.plan(found_in(data_dir, known=pipeline.known_to(memory)), memory, options)
            events = list(pipeline.run(planned, memory, engine, options))
        update()
        return [
            f"{event.of} {event.renamed}" if isinstance(event, pipeline.Duplicate) else type(event).__name__
            for event in events
            if not isinstance(event, pipeline.RolledUp)
        ]

    def same() -> bool:
        for kpi in KPIS.values():
            rows = result_model(kpi).objects.order_by("interval_start_timestamp", "interval", "rank")
            assert memory.table(kpi)[kpi.value].tolist() == list(rows.values_list(kpi.value, flat=True))
        return True

    a = "ipflow_data.a.csv"
    assert run(a=FLOWS) == ["Ingested"]
    assert same()
    assert run(b=FLOWS) == [f"{a} False"]
    assert same()
    os.rename(data_dir / a, data_dir / "ipflow_data.c.csv")
    assert run() == [f"{a} True"]
    assert same()
    assert run(c=OTHERS) == ["Ingested"]
    assert same()
    assert run(b=OTHERS) == ["ipflow_data.c.csv False"]
    assert same()
    assert run(a=FLOWS) == ["Ingested"]
    assert same()
    assert run() == []
    assert ledger() == {"a": "in", "b": "duplicate c", "c": "in"}


@pytest.mark.parametrize("point", sorted(DEATHS))
def test_a_run_that_dies_leaves_each_content_counted_once(data_dir, lake_dir, point):
    put(data_dir, a=FLOWS, d=OTHERS)
    update()
    put(data_dir, b=FLOWS)
    update()
    # A promotion, a rename, a content that is another's, and one that is new, in one run.
    os.rename(data_dir / "ipflow_data.d.csv", data_dir / "ipflow_data.e.csv")
    new = [Flow(START + 600, 8, 8, 8, 8, 8)]
    put(data_dir, a=OTHERS, f=new)
    for turn in range(3):
        with dying(*DEATHS[point], turn):
            try:
                update()
            except Death:
                continue
    update()
    assert_counts(FLOWS, OTHERS, new)
    assert not list(lake_dir.glob("staging/*"))
    with pipeline.engine(lake_dir) as engine:
        keys = [keys_of(path.relative_to(lake_dir), engine) for path in lake_dir.glob("partials/**/*.parquet")]
    assert set().union(*keys) == set(Batch.objects.filter(status="in").values_list("key", flat=True))


def keys_of(path: Path, engine: pipeline.Engine) -> set[str]:
    """The keys of the batches whose rows a lake file has."""
    own = path.name.partition(".")[0]
    return {own} if re.fullmatch("[0-9a-f]{24}", own) else engine.lake.keys_in(PurePosixPath(path))


def test_the_api_the_pages_and_the_admin_name_what_a_file_is_a_duplicate_of(data_dir, client, settings):
    put(data_dir, a=FLOWS)
    update()
    put(data_dir, b=FLOWS)
    update()
    first, second = Batch.objects.order_by("pk")
    rows = client.get("/api/batches/", {"status": "duplicate"}).json()
    assert [(row["name"], row["duplicate_of"], row["records"]) for row in rows] == [("ipflow_data.b.csv", first.pk, 0)]
    page = client.get(reverse("quality"), {"show": "duplicates"}).content.decode()
    assert "duplicate</span>" in page
    assert "of ipflow_data.a.csv" in page
    client.force_login(make_user("view_batch", name="staff", is_staff=True))
    assert "ipflow_data.a.csv" in client.get(reverse("admin:kpis_batch_change", args=[second.pk])).content.decode()
