"""Parquet: the whole filtered result with its types, at flat memory."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from operator import attrgetter
from tempfile import NamedTemporaryFile

import duckdb
import pytest
from django.conf import settings

from kpis.catalog.intervals import ONE_HOUR, to_milliseconds
from kpis.catalog.registry import KPIS
from kpis.query import parquet
from tests.answers import parquet_rows
from tests.effort import times
from tests.factories import make_batch, make_reject, make_result, make_run, make_summary, make_user, utc

HOUR = utc("2021-07-17T23:00:00")
NEXT_HOUR = HOUR + timedelta(hours=1)
MEDIA_TYPE = "application/vnd.apache.parquet"


def microseconds(moment) -> int:
    return to_milliseconds(moment) * 1000


def types(response) -> dict[str, str]:
    """The columns of a Parquet file with their types, as the file itself says."""
    with NamedTemporaryFile(suffix=".parquet") as file, duckdb.connect() as connection:
        file.write(response.getvalue())
        file.flush()
        query = f"SELECT name, type, converted_type, logical_type FROM parquet_schema('{file.name}') OFFSET 1"
        found = connection.execute(query).fetchall()
    return {name: " ".join(filter(None, (kind, converted))) for name, kind, converted, _ in found}


WHOLE, NUMBER, TEXT, MOMENT = "INT64 INT_64", "DOUBLE", "BYTE_ARRAY UTF8", "INT64 TIMESTAMP_MICROS"
INTERVAL = {
    "id": WHOLE,
    "interval_start_timestamp": MOMENT,
    "interval_end_timestamp": MOMENT,
    "interval": WHOLE,
}
RESULTS = {
    1: {"service_id": WHOLE, "total_bytes": WHOLE},
    2: {"cell_id": WHOLE, "number_of_unique_users": WHOLE},
    3: {"antenna_id": TEXT, "total_bytes": WHOLE},
    4: {"app": TEXT, "total_bytes": WHOLE},
    5: {"user_id": TEXT, "total_bytes": WHOLE},
    6: {"email": TEXT, "usage": WHOLE, "quota": WHOLE},
    7: {"operator": TEXT, "average_signal": NUMBER, "number_of_samples": WHOLE, "number_of_empty_values": WHOLE},
    8: {"operator": TEXT, "average_precision": NUMBER, "number_of_samples": WHOLE, "number_of_empty_values": WHOLE},
    9: {"postal_code": TEXT, "status": WHOLE, "number_of_reports": WHOLE},
    10: {"county": TEXT, "number_of_calls": WHOLE},
    11: {"operator": TEXT, "call_type": TEXT, "number_of_calls": WHOLE, "market_share": NUMBER},
    12: {"grid_cell": TEXT, "average_signal": NUMBER, "number_of_samples": WHOLE, "number_of_empty_values": WHOLE},
}


@pytest.mark.django_db
@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("kpi", KPIS.values(), ids=attrgetter("name"))
def test_columns_of_every_kpi_have_their_types_also_without_rows(client, kpi, rows):
    client.force_login(make_user("view_personal"))
    for rank in range(1, rows + 1):
        make_result(kpi, HOUR, rank)
    assert types(client.get(f"/api/KPIs/{kpi.id}/?format=parquet")) == INTERVAL | RESULTS[kpi.id] | {"rank": WHOLE}


@pytest.mark.django_db
def test_rows_are_exact_to_the_last_bit_and_filtered(client, monkeypatch):
    monkeypatch.setattr(parquet, "_ROWS_A_PART", 2)
    made = [
        make_result(KPIS[7], HOUR, rank, ONE_HOUR, operator=operator, average_signal=signal)
        for rank, operator, signal in [(1, "Órange", 0.1 + 0.2), (2, "=1+1", None), (3, "", -1e300), (4, "\\N", 5e-324)]
    ]
    make_result(KPIS[7], HOUR, 1, operator="left out")
    response = client.get("/api/KPIs/7/?interval=2&format=parquet")
    assert response["Content-Type"] == MEDIA_TYPE
    assert response["Content-Disposition"] == 'attachment; filename="OperatorSignal.parquet"'
    assert parquet_rows(response) == [
        {
            "id": row.pk,
            "interval_start_timestamp": microseconds(HOUR),
            "interval_end_timestamp": microseconds(NEXT_HOUR),
            "interval": 2,
            "operator": row.operator,
            "average_signal": row.average_signal,
            "number_of_samples": 7,
            "number_of_empty_values": 7,
            "rank": row.rank,
        }
        for row in made
    ]


@pytest.mark.django_db
def test_whole_numbers_keep_64_bits(client):
    make_result(KPIS[2], HOUR, 1, cell_id=-(2**63), number_of_unique_users=2**63 - 1)
    (row,) = parquet_rows(client.get("/api/KPIs/2/?format=parquet"))
    assert (row["cell_id"], row["number_of_unique_users"]) == (-(2**63), 2**63 - 1)


@pytest.mark.django_db
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5])
def test_a_list_is_given_whole_in_order_and_in_one_query(client, monkeypatch, django_assert_num_queries, rows):
    monkeypatch.setattr(parquet, "_ROWS_A_PART", 2)
    for rank in range(rows, 0, -1):
        make_result(KPIS[1], HOUR, rank)
    with django_assert_num_queries(1):
        response = client.get("/api/KPIs/1/?format=parquet")
    assert [row["rank"] for row in parquet_rows(response)] == list(range(1, rows + 1))


@pytest.mark.django_db
def test_other_lists_have_their_types_too(client):
    batch = make_batch(make_run(), "a.csv", retry=True)
    make_reject(batch, 3, text="1,2")
    make_summary(7, HOUR, total=None, mean=1.5)
    make_result(KPIS[1], HOUR, 1, ONE_HOUR)
    (row,) = parquet_rows(client.get("/api/v1/services-kpis/?format=parquet"))
    assert (row["interval_start_timestamp"], row["interval"]) == (to_milliseconds(HOUR), 60)
    (row,) = parquet_rows(client.get("/api/batches/?format=parquet"))
    assert (row["name"], row["retry"], row["run"], row["taken_in_at"]) == (
        "a.csv",
        True,
        batch.run_id,
        microseconds(batch.ingested_at),
    )
    assert parquet_rows(client.get(f"/api/batches/{batch.pk}/rejects/?format=parquet"))[0]["text"] is None
    (row,) = parquet_rows(client.get("/api/intervals/?format=parquet"))
    assert (row["kpi"], row["total"], row["mean"], row["previous_updated_at"]) == (7, None, 1.5, None)
    assert types(client.get("/api/intervals/?format=parquet"))["previous_mean"] == NUMBER


def test_the_catalog(client):
    rows = parquet_rows(client.get("/api/KPIs/?format=parquet"))
    assert [row["id"] for row in rows] == list(KPIS)
    (calls,) = (row for row in rows if row["id"] == 11)
    assert (calls["dimensions"], calls["intervals"], calls["top"]) == ("operator call_type", "3 1 2", False)


@pytest.mark.django_db
def test_the_accept_header_asks_for_parquet_too(client):
    response = client.get("/api/KPIs/1/", headers={"accept": MEDIA_TYPE})
    assert response["Content-Type"] == MEDIA_TYPE
    assert parquet_rows(response) == []


@pytest.mark.django_db
def test_what_is_wrong_is_reported_in_json(client):
    response = client.get("/api/KPIs/1/?format=parquet&service_id=x&page_size=1")
    assert (response.status_code, response["Content-Type"]) == (400, "application/json")
    assert list(response.json()) == ["page_size"]
    response = client.get("/api/KPIs/5/?format=parquet")
    assert (response.status_code, response["Content-Type"]) == (401, "application/json")


@pytest.mark.django_db
def test_a_single_object_has_no_file(client):
    batch = make_batch(make_run(), "a.csv")
    response = client.get(f"/api/batches/{batch.pk}/?format=parquet")
    assert (response.status_code, response.json()) == (400, {"format": ["Choose one of: json, api, csv."]})


@pytest.mark.django_db
def test_nothing_stays_on_the_disk(client, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    make_result(KPIS[1], HOUR, 1)
    response = client.get("/api/KPIs/1/?format=parquet")
    assert list(tmp_path.iterdir()) == []
    assert response.getvalue().startswith(b"PAR1")


@pytest.mark.django_db
def test_pandas_opens_it_with_the_right_types(client, tmp_path):
    pytest.importorskip("pyarrow", reason="pandas needs it, or fastparquet, to open Parquet")
    import pandas as pd

    make_result(KPIS[11], HOUR, 1, operator="Órange", market_share=0.25)
    path = tmp_path / "export.parquet"
    path.write_bytes(client.get("/api/KPIs/11/?format=parquet").getvalue())
    frame = pd.read_parquet(path)
    assert frame.dtypes.astype(str).to_dict() == {
        "id": "int64",
        "interval_start_timestamp": "datetime64[us, UTC]",
        "interval_end_timestamp": "datetime64[us, UTC]",
        "interval": "int64",
        "operator": "str",
        "call_type": "str",
        "number_of_calls": "int64",
        "market_share": "float64",
        "rank": "int64",
    }
    assert frame.loc[0, "interval_start_timestamp"] == HOUR


# The rows of the large export; EXPORT_ROWS=2000000 tries what an operator's year of intervals comes to.
EXPORT_ROWS = times("EXPORT_ROWS", 200_000, 1_000_000)

FILL = """
import sys
import django
django.setup()
from django.core.management import call_command
from django.db import connection

