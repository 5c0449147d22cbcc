"""Pruning deletes all that is older than its limit, and nothing else, beside runs and consumers."""

from __future__ import annotations

import io
import shutil
from datetime import timedelta
from itertools import count

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Count

from kpis import clock
from kpis.catalog.live import MINUTE, SECOND
from kpis.models import (
    Batch,
    BatchInterval,
    LiveCount,
    LiveFeed,
    Reject,
    ResultPruning,
    Run,
    StreamConsumer,
    StreamPosition,
)
from kpis.store import retention
from tests.processes import Place, end_of
from tests.twin import FIVE_MINUTES, ONE_MINUTE, SECONDS, Call, Flow, expected, file_text, moment, stored

pytestmark = pytest.mark.django_db(transaction=True)

START = 1626566400  # 2021-07-18T00:00:00Z
END = START + 25 * 300
# Up to when the files' intervals close: calls have come up to 8530 s.
CLOSED = {Flow: END, Call: START + 8580}


class Killed(BaseException):
    """Ends the work at once, as a process that is killed."""


def update(*files: str, **options) -> str:
    out = io.StringIO()
    call_command("update_network_stats", *files, stdout=out, stderr=out, **options)
    return out.getvalue()


def prune(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("prune", *arguments, stdout=out)
    return out.getvalue().splitlines()


def without(tables: tuple[dict, dict], length: int, before: int) -> tuple[dict, dict]:
    """The twin's tables without the intervals of a length that ended by a moment (Unix seconds)."""
    return tuple(
        {
            (kpi, interval, start): value
            for (kpi, interval, start), value in table.items()
            if interval != length or start.timestamp() + SECONDS[length] > before
        }
        for table in tables
    )


@pytest.fixture
def files(data_dir, monkeypatch):
    """Two hours and one interval more of IP flows and of calls; the clock stands a day after them."""
    monkeypatch.setattr(clock, "now", lambda: moment(END) + timedelta(days=1))
    files: dict[str, list] = {}
    for i in range(25):
        start = START + i * 300
        flows = [Flow(start, 1 + i % 3, i, 7, i % 4, 5), Flow(start, 9, 1, 1, 2, 6)]
        files.setdefault(f"ipflow_data.{i // 3:02}.csv", []).extend(flows)
    for i in range(5):
        calls = [Call(START + i * 1800 + 70 * k, f"County {k % 3}", "Sprint", "CALL") for k in range(20)]
        files[f"cdr_data.{i}.csv"] = calls
    for name, records in files.items():
        (data_dir / name).write_text(file_text(records))
    update()
    assert stored() == expected(files, CLOSED)
    return files


def test_results_of_a_length_go_with_their_summaries_and_nothing_else_does(files):
    before = START + 300
    tables = expected(files, CLOSED)
    gone = without(tables, ONE_MINUTE, END - 2 * 3600)
    number = sum(len(rows) for rows in tables[0].values()) - sum(len(rows) for rows in gone[0].values())
    assert number == 10
    said = prune("--older-than=26h", "--interval=1m", "--dry-run")
    assert said == ["would remove 10 rows of results, 1 minute before 2021-07-18T00:05:00Z"]
    assert stored() == tables
    said = prune("--older-than=26h", "--interval=1m")
    assert said == ["removed 10 rows of results, 1 minute before 2021-07-18T00:05:00Z"]
    assert stored() == gone
    assert prune("--older-than=26h", "--interval=1m")[0].startswith("removed 0 rows")
    assert list(ResultPruning.objects.values_list("interval", "before")) == [(ONE_MINUTE, moment(before))]


def test_results_of_all_lengths_go_and_a_rebuild_brings_back_what_the_lake_has(files):
    tables = expected(files, CLOSED)
    prune("--older-than=25h", "--kind=results")
    kept = tables
    for length in SECONDS:
        kept = without(kept, length, END - 3600)
    assert stored() == kept
    assert Batch.objects.count() == len(files)
    update(rebuild=[moment(START), moment(END)])
    assert stored()[0] == tables[0]
    assert stored()[1] == tables[1]


def test_a_run_over_a_pruned_interval_writes_it_whole_again(files, data_dir):
    prune("--older-than=25h", "--kind=results")
    files["ipflow_data.late.csv"] = [Flow(START, 77, 1, 1, 1, 1)]
    (data_dir / "ipflow_data.late.csv").write_text(file_text(files["ipflow_data.late.csv"]))
    update()
    rows, summaries = stored()
    key = 1, FIVE_MINUTES, moment(START)
    assert rows[key] == expected(files, CLOSED)[0][key]
    assert summaries[key] == expected(files, CLOSED)[1][key]


def test_killed_anywhere_each_interval_is_whole_and_the_next_call_ends_it(files, monkeypatch):
    monkeypatch.setattr(retention, "ROWS_A_STEP", 40)
    tables = expected(files, CLOSED)
    kept = tables
    for length in SECONDS:
        kept = without(kept, length, END - 3600)
    kills = 0
    for number in count(1):
        left = number

        def kill(execute, sql, params, many, context):
            nonlocal left
            result = execute(sql, params, many, context)
            left -= sql.startswith("DELETE")
            if left == 0:
                raise Killed
            return result

        try:
            with connection.execute_wrapper(kill):
                prune("--older-than=25h", "--kind=results")
            break
        except Killed:
            kills += 1
        rows, summaries = stored()
        assert rows.items() <= tables[0].items()
        assert rows.keys() == {key for key in summaries if key in tables[0]}
        assert kept[0].items() <= rows.items()
    assert kills > 10
    assert stored() == kept


def test_batches_stay_as_long_as_the_lake_has_them_or_their_file_is_there(files, data_dir):
    Batch.objects.update(ingested_at=moment(START))
    said = prune("--older-than=1h", "--kind=batches")
    assert (
        said[0] == "removed 0 rows of batches of ipflow before 2021-07-19T01:05:00Z (9 stay whose records the lake has)"
    )
    (data_dir / "ipflow_data.03.csv").unlink()
    (data_dir / "ipflow_data.02.csv").unlink()
    tables = stored()
    said = prune("--older-than=25h", "--kind=lake", "--kind=batches", "--dry-run")
    # A dry run prunes no lake, so it has no batch either.
    assert Batch.objects.count() == 14
    said = prune("--older-than=25h", "--kind=lake", "--kind=batches")
    assert (
        "removed 2 rows of batches of ipflow before 2021-07-18T01:05:00Z "
        "(5 stay whose records the lake has, 2 stay whose files are in the data folder)"
    ) in said
    assert not Batch.objects.filter(name__in=["ipflow_data.03.csv", "ipflow_data.02.csv"]).exists()
    assert not BatchInterval.objects.filter(batch__name__in=["ipflow_data.03.csv"]).exists()
    assert stored() == tables
    assert "0 failed" in update()
    assert stored() == tables


def test_a_pruned_batch_whose_file_comes_back_fails_and_counts_nothing_twice(files, data_dir):
    Batch.objects.update(ingested_at=moment(START))
    (data_dir / "ipflow_data.03.csv").unlink()
    prune("--older-than=25h")
    tables = stored()
    (data_dir / "ipflow_data.03.csv").write_text(file_text(files["ipflow_data.03.csv"]))
    with pytest.raises(SystemExit):
        update()
    reason = "touches the interval from 2021-07-18T00:45:00Z, whose other records the lake no longer has"
    assert Batch.objects.get(name="ipflow_data.03.csv").reason == reason
    assert stored() == tables
    assert "0 failed" in update()


def test_runs_that_ingested_a_batch_stay_and_rejects_go_but_not_their_number(files, data_dir):
    with (data_dir / "ipflow_data.00.csv").open("a") as file:
        file.write("no,record\n")
    update()
    update()
    assert (Reject.objects.count(), Run.objects.count()) == (1, 3)
    Run.objects.update(ended_at=moment(START))
    Batch.objects.update(ingested_at=moment(START))
    assert prune("--older-than=25h", "--kind=runs", "--kind=rejects", "--dry-run") == [
        "would remove 1 rows of rejects before 2021-07-18T01:05:00Z",
        "would remove 1 rows of runs before 2021-07-18T01:05:00Z (2 stay that ingested batches of the ledger)",
    ]
    prune("--older-than=25h", "--kind=runs", "--kind=rejects")
    assert (Reject.objects.count(), Batch.objects.get(name="ipflow_data.00.csv").rejects) == (0, 1)
    # One is that of the pruning itself.
    assert Run.objects.count() == 3
    assert Run.objects.annotate(number=Count("batch")).filter(number__gt=0).count() == 2


def test_live_counts_that_no_page_shows_go_and_the_offsets_stay(files):
    now = clock.now()
    LiveFeed.objects.create(feed="cdr", revision=1, committed_at=now, delay=0)
    for length in (SECOND, MINUTE):
        for start in (moment(START), now.replace(second=0)):
            LiveCount.objects.create(feed="cdr", length=length, start_timestamp=start, groups={}, revision=1)
    StreamConsumer.objects.create(feed="cdr", topic="t", host="h", process=1, reported_at=moment(START))
    StreamPosition.objects.create(feed="cdr", source="kafka", stream="t", partition="0", position="7")
    assert prune("--older-than=1h", "--kind=live") == ["removed 3 rows of live counts before 2021-07-19T01:05:00Z"]
    assert set(LiveCount.objects.values_list("start_timestamp", flat=True)) == {now.replace(second=0)}
    assert StreamPosition.objects.get().position == "7"


def test_results_are_never_pruned_unless_they_are_named(files):
    tables = stored()
    prune("--older-than=1h")
    assert stored() == tables


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--older-than=1w",), "is not an age such as 90d or 36h"),
        (("--older-than=1d", "--kind=runs", "--interval=1m"), "--interval is for --kind results"),
        (("--older-than=1d", "--interval=2m"), "invalid choice"),
    ],
)
def test_wrong_use_is_reported(arguments, reason):
    with pytest.raises(CommandError, match=reason):
        prune(*arguments)


