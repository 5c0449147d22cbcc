"""The wheel and the sdist: what is in them, and the main job from an installation of the wheel."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from django.conf import settings

from kpis.engine.compiled import COMPILERS, library_path
from tests.servers.test_extras import MODULES

ROOT = Path(settings.BASE_DIR)
VERSION = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
# Hides the extras' modules from the installation, as if they were not installed.
WITHOUT_EXTRAS = f"""
import sys

class Absent:
    names = {sorted(module for modules in MODULES.values() for module in modules)}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""
PAGES = """
import django
django.setup()
from django.test import Client

for address in ("/", "/live/", "/api/KPIs/1/?interval=2", "/static/console/icon.svg", "/admin/login/"):
    print(address, Client().get(address).status_code)
"""
SAMPLE = ("--feed", "ipflow", "--start", "2021-07-18T00:00:00Z", "--intervals", "12", "--rows", "500", "--seed", "1")


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def built(source: Path, folder: Path, *arguments: str, **environment: str) -> list[Path]:
    """Runs ``python -m build`` with what is installed here; gives the files that it made."""
    command = [sys.executable, "-m", "build", "--no-isolation", "-o", folder, *arguments, source]
    done = run(command, env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def distributions(tmp_path_factory) -> tuple[Path, Path]:
    """The wheel, and the sdist that it is built from."""
    wheel, sdist = built(ROOT, tmp_path_factory.mktemp("dist"))
    return wheel, sdist


@pytest.fixture(scope="module")
def installation(distributions, tmp_path_factory) -> Path:
    """The bin folder of a virtual environment with the wheel and the base's packages, without the extras'."""
    folder = tmp_path_factory.mktemp("installation")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    installer = [Path(sys.executable).with_name("uv"), "pip", "install", "--offline", "--no-deps", "--python", python]
    done = run([*installer, distributions[0]])
    assert done.returncode == 0, done.stderr
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (packages / "shared.pth").write_text(sysconfig.get_path("purelib"))
    (packages / "sitecustomize.py").write_text(WITHOUT_EXTRAS)
    return python.parent


def kept(*folders: str) -> set[str]:
    """The files in folders that git has or would add."""
    listed = run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *folders], cwd=ROOT
    ).stdout.split("\0")
    return {name for name in listed if (ROOT / name).is_file()}


