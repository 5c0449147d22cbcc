"""``update_network_stats``: files in, exact tables out, and what it says and how it ends."""

from __future__ import annotations

import gzip
import io
import os
import random
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command

from kpis.models import Batch, CellUniqueUsers, IntervalSummary, Reject, Run, ServiceTrafficVolume
from tests.twin import HEADER, Flow, expected, file_text, moment, stored

pytestmark = pytest.mark.django_db(transaction=True)

START = 1626566400  # 2021-07-18T00:00:00Z


def put(folder, number, flows, end=START + 300):
    path = folder / f"ipflow_data.ts-{end * 1000}.{number}.csv"
    path.write_text(file_text(flows))
    return path


def update(*args, **options) -> str:
    out = io.StringIO()
    call_command("update_network_stats", *args, stdout=out, stderr=out, **options)
    return out.getvalue()


def random_hours(seed: int, hours: int) -> dict[str, list[Flow]]:
    """Three files an interval, with few users and cells, so that ties and repeats are common."""
    random_ = random.Random(seed)  # noqa: S311
    return {
        f"ipflow_data.ts-{(start + 300) * 1000}.{number}.csv": [
            Flow(
                start=start,
                msisdn=31600000000 + random_.randrange(1, 60),
                uplink=random_.randrange(5) * 100,
                downlink=random_.randrange(5) * 100,
                service=random_.randrange(-3, 25),
                cell=random_.randrange(-3, 25),
            )
            for _ in range(random_.randrange(1, 120))
        ]
        for start in range(START, START + hours * 3600, 300)
        for number in (1, 2, 3)
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_hours_of_three_files_an_interval_agree_with_the_twin(data_dir, seed):
    files = random_hours(seed, hours=2)
    for name, flows in files.items():
        (data_dir / name).write_text(file_text(flows))
    update()
    assert stored() == expected(files, watermark=START + 7200)


def test_a_service_that_is_eleventh_in_each_interval_can_be_first_in_the_hour(data_dir):
    for i in range(12):
        start = START + i * 300
        others = [Flow(start, 1, 1000 + service, 0, 100 * (i + 1) + service, 7) for service in range(10)]
        put(data_dir, 1, [*others, Flow(start, 1, 999, 0, 5, 7)], end=start + 300)
    update()
    five_minutes = ServiceTrafficVolume.objects.filter(interval=1)
    assert five_minutes.count() == 120
    assert not five_minutes.filter(service_id=5).exists()
    hour = ServiceTrafficVolume.objects.filter(interval=2)
    assert hour.count() == 10
    assert list(hour.values_list("rank", "service_id", "total_bytes")[:2]) == [(1, 5, 11988), (2, 109, 1009)]


def test_a_user_seen_in_every_interval_counts_once_in_the_hour(data_dir):
    for i in range(12):
        start = START + i * 300
        put(data_dir, 1, [Flow(start, 31600000001, 1, 1, 1, 7), Flow(start, 31600000001, 1, 1, 1, 8)], start + 300)
    update()
    hour = CellUniqueUsers.objects.filter(interval=2)
    assert list(hour.values_list("rank", "cell_id", "number_of_unique_users")) == [(1, 7, 1), (2, 8, 1)]
    assert IntervalSummary.objects.get(kpi=2, interval=2).total == 1


def test_the_interval_can_come_from_the_file_name(data_dir):
    put(data_dir, 1, [Flow(START - 3600, 1, 10, 20, 1, 7)])
    update(interval_from="filename")
    row = ServiceTrafficVolume.objects.get(interval=1)
    assert (row.interval_start_timestamp, row.total_bytes) == (moment(START), 30)


def test_a_name_without_an_interval_fails_where_the_name_should_tell_it(data_dir):
    (data_dir / "ipflow_data.renamed.csv").write_text(file_text([Flow(START, 1, 10, 20, 1, 7)]))
    with pytest.raises(SystemExit, match="1"):
        update(interval_from="filename")
    assert "has no interval end in its name" in Batch.objects.get().reason


def test_a_second_run_changes_nothing(data_dir):
    put(data_dir, 1, [Flow(START, 1, 10, 20, 1, 7)])
    update()
    before = [list(model.objects.values()) for model in (Batch, ServiceTrafficVolume, IntervalSummary)]
    assert "0 files ingested, 0 failed" in update()
    assert [list(model.objects.values()) for model in (Batch, ServiceTrafficVolume, IntervalSummary)] == before
    assert list(Run.objects.values_list("outcome", "batches")) == [("succeeded", 0), ("succeeded", 1)]


def test_an_open_hour_has_no_rows_until_the_watermark_closes_it(data_dir):
    put(data_dir, 1, [Flow(START, 1, 10, 20, 1, 7)])
    update()
    assert not ServiceTrafficVolume.objects.filter(interval=2).exists()
    # Its last 55 minutes never come; a file of the next hour closes it all the same.
    put(data_dir, 1, [Flow(START + 3600, 1, 1, 1, 1, 7)], end=START + 3900)
    update()
    assert ServiceTrafficVolume.objects.get(interval=2).total_bytes == 30


def test_an_open_hour_on_demand_is_provisional_and_later_runs_keep_it_true(data_dir):
    put(data_dir, 1, [Flow(START, 1, 10, 20, 1, 7)])
    update(rollup_open_hours=True)
    summary = IntervalSummary.objects.get(kpi=1, interval=2)
    assert (summary.state, summary.total, summary.revision) == ("provisional", 30, 1)
    put(data_dir, 2, [Flow(START, 2, 100, 0, 1, 7)])
    update()
    summary.refresh_from_db()
    assert (summary.state, summary.total, summary.revision, summary.previous_total) == ("provisional", 130, 2, 30)
    put(data_dir, 3, [Flow(START + 3600, 1, 1, 1, 1, 7)], end=START + 3900)
    update()
    summary.refresh_from_db()
    assert (summary.state, summary.total) == ("final", 130)


def test_a_late_file_changes_its_interval_and_its_closed_hour(data_dir):
    files = {
        put(data_dir, 1, [Flow(START, 1, 10, 20, 1, 7)]).name: [Flow(START, 1, 10, 20, 1, 7)],
        put(data_dir, 2, [Flow(START + 3600, 1, 1, 1, 1, 7)]).name: [Flow(START + 3600, 1, 1, 1, 1, 7)],
    }
    update()
    late = [Flow(START + 300, 2, 5, 5, 2, 8)]
    files[put(data_dir, 3, late).name] = late
    assert "1 rollups" in update()
    assert stored() == expected(files, watermark=START + 3900)


def test_a_replaced_file_takes_back_what_it_gave_also_where_it_no_longer_reaches(data_dir, lake_dir):
    path = put(data_dir, 1, [Flow(START, 1, 10, 20, 1, 7), Flow(START + 3600, 1, 1, 1, 1, 7)])
    update()
    changed = [Flow(START + 3900, 9, 3, 4, 2, 8)]
    path.write_text(file_text(changed))
    update()
    assert stored() == expected({path.name: changed}, watermark=START + 4200)
    assert Batch.objects.get().revision == 2
    assert {path.name.partition(".")[0] for path in lake_dir.rglob("*.parquet")} == {Batch.objects.get().key}


def test_a_file_with_a_new_time_but_the_same_content_is_not_read_again(data_dir):
    path = put(data_dir, 1, [Flow(START, 1, 10, 20, 1, 7)])
    update()
    path.write_text(path.read_text())
    os.utime(path, ns=(1, 1))
    assert "unchanged" in update()
    assert Batch.objects.get().modified_ns == 1
    assert IntervalSummary.objects.get(kpi=1).revision == 1


def test_a_bad_row_is_a_reject_with_its_line_and_reason(data_dir):
    good = Flow(START, 1, 10, 20, 1, 7)
    path = put(data_dir, 1, [good, good, good])
    path.write_text(path.read_text() + f"{START * 1000},{START * 1000 + 300000},1,1.5,2,3,4\n")
    assert "3 records, 1 rejects" in update()
    reject = Reject.objects.get()
    assert (reject.line, reject.column, reject.reason) == (5, "bytes_uplink", "is not a whole number")
    assert reject.text.endswith(",1.5,2,3,4")


def test_a_failed_file_is_named_with_its_reason_and_stops_no_other(data_dir, capsys):
    (data_dir / "ipflow_data.bad.csv").write_text("no,header\n1,2\n")
    put(data_dir, 1, [Flow(START, 1, 10, 20, 1, 7)])
    with pytest.raises(SystemExit) as stopped:
        call_command("update_network_stats")
    assert stopped.value.code == 1
    assert "failed ipflow_data.bad.csv: has no column interval_start_timestamp" in capsys.readouterr().err
    assert ServiceTrafficVolume.objects.filter(interval=1).count() == 1
    assert Run.objects.get().outcome == "incomplete"
    assert "0 failed" in update()
    with pytest.raises(SystemExit):
        update(retry_failed=True)


def test_a_file_of_rejects_is_the_wrong_file(data_dir):
    (data_dir / "ipflow_data.wrong.csv").write_text(HEADER + "\na,b,c,d,e,f,g\n" * 3)
    with pytest.raises(SystemExit):
        update()
    batch = Batch.objects.get()
    assert (batch.status, batch.reason) == ("failed", "is the wrong file: 3 of its 3 rows are rejects")
    assert batch.first_rejects.count() == 3


def test_dry_run_says_what_it_would_ingest_and_changes_nothing(data_dir, lake_dir):
    path = put(data_dir, 1, [Flow(START, 1, 10, 20, 1, 7)])
    assert path.stat().st_size == 142
    assert update(dry_run=True) == (
        f"would ingest ipflow_data.ts-{(START + 300) * 1000}.1.csv (ipflow, new, 142 bytes)\n"
        "would ingest 1 files; nothing was changed\n"
    )
    assert not Batch.objects.exists()
    assert not Run.objects.exists()
    assert not lake_dir.exists()


def test_rebuild_applies_another_top_n_from_the_lake_alone(data_dir, settings):
    files = random_hours(seed=4, hours=1)
    for name, flows in files.items():
        (data_dir / name).write_text(file_text(flows))
    update()
    for path in data_dir.iterdir():
        path.unlink()
    settings.TOP_N = 3
    update(rebuild=[moment(START), moment(START + 3600)])
    assert stored() == expected(files, watermark=START + 3600, top_n=3)


def test_silent_on_request(data_dir):
    put(data_dir, 1, [Flow(START, 1, 10, 20, 1, 7)])
    assert update(verbosity=0) == ""


def test_named_files_are_taken_wherever_they_lie(data_dir, tmp_path):
    path = put(tmp_path, 1, [Flow(START, 1, 10, 20, 1, 7)])
    other = tmp_path / "flows.txt"
    other.write_text(file_text([Flow(START, 2, 10, 20, 1, 7)]))
    update(str(path))
    update(str(other), feed="ipflow")
    assert ServiceTrafficVolume.objects.get(interval=1).total_bytes == 60


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.csv"], "its name belongs to no feed"),
        (["ipflow_data.nowhere.csv"], "there is no such file"),
        (["--data-dir", "/nowhere/at/all"], "Cannot list the data folder /nowhere/at/all"),
        (["--rebuild", "2021-07-18T01:00", "2021-07-18T00:00"], "needs a START before its END"),
        (["--rebuild", "2021-07-18T00:00", "2021-07-18T01:00", "--dry-run"], "takes no files"),
        (["--feed", "weather"], "invalid choice: 'weather'"),
        (["--rebuild", "yesterday", "today"], "is not a time such as 2021-07-18T02:05"),
    ],
)
def test_wrong_use_is_reported_and_changes_nothing(data_dir, arguments, said):
    with pytest.raises(CommandError, match=said):
        update(*arguments)
    assert not Run.objects.exists()