def test_pruning_and_runs_take_turns_and_neither_disturbs_the_other(place: Place):
    files = {}
    for i in range(24):
        start = START + i * 300
        files[f"ipflow_data.{i:02}.csv"] = [Flow(start, 1 + k, k, 7, k % 4, 5) for k in range(9)]
    place.put(files)
    assert place.run().code == 0
    later = {f"ipflow_data.{i:02}.csv": [Flow(START + i * 300, 5, 1, 7, 2, 5)] for i in range(24, 48)}
    runs, prunings = [], []
    for name, flows in later.items():
        place.put({name: flows})
        if not runs:
            prunings.append(place.start("prune", "--older-than=1h", "--kind=results", "--interval=5m"))
            runs.append(place.start())
    place.put(later)
    for process in prunings:
        ended = end_of(process)
        assert (ended.code, ended.err) == (0, "")
    for process in runs:
        assert (end_of(process).code) == 0
    assert place.run().code == 0
    ended = place.run("prune", "--older-than=1h", "--kind=results", "--interval=5m")
    assert (ended.code, ended.err) == (0, "")
    assert place.stored() == without(expected(files | later, START + 48 * 300), FIVE_MINUTES, START + 48 * 300)


def test_pages_tell_pruned_from_no_data(files, client):
    prune("--older-than=25h", "--interval=5m")
    page = client.get("/kpis/1/", {"interval": 1, "from": "2021-07-18T00:00", "to": "2021-07-18T03:00"})
    assert page.status_code == 200
    note = "Results from before 18 Jul 2021, 01:05 (UTC) were pruned"
    assert note in " ".join(page.content.decode().split())
    page = client.get("/kpis/1/", {"interval": 1, "from": "2021-07-18T01:05", "to": "2021-07-18T03:00"})
    assert "were pruned" not in page.content.decode()
    assert (
        client.get("/api/KPIs/1/", {"interval": 1, "interval_end_timestamp__lte": "2021-07-18T01:05:00Z"}).json() == []
    )
    for start, is_pruned in (("2021-07-18T00:05:00Z", True), ("2021-07-18T02:30:00Z", False)):
        page = client.get("/explain/", {"kpi": 1, "interval": 1, "start": start})
        assert page.status_code == 200
        assert ("results were pruned" in page.content.decode()) is is_pruned