def test_the_wheel_has_every_file_of_the_packages_and_the_compiled_scanner(distributions):
    with zipfile.ZipFile(distributions[0]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    packages = {name.removeprefix("plugins/") for name in kept("kpis", "network_analysis", "plugins")}
    assert names - packages == {f"kpis/engine/{library_path().name}"}
    assert packages - names == set()
    platform = re.sub("[-.]", "_", sysconfig.get_platform())
    assert distributions[0].name == f"network_analysis-{VERSION}-py3-none-{platform}.whl"


def test_the_sdist_has_what_the_wheel_is_built_from(distributions):
    with tarfile.open(distributions[1]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert (
        kept("kpis", "network_analysis", "plugins", "manage.py", "requirements.txt", "LICENSE", "hatch_build.py")
        <= names
    )
    assert [name for name in names if name.startswith(("tests", "docs/screenshots")) or ".so" in name] == []


def test_without_a_compiler_the_wheel_is_pure_and_has_no_scanner(distributions, tmp_path):
    with tarfile.open(distributions[1]) as sdist:
        sdist.extractall(tmp_path, filter="data")
    (tmp_path / "bin").mkdir()
    assert not any((tmp_path / "bin" / name).exists() for name in COMPILERS)
    source = tmp_path / f"network_analysis-{VERSION}"
    (wheel,) = built(source, tmp_path / "dist", "--wheel", PATH=str(tmp_path / "bin"), CC="")
    assert wheel.name == f"network_analysis-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as packed:
        assert [name for name in packed.namelist() if name.endswith(".so")] == []


def test_mysqlclient_and_every_other_client_are_extras(distributions):
    with zipfile.ZipFile(distributions[0]) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith("/METADATA")]
        metadata = wheel.read(name).decode()
    found = re.findall(r"^Requires-Dist: ([\w-]+)(?:\[\w+\])?[^;\n]*(?:; extra == '(\w+)')?$", metadata, re.MULTILINE)
    assert {(name, extra) for name, extra in found if extra} == {
        ("mysqlclient", "mysql"),
        ("psycopg", "postgres"),
        ("confluent-kafka", "kafka"),
        ("boto3", "aws"),
        ("fsspec", "aws"),
        ("channels-redis", "redis"),
        ("pyarrow", "arrow"),
        ("fastavro", "avro"),
        ("cramjam", "avro"),
        ("pyspark", "spark"),
        ("pyarrow", "spark"),
    }
    assert {"django", "duckdb", "pandas", "altair", "vl-convert-python"} <= {name for name, extra in found if not extra}


def test_the_installed_package_does_the_main_job_in_an_empty_folder(installation, tmp_path):
    environment = {
        name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "DATA_DIR", "LAKE_DIR")
    }

    def network_analysis(*arguments):
        done = run([installation / "network-analysis", *arguments], cwd=tmp_path, env=environment)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    network_analysis("make_sample_data", "var/data", *SAMPLE)
    network_analysis("migrate", "-v", "0")
    ran = network_analysis("update_network_stats")
    assert re.sub(r"[\d.]+ s$", "S s", ran.splitlines()[-1]) == (
        "12 files ingested, 0 failed, 1,032 records, 0 rejects, 12 intervals, 1 rollups, S s"
    )
    traffic, users, phones = Counter(), {}, set()
    for path in (tmp_path / "var" / "data").iterdir():
        with path.open() as file:
            for row in csv.DictReader(file):
                traffic[int(row["service_id"])] += int(row["bytes_uplink"]) + int(row["bytes_downlink"])
                users.setdefault(int(row["cell_id"]), set()).add(row["msisdn"])
                phones.add(row["msisdn"])
    [(service, volume)] = traffic.most_common(1)
    cell = min(users, key=lambda one: (-len(users[one]), one))
    shown = network_analysis("show_network_stats", "--interval", "1h", "--top", "1")
    assert f"bytes in all: {traffic.total():,}; groups: {len(traffic)}\n" in shown
    assert re.search(rf"^ +1 +{service} +{volume:,}$", shown, re.MULTILINE)
    assert f"users in all: {len(phones):,}; groups: {len(users)}\n" in shown
    assert re.search(rf"^ +1 +{cell} +{len(users[cell])}$", shown, re.MULTILINE)
    assert (service, volume, len(phones), cell) == (1, 3_996_677_258, 99, 20009)
    assert {path.name for path in (tmp_path / "var").iterdir()} >= {"data", "db.sqlite3", "lake"}

    served = run(
        [installation / "python", "-c", PAGES],
        cwd=tmp_path,
        env={**environment, "DJANGO_SETTINGS_MODULE": "network_analysis.settings", "ALLOWED_HOSTS": "testserver"},
    )
    assert re.findall(r" (\d+)$", served.stdout, re.MULTILINE) == ["200"] * 5, served.stdout + served.stderr


def test_the_installed_package_loads_no_plug_in_of_the_working_folder(installation, tmp_path):
    code = tmp_path / "plugins" / "found_there"
    code.mkdir(parents=True)
    (code / "plugin.py").write_text("raise RuntimeError('ran')")
    done = run([installation / "network-analysis", "consume_stream", "--help"], cwd=tmp_path)
    assert (done.stderr, done.returncode, "kafka,kinesis" in done.stdout) == ("", 0, True), done.stdout


def test_the_installed_package_reads_env_from_the_working_folder(installation, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON_DOTENV_DISABLED"}
    (tmp_path / ".env").write_text("TOP_N=none\n")
    done = run([installation / "network-analysis", "check"], cwd=tmp_path, env=environment)
    assert (done.stderr, done.returncode) == ("TOP_N must be a whole number of at least 1, not 'none'.\n", 1)
