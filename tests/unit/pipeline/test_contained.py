"""One bad thing stops nothing else: damaged lake files and files that cannot go in, each with its reason."""

from __future__ import annotations

import io
import re
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.core.management import call_command

from kpis import pipeline
from kpis.ingest import engines
from kpis.models import Batch, DueRollup, IntervalSummary
from tests.servers.test_faults import DAMAGES
from tests.twin import Call, Flow, Log, Message, Record, expected, moment, stored
from tests.unit.pipeline.test_archives import newest, put

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("each_alone")]

START = 1626566400  # 2021-07-18T00:00:00Z
LARGEST = 2**63 - 1


def flows(start: int, number: int) -> list[Record]:
    return [Flow(start, number * 10 + user, user, 1, user % 3, user % 2) for user in range(1, 5)]


def messages(start: int, number: int) -> list[Record]:
    return [Message(start + second, number, second % 2, second, "SKYPE") for second in range(1, 5)]


def logs(start: int, number: int) -> list[Record]:
    return [Log(start + second, "Movistar", f"{number}", second % 4, "5", "28001") for second in range(1, 5)]


def calls(start: int, number: int) -> list[Record]:
    return [Call(start + second, f"County{number}", "O2", "CALL") for second in range(1, 5)]


# By feed: how a file is named, its records, the KPI of which a partial is damaged, and how.
FEEDS = {
    "ipflow": ("ipflow_data.{}.csv", flows, "CellUniqueUsers", "gone"),
    "antenna": ("antenna_data.{}.jsonl", messages, "AppTrafficVolume", "cut off"),
    "coverage": ("coverage_data.{}.csv", logs, "OperatorSignal", "zeros"),
    "cdr": ("cdr_data.{}.csv", calls, "CountyCallVolume", "text"),
}
IDS = {"ipflow": 2, "antenna": 4, "coverage": 7, "cdr": 10}


