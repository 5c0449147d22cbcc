"""``export_catalog``: what it writes, where, and what it says of what it cannot."""

from __future__ import annotations

import io
import json
import sys

import pytest
import yaml
from django.core.management import CommandError, call_command

from kpis.catalog.registry import KPIS
from tests.factories import MIDNIGHT, make_result, make_summary

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_alone]


def output(*names: str, **options) -> str:
    out = io.StringIO()
    call_command("export_catalog", *names, stdout=out, **options)
    return out.getvalue()


def test_a_contract_names_the_database_the_lake_and_the_api(settings):
    found = yaml.safe_load(output("1", format="odcs", api="https://kpis.example"))
    assert [server["server"] for server in found["servers"]] == ["database", "lake", "api"]
    assert found["servers"][1]["path"] == f"{settings.LAKE_DIR}"
    assert [one["physicalName"] for one in found["schema"]] == [KPIS[1].name and "kpis_servicetrafficvolume"]


def test_a_schema_of_one_is_the_document_and_of_several_a_file_each(tmp_path):
    assert json.loads(output("cdr", format="json-schema"))["title"] == "cdr"
    assert output("cdr", "1", format="json-schema", output=tmp_path / "new" / "folder") == ""
    files = sorted((tmp_path / "new" / "folder").iterdir())
    assert [path.name for path in files] == ["ServiceTrafficVolume.schema.json", "cdr.schema.json"]
    assert [json.loads(path.read_text())["title"] for path in files] == ["ServiceTrafficVolume", "cdr"]


def test_arrow_schemas_are_files(tmp_path):
    output("cdr", format="arrow", output=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["cdr.arrow", "cdr_rejects.arrow"]


def test_metrics_have_the_newest_values():
    make_result(KPIS[1], MIDNIGHT, 1, total_bytes=42)
    make_summary(1, MIDNIGHT)
    name = "network_analysis_kpi_service_traffic_volume_total_bytes"
    end = int(MIDNIGHT.timestamp()) + 300
    assert f'{name}{{interval="5m",service_id="1"}} 42.0 {end}\n# EOF\n' in output("1", format="openmetrics")


@pytest.mark.parametrize(
    ("names", "options", "message", "code"),
    [
        (["ipflw"], {"format": "odcs"}, "ipflw is no feed and no KPI: did you mean ipflow?", 2),
        (["§"], {"format": "odcs"}, "§ is no feed and no KPI: there are ipflow, antenna, coverage, cdr, Service", 2),
        ([], {"format": "arrow"}, "arrow needs --output FOLDER: a file for each table.", 2),
        (["cdr"], {"format": "json-schema", "api": "http://x"}, "--api is for odcs.", 2),
    ],
)
def test_wrong_use_is_named(names, options, message, code):
    with pytest.raises(CommandError) as error:
        output(*names, **options)
    assert f"{error.value}".startswith(message)
    assert error.value.returncode == code


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match=r"file/x cannot be written: Not a directory\.$"):
        output("cdr", format="odcs", output=tmp_path / "file" / "x")


def test_without_its_extra_the_command_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CommandError, match=r'Arrow schemas need pyarrow.*: pip install "network-analysis\[arrow\]"'):
        output(format="arrow", output=tmp_path)


def test_a_reader_that_leaves_ends_it_quietly():
    class Left(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    call_command("export_catalog", format="odcs", stdout=Left())
