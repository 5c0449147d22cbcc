"""A plug-in of somebody else: built as a wheel, installed, used, and removed."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import sysconfig
import venv
from contextlib import closing
from pathlib import Path
from textwrap import dedent

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "network-analysis-probes"
version = "1.0"

[project.entry-points."network_analysis.plugins"]
probes = "network_analysis_probes"

[tool.hatch.build.targets.wheel]
packages = ["network_analysis_probes"]
"""

PLUGIN = """
from kpis.plugins.plugin import Page, Plugin

PLUGIN = Plugin(
    name="probes",
    description="Probes that write lines of fixed width",
    hooks=1,
    settings="network_analysis_probes.settings",
    catalog_files=("probes.toml",),
    formats={"fixed_width": "network_analysis_probes.fixed_width:FORMAT"},
    measures={"spread": "network_analysis_probes.spread:make_spread"},
    pages=(Page("Probes", "", "network_analysis_probes.views:probes"),),
)
"""

SETTINGS = """
from network_analysis.environment import Group

probes = Group("Probes")
PROBES_TITLE = probes.text("PROBES_TITLE", "Probes", help="The title of the page of probes.")
"""

CATALOG = """
[feeds.probe]
description = "What probes measured"
files = ["probe_*.dat"]
format = {type = "plugin", name = "fixed_width", options = {widths = [10, 4, 6]}}
time = {column = "at"}

[feeds.probe.columns]
at = {type = "time", format = "unix_s"}
cell = {type = "integer", minimum = 1}
delay = {type = "integer", unit = "ms"}

[kpis.CellProbes]
id = 1001
description = "Cells by number of probes"
feed = "probe"
by = ["cell"]
measure = {type = "count", name = "probes"}
unit = "probes"

[kpis.CellSpread]
id = 1002
description = "Cells by spread of delays"
feed = "probe"
by = ["cell"]
measure = {type = "plugin", kind = "spread", name = "delay_spread", columns = ["delay"]}
unit = "ms"
"""

VIEWS = """
from django.conf import settings
from django.shortcuts import render


def probes(request):
    return render(request, "probes/probes.html", {"title": settings.PROBES_TITLE})
"""

COMMAND = """
from django.core.management.base import BaseCommand

from kpis.catalog.registry import KPIS


class Command(BaseCommand):
    help = "Names the KPIs of probes."

    def handle(self, **options):
        self.stdout.write(", ".join(kpi.name for kpi in KPIS.values() if kpi.feed.name == "probe"))
"""

ANSWERS = """
import json
import django
django.setup()
from django.test import Client

def body(address):
    answer = Client().get(address)
    return [answer.status_code, answer.content.decode()]

print(json.dumps({address: body(address) for address in ADDRESSES}))
"""


