"""Arrow schemas: those of the lake's files, and of the API's Parquet."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kpis.catalog.registry import FEEDS, KPIS
from kpis.contracts.arrow import documents, schemas
from kpis.contracts.selection import select
from kpis.lake.tables import lake_tables
from tests.copies import made_once
from tests.factories import MIDNIGHT, make_result, make_user
from tests.two_hours import ingest_two_hours

pytestmark = pytest.mark.sqlite_alone


def read(content: bytes) -> pa.Schema:
    with pa.ipc.open_file(io.BytesIO(content)) as file:
        assert file.num_record_batches == 0
        return file.schema


def types(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    """The columns; in some files one that has no NULL there is said to have none."""
    return [(field.name, field.type) for field in schema]


@pytest.mark.django_db(transaction=True)
def test_a_tables_schema_is_that_of_its_files(data_dir, lake_dir, tmp_path, settings):
    settings.ARCHIVE_FEEDS = tuple(FEEDS)
    made_once("two hours", tmp_path, lambda: ingest_two_hours(data_dir))
    files = documents(select([]))
    checked = 0
    for table in lake_tables():
        schema = read(files[table.name])
        for path in (lake_dir / table.folder).rglob("*.parquet"):
            checked += 1
            # Without the hour, which pyarrow would add from the folders' names.
            assert types(pq.ParquetFile(path).schema_arrow) == types(schema), table.name
    assert checked > 20


@pytest.mark.django_db
@pytest.mark.parametrize("kpi", [KPIS[6], KPIS[7], KPIS[9], KPIS[11]], ids=lambda kpi: kpi.name)
def test_a_results_schema_is_that_of_the_apis_parquet(client, kpi):
    client.force_login(make_user("view_personal"))
    make_result(kpi, MIDNIGHT, 1)
    content = client.get(f"/api/KPIs/{kpi.id}/?format=parquet").getvalue()
    found = pq.read_schema(io.BytesIO(content)).remove_metadata()
    assert read(documents(select([kpi.name]))[kpi.name]).remove_metadata().equals(found)


def test_fields_have_descriptions_and_units():
    found = schemas(select(["ipflow", "ServiceTrafficVolume"]))
    assert list(found) == ["ipflow", "ipflow_rejects", "ServiceTrafficVolume_partials", "ServiceTrafficVolume"]
    assert found["ipflow"].field("bytes_uplink").metadata == {b"description": b"bytes; 0 or more"}
    assert found["ipflow"].metadata[b"folder"] == b"records/ipflow"
    results = found["ServiceTrafficVolume"]
    assert results.field("total_bytes").metadata[b"unit"] == b"bytes"
    assert results.metadata[b"kpi_id"] == b"1"
    assert schemas(select(["UserTrafficVolume"]))["UserTrafficVolume"].metadata[b"personal"] == b"true"