def test_a_total_beyond_64_bits_is_an_error_and_nothing_wraps(data_dir):
    largest = 2**63 - 1
    put(data_dir, 1, [Flow(START, 1, largest, 0, 1, 7)])
    update()
    assert ServiceTrafficVolume.objects.get().total_bytes == largest
    put(data_dir, 2, [Flow(START, 1, 1, 0, 1, 7)])
    with pytest.raises(SystemExit):
        update()
    assert ServiceTrafficVolume.objects.get().total_bytes == largest
    failed = Batch.objects.get(status="failed")
    assert failed.reason == "ServiceTrafficVolume: a total is beyond 2^63-1, the largest number that is kept"


def test_the_summary_names_the_moment_that_its_revision_was_computed(data_dir):
    put(data_dir, 1, [Flow(START, 1, 10, 20, 1, 7)])
    before = datetime.now(UTC)
    update()
    summary = IntervalSummary.objects.get(kpi=1)
    assert before <= summary.updated_at <= datetime.now(UTC)
    assert (summary.revision, summary.previous_total, summary.previous_updated_at) == (1, None, None)


def test_a_file_of_too_many_rejects_fails_alone_with_the_first_of_them(data_dir, settings):
    settings.MAX_REJECT_RATIO, settings.MAX_REJECTS = 1.0, 150
    put(data_dir, 1, [Flow(START, 1, 10, 20, 1, 7)])
    wrong = put(data_dir, 2, [Flow(START, 1, 10, 20, 1, 7)])
    with wrong.open("a") as file:
        file.write("x\n" * 10_000)
    packed = data_dir / "ipflow_data.bomb.csv.gz"
    packed.write_bytes(gzip.compress((HEADER + "\n" + "x\n" * 10_000).encode()))
    with pytest.raises(SystemExit, match="1"):
        update()
    # The header and one row come before them; of the packed file the header.
    for name, line in ((wrong.name, 153), (packed.name, 152)):
        batch = Batch.objects.get(name=name)
        assert batch.status == Batch.Status.FAILED
        assert batch.reason == (
            f"is the wrong file: it has more than 150 rejects, which is MAX_REJECTS, by line {line}"
        )
        assert (batch.lines, batch.rejects, Reject.objects.filter(batch=batch).count()) == (line, 150, 100)
        assert not batch.retry
    assert list(ServiceTrafficVolume.objects.values_list("total_bytes", flat=True)) == [30]
    # Unchanged, it is not read again; with room for its rejects it is in.
    settings.MAX_REJECTS = 10_000
    update()
    assert Batch.objects.filter(status=Batch.Status.FAILED).count() == 2
    update(retry_failed=True)
    assert Batch.objects.get(name=wrong.name).rejects == 10_000


def test_a_packed_file_that_unpacks_too_far_fails_alone(data_dir, settings):
    settings.MAX_UNPACKED_MB = 1
    put(data_dir, 1, [Flow(START, 1, 10, 20, 1, 7)])
    packed = data_dir / "ipflow_data.bomb.csv.gz"
    packed.write_bytes(gzip.compress((HEADER + "\n" + "\n" * 2**20).encode()))
    with pytest.raises(SystemExit, match="1"):
        update()
    assert Batch.objects.get(name=packed.name).reason == (
        "unpacks to more than 1,048,576 bytes, which is MAX_UNPACKED_MB"
    )
    assert Batch.objects.filter(status=Batch.Status.IN).count() == 1