def update() -> tuple[int, str]:
    """Runs the command; returns its exit status and what it says."""
    out = io.StringIO()
    try:
        call_command("update_network_stats", stdout=out, stderr=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def closed(files: dict[str, list[Record]]) -> dict[type, int]:
    """Up to when the intervals of each kind of record have closed."""
    kinds = {type(records[0]) for records in files.values()}
    return {kind: newest({name: some for name, some in files.items() if type(some[0]) is kind}) for kind in kinds}


def files_at(name: str, start: int, number: int) -> dict[str, list[Record]]:
    return {pattern.format(name): make(start, number) for pattern, make, _, _ in FEEDS.values()}


def partials_of(lake: Path, feed: str, name: str) -> Path:
    """The lake's file of a batch, of the KPI that is damaged."""
    pattern, _, kpi, _ = FEEDS[feed]
    return next(lake.glob(f"partials/{kpi}/**/{Batch.objects.get(name=pattern.format(name)).key}*.parquet"))


@contextmanager
def little_room(choice):
    """The engine where no large file finds room."""
    with pipeline.engine(engines.settings.LAKE_DIR) as engine:
        engine.connection.execute("SET max_temp_directory_size = '0KB'")
        engine.connection.execute("SET memory_limit = '16MB'")
        yield engine


def test_one_bad_thing_of_each_kind_stops_nothing_else(data_dir, lake_dir, monkeypatch):
    good = files_at("a", START, 1) | files_at("b", START + 300, 2) | files_at("c", START + 3600, 3)
    put(data_dir, good)
    assert update()[0] == 0
    before_rows, before_summaries = stored()
    damaged = {partials_of(lake_dir, feed, "a"): how for feed, (_, _, _, how) in FEEDS.items()}
    whole = {path: path.read_bytes() for path in damaged}
    for path, how in damaged.items():
        DAMAGES[how](path)

    good |= files_at("late", START, 4)
    # Not in the order of time, so that they are sorted to be archived.
    messages = [Message(START + 3900 + n % 7, n % 50, n % 9, 1, f"app{n % 7}" * 20) for n in range(60_000)]
    large = {"antenna_data.large.jsonl": messages}
    put(data_dir, good | large)
    put(data_dir, {"antenna_data.beyond.jsonl": [Message(START + 3900, 1, 1, LARGEST, "A")] * 2})
    (data_dir / "cdr_data.broken.csv.gz").write_bytes(b"\x1f\x8b no gzip")
    with monkeypatch.context() as patch:
        patch.setattr(engines.LocalEngine, "open", little_room)
        status, printed = update()
    assert status == 1
    assert "4 files ingested" in printed
    failed = {batch.name: batch.reason for batch in Batch.objects.filter(status="failed")}
    assert failed.keys() == {*large, "antenna_data.beyond.jsonl", "cdr_data.broken.csv.gz"}
    assert failed["antenna_data.large.jsonl"].startswith("Cannot go on with MEMORY_LIMIT_MB")
    assert "beyond 2^63-1" in failed["antenna_data.beyond.jsonl"]
    for feed in FEEDS:
        path = partials_of_damaged(damaged, FEEDS[feed][2])
        lines = [line for line in printed.splitlines() if line.startswith(f"failed {feed}, ") and path.name in line]
        assert any(" from 2021-07-18T00:00:00Z: The lake" in line for line in lines)

    # All but what needs a damaged file is as if there were none; that keeps what it had, with the reason.
    rows, summaries = stored()
    wanted_rows, wanted_summaries = expected(good, closed(good))
    needing = {
        (kpi, interval, moment(START + (second - second % SECONDS[interval])))
        for feed, kpi in IDS.items()
        for interval in ((1, 2, 3) if feed == "cdr" else (1, 2))
        for second in (0,)
    }
    assert {key: value for key, value in rows.items() if key not in needing} == {
        key: value for key, value in wanted_rows.items() if key not in needing
    }
    assert {key: value for key, value in summaries.items() if key not in needing} == {
        key: value for key, value in wanted_summaries.items() if key not in needing
    }
    for key in needing:
        assert rows[key] == before_rows[key]
        assert summaries[key] == (*before_summaries[key][:4], "incomplete")
    reasons = set(IntervalSummary.objects.filter(state="incomplete").values_list("reason", flat=True))
    assert reasons == {
        f"a lake file that it needs is {'missing' if how == 'gone' else 'damaged'}: {path.relative_to(lake_dir)}"
        for path, how in damaged.items()
    }

    for path, content in whole.items():
        path.write_bytes(content)
    status, printed = update()
    assert status == 0, printed
    good |= large
    assert stored() == expected(good, closed(good))
    assert not IntervalSummary.objects.filter(state="incomplete").exists()
    assert not DueRollup.objects.filter(interval_start_timestamp__lt=moment(START + 3600)).exists()


SECONDS = {1: 300, 2: 3600, 3: 60}


def partials_of_damaged(damaged: dict[Path, str], kpi: str) -> Path:
    return next(path for path in damaged if kpi in path.parts)


def test_an_incomplete_interval_says_so_wherever_it_is_shown(data_dir, lake_dir, client):
    put(data_dir, {"cdr_data.a.csv": calls(START, 1), "cdr_data.b.csv": calls(START + 3540, 2)})
    assert update()[0] == 0
    path = partials_of(lake_dir, "cdr", "a")
    path.unlink()
    put(data_dir, {"cdr_data.late.csv": calls(START, 3)})
    assert update()[0] == 1
    reason = f"a lake file that it needs is missing: {path.relative_to(lake_dir)}"
    found = client.get("/api/intervals/?kpi=10&state=incomplete").json()
    assert [(one["interval"], one["reason"], one["total"]) for one in found] == [
        (1, reason, 4),
        (2, reason, 8),
        (3, reason, 4),
    ]
    for address in (
        "/kpis/10/?interval=2",
        "/quality/",
        "/explain/?kpi=10&interval=2&start=2021-07-18T00:00Z",
    ):
        text = client.get(address).content.decode()
        assert "incomplete" in text, address
        assert reason in text, address
        assert str(lake_dir) not in text, address
    out = io.StringIO()
    call_command("show_network_stats", "--interval=1h", stdout=out)
    assert f"Incomplete: {reason}." in out.getvalue()


def test_the_overview_marks_a_newest_interval_that_is_incomplete(data_dir, client):
    put(data_dir, files_at("a", START, 1))
    assert update()[0] == 0
    assert "incomplete" not in client.get("/").content.decode()
    IntervalSummary.objects.filter(kpi=1).update(state="incomplete", reason="a lake file is missing")
    (tag,) = re.findall(r'<span class="tag warn"[^>]*>incomplete</span>', client.get("/").content.decode())
    assert 'title="a lake file is missing"' in tag


def test_an_interval_without_figures_yet_has_a_summary_without_a_total(data_dir, lake_dir, client):
    put(data_dir, {"cdr_data.a.csv": calls(START, 1)})
    assert update()[0] == 0
    partials_of(lake_dir, "cdr", "a").unlink()
    # The hour closes only now.
    put(data_dir, {"cdr_data.b.csv": calls(START + 3600, 2)})
    assert update()[0] == 1
    (hour,) = client.get("/api/intervals/?kpi=10&interval=2").json()
    assert (hour["state"], hour["total"], hour["groups"], hour["records"], hour["batches"]) == (
        "incomplete",
        None,
        0,
        4,
        1,
    )
    for address in ("/", "/kpis/10/?interval=2", "/kpis/10/?interval=1", "/quality/", "/kpis/10/?interval=2&span=7d"):
        assert client.get(address).status_code == 200, address
    assert client.get("/explain/?kpi=10&interval=2&start=2021-07-18T00:00Z").status_code == 200
    call_command("show_network_stats", "--interval=1h", stdout=io.StringIO())


def test_a_damaged_hour_is_not_compacted_and_its_figures_stay_final(data_dir, lake_dir):
    good = files_at("a", START, 1) | files_at("b", START + 300, 2) | files_at("c", START + 3600, 3)
    put(data_dir, good)
    assert update()[0] == 0
    path = partials_of(lake_dir, "coverage", "a")
    whole = path.read_bytes()
    DAMAGES["zeros inside"](path)
    status, printed = update()
    assert status == 1
    (line,) = [line for line in printed.splitlines() if line.startswith("failed ")]
    assert line.startswith(f"failed coverage, compaction of the hour from 2021-07-18T00:00:00Z: The lake's file {path}")
    assert stored() == expected(good, closed(good))
    # The hour's other files are one by now.
    assert len(list(lake_dir.glob("partials/PostalCodeStatus/**/hour=00/*.parquet"))) == 1
    assert len(list(lake_dir.glob("partials/OperatorSignal/**/hour=00/*.parquet"))) == 2
    path.write_bytes(whole)
    assert update()[0] == 0
    assert len(list(lake_dir.glob("partials/OperatorSignal/**/hour=00/*.parquet"))) == 1


def test_a_rebuild_leaves_what_it_cannot_read_and_does_the_rest(data_dir, lake_dir):
    good = files_at("a", START, 1) | files_at("b", START + 300, 2) | files_at("c", START + 3600, 3)
    put(data_dir, good)
    assert update()[0] == 0
    path = partials_of(lake_dir, "antenna", "a")
    whole = path.read_bytes()
    path.unlink()
    rebuild = {"rebuild": [moment(START), moment(START + 7200)]}
    out = io.StringIO()
    with pytest.raises(SystemExit, match="1"):
        call_command("update_network_stats", stdout=out, stderr=out, **rebuild)
    assert f"failed antenna, 5 minutes from 2021-07-18T00:00:00Z: The lake lacks {path}" in out.getvalue()
    rows, _ = stored()
    assert rows == expected(good, closed(good))[0]
    assert IntervalSummary.objects.filter(state="incomplete").count() == 2
    path.write_bytes(whole)
    assert update()[0] == 0
    assert stored() == expected(good, closed(good))
