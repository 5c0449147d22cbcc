"""A new KPI is an entry in the catalog, a line that makes its model and a migration: in a copy, a thirteenth."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

pytestmark = pytest.mark.sqlite_alone

ENTRY = """
NETWORK_SPEED = KPI(
    id=13,
    name="NetworkSpeed",
    description="Kinds of network by average speed",
    feed=COVERAGE,
    by=(Dimension("network", "network", folded=True), Dimension("status", "status")),
    measure=Mean("average_speed", column="speed", samples="number_of_samples", empty="number_of_empty_values"),
    unit="km/h",
    lengths=(FIVE_MINUTES, ONE_HOUR),
)

KPIS = ("""

MODEL = """CoverageGridSignal = make_result_model(coverage.COVERAGE_GRID_SIGNAL, __name__)
NetworkSpeed = make_result_model(coverage.NETWORK_SPEED, __name__)
"""

HEADER = (
    "hour,lat,long,signal,network,operator,status,description,net,speed,satellites,precission,provider,activity,"
    "postal_code"
)
LOGS = {
    "coverage_data.2021-07-17.1.csv": [("23:01:00", "4G", "0", "10"), ("23:02:00", "4g", "0", "")],
    "coverage_data.2021-07-17.2.csv": [("23:04:59", "4G", "0", "20.5"), ("23:30:00", "4g", "0", "40")],
    # What closes the hour.
    "coverage_data.2021-07-18.1.csv": [("00:00:00", "3G", "1", "5")],
}
FIVE = {"interval_start_timestamp": "2021-07-17T23:00:00Z", "interval_end_timestamp": "2021-07-17T23:05:00Z"}
HALF = {"interval_start_timestamp": "2021-07-17T23:30:00Z", "interval_end_timestamp": "2021-07-17T23:35:00Z"}
HOUR = {"interval_start_timestamp": "2021-07-17T23:00:00Z", "interval_end_timestamp": "2021-07-18T00:00:00Z"}
LAST = {"interval_start_timestamp": "2021-07-18T00:00:00Z", "interval_end_timestamp": "2021-07-18T00:05:00Z"}


def row(times: dict, interval: int, network: str, status: int, speed: float, samples: int, empty: int) -> dict:
    return {
        **times,
        "interval": interval,
        "network": network,
        "status": status,
        "average_speed": speed,
        "number_of_samples": samples,
        "number_of_empty_values": empty,
        "rank": 1,
    }


ROWS = [
    row(FIVE, 1, "4G", 0, 15.25, 2, 1),
    row(HOUR, 2, "4G", 0, 70.5 / 3, 3, 1),
    row(HALF, 1, "4g", 0, 40.0, 1, 0),
    row(LAST, 1, "3G", 1, 5.0, 1, 0),
]

COMMANDS = """
import contextlib, io, json, sys
from django.core.management import execute_from_command_line

said = []
for command in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        execute_from_command_line(["manage.py", *command])
    said.append(out.getvalue())
print(json.dumps(said))
"""

ASK = """
import json, sys
import django
django.setup()
from django.contrib.auth.models import User
from django.test import Client
from django.test.utils import setup_test_environment

setup_test_environment()
client = Client()
client.force_login(User.objects.get_or_create(username="root", is_staff=True, is_superuser=True)[0])
answers = []
for address in json.load(sys.stdin):
    response = client.get(address)
    shown = b"".join(response.streaming_content).hex() if response.streaming else response.content.decode()
    found = len(response.context["cl"].result_list) if response.context and "cl" in response.context else None
    answers.append([response.status_code, shown, found])
print(json.dumps(answers))
"""


class Project:
    """A copy of this project, with a database, a data folder and a lake of its own."""

    def __init__(self, folder: Path):
        self.tree = folder / "project"
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=settings.BASE_DIR, capture_output=True, text=True, check=False
        )
        if listed.returncode:
            pytest.skip("needs the project as a Git checkout")
        for name in filter(None, listed.stdout.split("\0")):
            source = settings.BASE_DIR / name
            if source.is_file():
                (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, self.tree / name)
        self.data = folder / "data"
        self.data.mkdir()
        for name, logs in LOGS.items():
            lines = [f"{hour},1,2,,{net},X,{status},,,{speed},,,,," for hour, net, status, speed in logs]
            (self.data / name).write_text("\n".join([HEADER, *lines, ""]))
        self.environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "network_analysis.settings",
            "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
            "DATA_DIR": str(self.data),
            "LAKE_DIR": str(folder / "lake"),
        }

    def python(self, *arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.tree,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def manage(self, *commands: str) -> list[str]:
        """Runs commands one after the other in a process; gives what each printed."""
        return json.loads(self.python("-c", COMMANDS, stdin=json.dumps([*map(shlex.split, commands)])))

    def get(self, *addresses: str) -> list:
        """Each address's status, its text (of a download: in hex), and the admin's number of rows."""
        return json.loads(self.python("-c", ASK, stdin=json.dumps(addresses)).splitlines()[-1])

    def insert(self, path: str, before: str, text: str) -> None:
        file = self.tree / path
        content = file.read_text()
        assert content.count(before) == 1
        file.write_text(content.replace(before, text))

    def add_kpi(self) -> None:
        """The three steps: the entry, the model, the migration."""
        self.insert("kpis/catalog/builtin/coverage.py", "\nKPIS = (", ENTRY)
        self.insert("kpis/catalog/builtin/coverage.py", "    COVERAGE_GRID_SIGNAL,\n)", LISTED)
        self.insert("kpis/models/results.py", MODEL.splitlines(keepends=True)[0], MODEL)
        before = self.migrations()
        self.manage("makemigrations kpis")
        assert len(self.migrations() - before) == 1

    def migrations(self) -> set[Path]:
        return set((self.tree / "kpis/migrations").glob("0*.py"))


LISTED = "    COVERAGE_GRID_SIGNAL,\n    NETWORK_SPEED,\n)"


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path)


def without_ids(text: str) -> list[dict]:
    return [{name: value for name, value in row.items() if name != "id"} for row in json.loads(text)]


def assert_thirteenth_kpi_is_there(project: Project) -> None:
    """API, filters, exports, anomalies, summaries, schema, pages and admin, all of them with exactly the rows."""
    answers = project.get(
        "/api/KPIs/",
        "/api/KPIs/13/",
        "/api/KPIs/13/?network=4g&interval=1",
        "/api/KPIs/13/?status=1",
        "/api/KPIs/13/?status=x",
        "/api/KPIs/13/anomalies/",
        "/api/intervals/?kpi=13&interval=2",
        "/api/KPIs/13/?format=csv&interval=2",
        "/api/KPIs/13/?format=parquet",
        "/admin/kpis/networkspeed/",
        "/admin/kpis/networkspeed/?q=4g",
        "/api/schema/?format=json",
        "/",
        "/kpis/13/?interval=2",
        "/kpis/13/series.json?network=4g&status=0&from=2021-07-17T23:00Z&to=2021-07-17T23:35Z",
    )
    assert [status for status, _, _ in answers] == [200] * 4 + [400] + [200] * 10
    texts = [text for _, text, _ in answers]
    assert [kpi["name"] for kpi in json.loads(texts[0])][12:] == ["NetworkSpeed"]
    assert without_ids(texts[1]) == ROWS
    assert without_ids(texts[2]) == [ROWS[0], ROWS[2]]
    assert without_ids(texts[3]) == [ROWS[3]]
    assert json.loads(texts[5]) == []
    assert [summary["mean"] for summary in json.loads(texts[6])] == [70.5 / 3]
    header, line = bytes.fromhex(texts[7]).decode().splitlines()
    assert header.split(",")[4:] == [*list(ROWS[1])[3:]]
    assert line.split(",")[1:] == [
        "2021-07-17T23:00:00Z",
        "2021-07-18T00:00:00Z",
        "2",
        "4G",
        "0",
        "23.5",
        "3",
        "1",
        "1",
    ]
    assert bytes.fromhex(texts[8]).startswith(b"PAR1")
    assert [found for _, _, found in answers[9:11]] == [4, 3]
    assert "/api/KPIs/13/anomalies/" in json.loads(texts[11])["paths"]
    assert "Network speed" in texts[12]
    assert "4G, status 0" in texts[13]
    points = json.loads(texts[14])["datasets"]["points"]
    assert [point["value"] for point in points] == [15.25, None, None, None, None, None, 40.0]
    models, shown, *_ = project.manage(
        "shell -v 0 -c 'import kpis.models.results as r; print(dir(r))'",
        "show_network_stats",
        "check",
        f"spectacular --validate --fail-on-warn --file {os.devnull}",
    )
    assert "NetworkSpeed" in models
    assert "Kinds of network by average speed" in shown


def test_a_new_kpi_takes_an_entry_a_model_and_a_migration_and_files_are_read_again(project):
    project.manage("migrate -v 0", "update_network_stats")
    (before,) = project.get("/api/KPIs/7/")
    assert len(json.loads(before[1])) == 4
    project.add_kpi()
    *_, planned, _ = project.manage(
        "makemigrations --check --dry-run", "migrate -v 0", "update_network_stats --dry-run", "update_network_stats"
    )
    assert planned.count("for a new KPI") == 3
    assert_thirteenth_kpi_is_there(project)
    (after,) = project.get("/api/KPIs/7/")
    assert without_ids(after[1]) == without_ids(before[1])
    (again,) = project.manage("update_network_stats")
    assert again.startswith("0 files ingested, 0 failed")
