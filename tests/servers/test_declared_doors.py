"""A feed and its KPIs of a catalog file are at every door where built-in ones are, with the same exact figures."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.processes import MANAGE, Place, new_place
from tests.servers.test_new_kpi import ASK

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_alone]

CATALOG = """
[feeds.table]
description = "Table: orders of groups"
files = ["table_*.csv"]
format = {type = "csv"}
time = {column = "end"}
archive = true

[feeds.table.columns]
end = {type = "time", format = "unix_s"}
group = {type = "text"}
order = {type = "integer", minimum = 1, bits = 32}
select = {type = "integer", minimum = 0, unit = "bytes"}
owner = {type = "text", personal = true}

[kpis.Order]
id = 32767
feed = "table"
description = "Groups and orders by bytes"
by = [{name = "group", column = "group", ignore_case = true}, "order"]
measure = {type = "sum", columns = ["select"], name = "sum"}
unit = "bytes"
top = true

[kpis.OwnerRows]
id = 1000
feed = "table"
description = "Owners by rows"
by = ["owner"]
measure = {type = "count", name = "rows"}
unit = "rows"
personal = true
"""
# 2021-07-18T12:00:00Z
START = 1626609600
ROWS = [
    f"{START},From,1,10,ann",
    f"{START + 1},from,1,5,ann",
    f"{START + 1},from,1,5,bob",
    f"{START + 2},Where,2,7,bob",
    f"{START + 300},Where,2,1,bob",
    f"{START + 3600},Where,2,100,bob",
    "now,Where,2,100,bob",
]
FIVE = {"interval_start_timestamp": "2021-07-18T12:00:00Z", "interval_end_timestamp": "2021-07-18T12:05:00Z"}
HOUR = {"interval_start_timestamp": "2021-07-18T12:00:00Z", "interval_end_timestamp": "2021-07-18T13:00:00Z"}
FIRST_HOUR = [
    {**HOUR, "interval": 2, "group": "from", "order": 1, "sum": 20, "rank": 1},
    {**HOUR, "interval": 2, "group": "Where", "order": 2, "sum": 8, "rank": 2},
]


@pytest.fixture
def place(tmp_path) -> Iterator[Place]:
    made = new_place(tmp_path / "place")
    (made.folder / "catalog.toml").write_text(CATALOG)
    (made.data / "table_1.csv").write_text("\n".join(["end,group,order,select,owner", *ROWS, ""]))
    ended = run(made, "apply_catalog")
    assert "ingested table_1.csv: 6 records, 1 rejects, 3 intervals" in ended
    yield made
    made.close()


def run(place: Place, *arguments: str) -> str:
    """What a command prints, which must succeed."""
    ended = place.run(*arguments, CATALOG=str(place.folder / "catalog.toml"))
    assert ended.code == 0, ended.out + ended.err
    return ended.out


def get(place: Place, *addresses: str) -> list[str]:
    """The answers to a superuser."""
    ended = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=MANAGE.parent,
        env=place.environment(
            CATALOG=str(place.folder / "catalog.toml"), DJANGO_SETTINGS_MODULE="network_analysis.settings"
        ),
        input=json.dumps(addresses),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    answers = json.loads(ended.stdout.splitlines()[-1])
    assert {address: status for address, (status, _, _) in zip(addresses, answers, strict=True) if status != 200} == {}
    return [text for _, text, _ in answers]


def without_ids(text: str) -> list[dict]:
    return [{name: value for name, value in row.items() if name != "id"} for row in json.loads(text)]


def words(page: str) -> str:
    """A page's text, without tags."""
    return re.sub(r"\s+", " ", re.sub(r"<(script|style|svg).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL))


def test_the_api_has_them(place):
    of_hour = quote("2021-07-18T12:00:00Z")
    kpis, rows, folded, personal, csv, summaries, batches, anomalies, schema = get(
        place,
        "/api/KPIs/",
        "/api/KPIs/32767/?interval=2",
        "/api/KPIs/32767/?group=FROM&order=1&interval=1",
        "/api/KPIs/1000/?interval=2&owner=ann",
        "/api/KPIs/32767/?interval=2&format=csv",
        f"/api/intervals/?kpi=32767&interval=2&interval_start_timestamp__gte={of_hour}",
        "/api/batches/?feed=table",
        "/api/KPIs/32767/anomalies/",
        "/api/schema/?format=json",
    )
    named = {kpi["name"]: kpi for kpi in json.loads(kpis)}
    assert [*named][-2:] == ["OwnerRows", "Order"]
    assert without_ids(rows) == FIRST_HOUR
    assert without_ids(folded) == [{**FIVE, "interval": 1, "group": "from", "order": 1, "sum": 20, "rank": 1}]
    assert [(row["owner"], row["rows"]) for row in json.loads(personal)] == [("ann", 2)]
    assert bytes.fromhex(csv).decode().splitlines()[1].split(",")[1:] == [*map(str, FIRST_HOUR[0].values())]
    (summary,) = json.loads(summaries)
    assert (summary["total"], summary["groups"], summary["records"], summary["state"]) == (28, 2, 5, "final")
    (batch,) = json.loads(batches)
    assert (batch["name"], batch["records"], batch["rejects"]) == ("table_1.csv", 6, 1)
    assert json.loads(anomalies) == []
    paths = json.loads(schema)["paths"]
    assert {"/api/KPIs/32767/", "/api/KPIs/32767/anomalies/", "/api/KPIs/1000/"} <= {*paths}
    parameters = {one["name"] for one in paths["/api/KPIs/32767/"]["get"]["parameters"]}
    assert {"group", "order", "interval", "rank__lte"} <= parameters
    rejects, metrics = get(place, f"/api/batches/{batch['id']}/rejects/", "/metrics")
    assert [(one["line"], one["column"]) for one in json.loads(rejects)] == [(8, "end")]
    assert 'network_analysis_records{feed="table"} 6.0' in metrics
    assert 'network_analysis_newest_interval_age_seconds{feed="table"}' in metrics


def test_the_console_and_the_admin_have_them(place):
    group = "group=from&order=1"
    overview, standouts, page, series, quality, explained, total, rows, found, owners, watermarks, *more = get(
        place,
        "/",
        "/standouts/",
        f"/kpis/32767/?interval=2&{group}",
        f"/kpis/32767/series.json?{group}&interval=1&from=2021-07-18T12:00Z&to=2021-07-18T12:10Z",
        "/quality/",
        f"/explain/?kpi=32767&interval=2&start=2021-07-18T12:00Z&{group}",
        "/explain/?kpi=32767&interval=2&start=2021-07-18T12:00Z",
        "/admin/declared/order/",
        "/admin/declared/order/?q=WHERE",
        "/admin/declared/ownerrows/?q=ann",
        "/admin/kpis/watermark/?feed=table",
        "/kpis/32767/top.json?interval=2",
        "/kpis/32767/rows.csv?interval=2",
        "/kpis/32767/groups/?search=whe&interval=2",
        "/live/",
        "/operators/",
        "/map/",
        "/quotas/",
    )
    assert "Order 100 B hour before up +270.4 %" in words(overview)
    assert "Order true total: 100 B of 1 groups" in words(overview)
    assert words(standouts).strip() == "No anomalies."
    assert "Groups and orders by bytes. KPI 32767, bytes, from the table feed." in words(page)
    assert "1 from 1 20 Explain 2 Where 2 8 Explain" in words(page)
    assert [point["value"] for point in json.loads(series)["datasets"]["points"]] == [20, None]
    assert "table 1 0 6 1 14.3 %" in words(quality)
    assert "10 of 13 without records" in words(quality)
    assert "table_1.csv , line 8" in words(quality)
    assert "Sum 20 bytes Rank 1 of 2" in words(explained)
    assert "Sum 28 bytes Groups 2" in words(total)
    assert [page.count('class="field-rank"') for page in (rows, found, owners)] == [6, 4, 2]
    assert "table" in words(watermarks)
    top, file, groups, *_ = more
    assert [bar["value"] for bar in json.loads(top)["datasets"]["bars"]] == [20, 8]
    assert bytes.fromhex(file).decode().splitlines()[1].split(",")[1:] == [*map(str, FIRST_HOUR[0].values())]
    assert "Where, order 2" in words(groups)


def test_commands_and_the_lake_have_them(place):
    shown = run(place, "show_network_stats", "--interval", "1h")
    assert "Groups and orders by bytes\n2021-07-18T12:00:00Z to 2021-07-18T13:00:00Z, final; bytes in all: 28" in shown
    assert "from" in shown
    for view, rows in (
        ('"Order"', [{"group": "from", "order": 1, "sum": 20}, {"group": "Where", "order": 2, "sum": 7}]),
        ('"table"', [{"group": "From", "order": 1, "sum": 10}, {"group": "Where", "order": 2, "sum": 7}]),
    ):
        column = '"sum"' if view == '"Order"' else '"select"'
        answer = run(
            place,
            "query_lake",
            f'SELECT first("group" ORDER BY "group") AS "group", "order", max({column}) AS "sum" FROM {view} '
            'WHERE interval_start = TIMESTAMP \'2021-07-18 12:00:00\' GROUP BY "order" ORDER BY "order"',
            "--format",
            "json",
        )
        assert json.loads(answer) == rows
    ddl = run(place, "lake_ddl", "--dialect", "spark")
    for table in ("table", "Order_partials", "OwnerRows_partials", "table_rejects"):
        assert f"CREATE TABLE IF NOT EXISTS network_analysis.`{table}` (" in ddl
    assert "`select` BIGINT" in ddl
    run(place, "doctor")
    chart = place.folder / "chart.svg"
    run(place, "plot", "Order", "--group", "group=from", "--group", "order=1", "--out", str(chart))
    assert chart.read_text().startswith("<svg")