call_command("migrate", verbosity=0)
with connection.cursor() as cursor:
    cursor.execute(
        "INSERT INTO kpis_operatorcallvolume (interval_start_timestamp, interval_end_timestamp, interval, rank, "
        "operator, operator_folded, call_type, number_of_calls, market_share) "
        "WITH RECURSIVE counted (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM counted WHERE n < %s) "
        "SELECT datetime('2021-01-01', (n / 20) || ' minutes'), datetime('2021-01-01', (n / 20 + 1) || ' minutes'), 3, "
        "n %% 20 + 1, 'operator ' || (n %% 20), 'operator ' || (n %% 20), 'CALL', n + 1, 0.05 FROM counted",
        [int(sys.argv[1]) - 1],
    )
"""

# As a plain install is: pandas loads pyarrow wherever it finds it, as where Spark's packages are.
EXPORT = """
import re, sys
sys.modules["pyarrow"] = None
import django
django.setup()
from django.test import Client

response = Client().get("/api/KPIs/11/?format=parquet")
with open(sys.argv[1], "wb") as file:
    file.writelines(response.streaming_content)
response.close()
assert response.status_code == 200, response.status_code
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="measures with Linux's /proc")
def test_a_large_export_stays_under_300_mb_of_memory(tmp_path):
    target = tmp_path / "export.parquet"
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "network_analysis.settings",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}",
        "ALLOWED_HOSTS": "testserver",
    }

    def python(code: str, argument: object) -> str:
        command = [sys.executable, "-c", code, str(argument)]
        done = subprocess.run(
            command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    python(FILL, EXPORT_ROWS)
    peak = int(python(EXPORT, target).splitlines()[-1]) * 1024
    with duckdb.connect() as connection:
        query = f"SELECT count(*), sum(number_of_calls), count(DISTINCT interval_start_timestamp) FROM '{target}'"
        found = connection.execute(query).fetchone()
    assert found == (EXPORT_ROWS, EXPORT_ROWS * (EXPORT_ROWS + 1) // 2, -(-EXPORT_ROWS // 20))
    assert peak < 300_000_000