def test_pruning_is_no_run_to_the_doctor_and_to_monitoring(files, client):
    Run.objects.update(ended_at=moment(START))
    prune("--older-than=1d", "--kind=live")
    assert Run.objects.first().command.startswith("prune ")
    metrics = client.get("/metrics").content.decode()
    assert "network_analysis_last_run_end_timestamp_seconds 1.6265664e+09\n" in metrics


def test_a_consumer_works_on_exactly_while_results_and_lake_are_pruned(place: Place):
    pytest.importorskip("confluent_kafka")
    from tests.broker import mock_broker
    from tests.streams.test_stream_kafka import consume, messages, put
    from tests.unit.sources.test_stream import without_batches

    records = messages("antenna", 100)
    with mock_broker() as broker:
        put(broker, "pruned", records[:50])
        consumer = consume(place, broker, "antenna", "pruned", topic="pruned", STREAM_BATCH_RECORDS="20")
        pruning = place.start("prune", "--older-than=1h", "--interval=5m")
        put(broker, "pruned", records[50:])
        for process in (pruning, consumer):
            ended = end_of(process)
            assert (ended.code, ended.problems) == (0, [])
    ended = place.run("prune", "--older-than=1h", "--interval=5m")
    assert (ended.code, ended.err) == (0, "")
    rows, summaries = without(expected({"all": records}, START + 10800), FIVE_MINUTES, START + 10800)
    found_rows, found_summaries = place.stored()
    assert found_rows == rows
    assert without_batches(found_summaries) == without_batches(summaries)


def test_a_batch_stays_as_long_as_the_file_of_a_duplicate_is_there(files, data_dir):
    shutil.copy(data_dir / "ipflow_data.03.csv", data_dir / "ipflow_data.copy.csv")
    update()
    Batch.objects.update(ingested_at=moment(START))
    # The copy is the only file with this content, but the ledger does not know that yet.
    (data_dir / "ipflow_data.03.csv").unlink()
    prune("--older-than=25h", "--kind=lake", "--kind=batches")
    assert Batch.objects.get(name="ipflow_data.copy.csv").duplicate_of.name == "ipflow_data.03.csv"
    tables = stored()
    assert "0 files ingested, 0 failed" in update()
    (data_dir / "ipflow_data.copy.csv").unlink()
    for arguments in (["--dry-run"], []):
        (said,) = [line for line in prune("--older-than=25h", "--kind=batches", *arguments) if "of ipflow" in line]
        assert said.partition(" rows")[0].endswith(" 2")
    assert not Batch.objects.filter(name__in=["ipflow_data.03.csv", "ipflow_data.copy.csv"]).exists()
    assert stored() == tables