def example(page: str) -> str:
    """The code of the example of a page of the reference."""
    text = (ROOT / "docs" / "reference" / f"{page}.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return code


def run(command, **options) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    source = tmp_path_factory.mktemp("probes")
    package = source / "network_analysis_probes"
    files = {
        "__init__.py": "",
        "plugin.py": PLUGIN,
        "settings.py": SETTINGS,
        "probes.toml": CATALOG,
        "fixed_width.py": example("formats"),
        "spread.py": example("measures"),
        "views.py": VIEWS,
        "templates/probes/probes.html": (
            '{% extends "console/base.html" %}{% block content %}<p>All probes are well.</p>{% endblock %}'
        ),
        "management/__init__.py": "",
        "management/commands/__init__.py": "",
        "management/commands/name_probes.py": COMMAND,
    }
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    (source / "pyproject.toml").write_text(PYPROJECT)
    folder = source / "dist"
    done = run([sys.executable, "-m", "build", "--no-isolation", "--wheel", "-o", folder, source])
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = folder.iterdir()
    return made


class Installation:
    """A virtual environment that sees this one's packages, and a place for data, lake and database."""

    def __init__(self, folder: Path):
        venv.create(folder / "venv", symlinks=True)
        self.python = folder / "venv" / "bin" / "python"
        place = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
        packages = Path(sysconfig.get_path("purelib", vars=place))
        (packages / "shared.pth").write_text(sysconfig.get_path("purelib"))
        self.database, self.lake, self.data = folder / "db.sqlite3", folder / "lake", folder / "data"
        self.data.mkdir()
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in ("CATALOG", "PLUGINS")},
            "DATABASE_URL": f"sqlite:///{self.database}",
            "LAKE_DIR": str(self.lake),
            "DATA_DIR": str(self.data),
            "CATALOG_MIGRATIONS": str(folder / "catalog_migrations"),
        }

    def pip(self, *arguments: str | Path) -> None:
        uv = Path(sys.executable).with_name("uv")
        done = run([uv, "pip", *arguments, "--offline", "--python", self.python])
        assert done.returncode == 0, done.stderr

    def manage(self, *arguments: str) -> str:
        done = run([self.python, ROOT / "manage.py", *arguments], env=self.environment)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return done.stdout

    def answers(self, *addresses: str) -> dict[str, tuple[int, str]]:
        code = ANSWERS.replace("ADDRESSES", repr(addresses))
        environment = {"DJANGO_SETTINGS_MODULE": "network_analysis.settings", "ALLOWED_HOSTS": "testserver"}
        done = run([self.python, "-c", code], env=self.environment | environment, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return {address: (status, text) for address, (status, text) in json.loads(done.stdout).items()}

    def tables(self) -> set[str]:
        with closing(sqlite3.connect(self.database)) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


@pytest.fixture
def installation(tmp_path) -> Installation:
    return Installation(tmp_path)


@pytest.mark.sqlite_alone
def test_a_wheel_adds_a_format_a_feed_kpis_a_page_a_command_and_settings_and_leaves_only_tables(wheel, installation):
    installation.manage("migrate", "-v", "0")
    before = installation.tables()
    installation.pip("install", "--no-deps", wheel)
    assert "CellSpread" in installation.manage("apply_catalog")

    # 2021-07-18 12:00:00 and 12:05:00 UTC; then a line that is too short, and a cell 0.
    lines = ["1626609600   7    30", "1626609600   7   -12", "1626609900   7     5", "1626609600   8    99"]
    (installation.data / "probe_1.dat").write_text("\n".join([*lines, "1626609600   8   99", "1626609600   0     1"]))
    ran = installation.manage("update_network_stats")
    assert "1 files ingested, 0 failed, 4 records, 2 rejects" in ran
    assert installation.manage("name_probes") == "CellProbes, CellSpread\n"

    found = installation.answers(
        "/api/KPIs/1001/?interval=1", "/api/KPIs/1002/?interval=1", "/plugins/probes/", "/", "/quality/?show=rejects"
    )
    assert {status for status, _ in found.values()} == {200}
    times = "2021-07-18T12:00:00Z", "2021-07-18T12:05:00Z"
    probes, spreads = (json.loads(found[f"/api/KPIs/{kpi}/?interval=1"][1]) for kpi in (1001, 1002))
    rows = {(row["interval_start_timestamp"], row["cell"]): row["probes"] for row in probes}
    assert rows == {(times[0], 7): 2, (times[0], 8): 1, (times[1], 7): 1}
    rows = {(row["interval_start_timestamp"], row["cell"]): row["delay_spread"] for row in spreads}
    assert rows == {(times[0], 7): 42, (times[0], 8): 0, (times[1], 7): 0}
    assert "All probes are well." in found["/plugins/probes/"][1]
    assert "<title>Probes · Network Analysis</title>" in found["/plugins/probes/"][1]
    assert '<a href="/plugins/probes/">Probes</a>' in found["/"][1]

    said = run([installation.python, ROOT / "manage.py", "doctor"], env=installation.environment).stdout
    assert [line for line in said.splitlines() if "plug-in probes" in line] == [
        "ok   plug-in probes: network_analysis_probes adds catalog file probes.toml; format fixed_width; "
        "measure spread; page Probes"
    ]

    added = installation.tables() - before
    installation.pip("uninstall", "network-analysis-probes")
    assert "name_probes" not in installation.manage("help")
    said = run([installation.python, ROOT / "manage.py", "doctor"], env=installation.environment).stdout
    assert "probes" not in "\n".join(line for line in said.splitlines() if "plug-in" in line)
    found = installation.answers("/plugins/probes/", "/api/KPIs/1001/", "/")
    assert found["/plugins/probes/"][0] == 404
    assert found["/api/KPIs/1001/"][0] == 404
    assert "robes" not in found["/"][1]
    # Its feed and KPIs are removed as those of a catalog file are: their rows are kept until they are dropped.
    installation.manage("apply_catalog")
    assert installation.tables() - before == added
    assert added >= {"declared_cellprobes", "declared_cellspread"}
    installation.manage("apply_catalog", "--drop")
    assert installation.tables() - before == added - {"declared_cellprobes", "declared_cellspread"}


@pytest.mark.sqlite_alone
def test_a_plug_in_that_cannot_be_loaded_stops_each_command_with_its_name_and_reason(installation, tmp_path):
    package = tmp_path / "broken_probes"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(dedent("import no_such_library\n"))
    environment = installation.environment | {"PLUGINS": "broken_probes", "PYTHONPATH": str(tmp_path)}
    for command in ("check", "update_network_stats", "doctor"):
        done = run([installation.python, ROOT / "manage.py", command], env=environment)
        assert (done.returncode, done.stdout, done.stderr) == (
            1,
            "",
            "The plug-in broken_probes cannot be loaded: ModuleNotFoundError: No module named 'no_such_library'.\n",
        )


BROKEN = {
    "source": (
        "sources={'post': 'broken_probes.none:A'}",
        "",
        "consume_stream",
        "ModuleNotFoundError: No module named ",
    ),
    "page": ("pages=(Page('A', '', 'broken_probes.none:a'),)", "", "check", "ModuleNotFoundError: "),
    "models": ("", "raise RuntimeError('no licence')", "doctor", "RuntimeError: no licence."),
}


@pytest.mark.sqlite_alone
@pytest.mark.parametrize("part", BROKEN)
def test_a_command_that_needs_a_broken_part_of_a_plug_in_ends_with_one_line(installation, tmp_path, part):
    adds, models, command, reason = BROKEN[part]
    package = tmp_path / "broken_probes"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "models.py").write_text(models)
    (package / "plugin.py").write_text(
        "from kpis.plugins.plugin import Page, Plugin\n"
        f"PLUGIN = Plugin(name='broken', description='', hooks=1, {adds})\n"
    )
    environment = installation.environment | {"PLUGINS": "broken_probes", "PYTHONPATH": str(tmp_path)}
    done = run([installation.python, ROOT / "manage.py", command], env=environment)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert done.stderr.startswith(f"The plug-in broken_probes cannot be loaded: {reason}")


@pytest.mark.sqlite_alone
def test_a_source_whose_option_is_there_already_is_named(installation, tmp_path):
    package = tmp_path / "other_probes"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(
        "from kpis.plugins.plugin import Plugin\n"
        "PLUGIN = Plugin(name='other', description='', hooks=1, sources={'post': 'other_probes.post:POST'})\n"
    )
    (package / "post.py").write_text(
        "from kpis.ingest.stream_sources import Option, StreamSource\n"
        "class Post(StreamSource):\n"
        "    title, options, open = 'a post', (Option('topic', ''),), None\n"
        "POST = Post()\n"
    )
    environment = installation.environment | {"PLUGINS": "other_probes", "PYTHONPATH": str(tmp_path)}
    done = run([installation.python, ROOT / "manage.py", "consume_stream"], env=environment)
    assert (done.returncode, done.stderr) == (
        1, "The option --topic of the source post is there already: give it another name.\n"
    )  # fmt: skip
