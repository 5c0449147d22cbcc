"""An installation without extras does the main job, and names the extra that anything else needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from kpis import extras
from kpis.management.commands import consume_stream, update_network_stats

MANAGE = Path(settings.BASE_DIR, "manage.py")
# Makes modules unavailable to the process, as if they were not installed, and then runs manage.py.
WITHOUT = """
import runpy, sys

class Absent:
    names = set(sys.argv.pop(1).split(","))

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# What the extras bring, with what comes along with them.
MODULES = {
    "mysql": ("MySQLdb",),
    "postgres": ("psycopg", "psycopg_binary", "psycopg2"),
    "kafka": ("confluent_kafka",),
    "aws": ("boto3", "botocore", "s3transfer", "fsspec"),
    "redis": ("channels_redis", "redis", "msgpack"),
    "arrow": ("pyarrow",),
    "avro": ("fastavro", "cramjam"),
    "spark": ("pyspark", "py4j", "pyarrow", "grpc"),
}
KAFKA = ("--bootstrap-servers", "127.0.0.1:1", "--topic", "calls")
LOAD_COMMANDS = """
import django
from django.core.management import get_commands, load_command_class

django.setup()
for name, app in get_commands().items():
    load_command_class(app, name)
"""


def install(extra: str) -> str:
    return f'pip install "network-analysis[{extra}]" (in a checkout: make setup EXTRAS={extra}).'


NO_KAFKA = f"CommandError: Streams from Kafka need confluent-kafka: {install('kafka')}"
NO_KINESIS = f"CommandError: Streams from Kinesis need boto3 and fsspec: {install('aws')}"


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """Runs manage.py on a SQLite database of its own, without the modules of some extras."""
    folder = tmp_path_factory.mktemp("without")
    environment = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
        "DATA_DIR": str(folder),
        "LAKE_DIR": str(folder / "lake"),
    }

    def run(hidden, *command, script=MANAGE, **more):
        modules = ",".join(module for extra in hidden for module in MODULES[extra])
        return subprocess.run(
            [sys.executable, "-c", WITHOUT, modules, script, *command],
            env=environment | more,
            capture_output=True,
            text=True,
            check=False,
        )

    made = run(MODULES, "migrate", "-v", "0")
    assert (made.returncode, made.stderr) == (0, "")
    return run


def assert_says(done: subprocess.CompletedProcess, line: str, code: int = 1) -> None:
    assert (done.stdout, done.stderr, done.returncode) == ("", f"{line}\n", code)


def test_every_extra_hides_what_it_brings():
    assert MODULES.keys() == extras.EXTRAS.keys()
    for extra, modules in extras.EXTRAS.items():
        assert modules.keys() <= set(MODULES[extra])


def test_without_any_extra_the_commands_are_there_and_the_checks_pass(without, tmp_path):
    listed = without(MODULES, "help")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert {"consume_stream", "register_lake", "update_network_stats"} <= set(listed.stdout.split())
    (tmp_path / "load.py").write_text(LOAD_COMMANDS)
    loaded = without(MODULES, script=tmp_path / "load.py", PYTHONPATH=str(settings.BASE_DIR))
    assert (loaded.returncode, loaded.stderr) == (0, "")
    checked = without(MODULES, "check")
    assert (checked.stdout, checked.returncode) == ("System check identified no issues (0 silenced).\n", 0)


@pytest.mark.parametrize(
    ("extra", "address", "sentence"),
    [
        ("mysql", "mysql://a:b@127.0.0.1:1/x", "MySQL and MariaDB need mysqlclient: "),
        ("postgres", "postgres://a:b@127.0.0.1:1/x", "PostgreSQL needs psycopg: "),
    ],
)
def test_a_database_without_its_driver(without, extra, address, sentence):
    assert_says(without([extra], "migrate", DATABASE_URL=address), f"{sentence}{install(extra)}")


def test_redis_without_its_client(without):
    done = without(["redis"], "check", REDIS_URL="redis://127.0.0.1:1/0")
    assert_says(done, f"REDIS_URL needs channels-redis: {install('redis')}")


def test_kafka_without_its_client(without):
    consumed = without(["kafka"], "consume_stream", "--feed", "cdr", *KAFKA, "--group", "g")
    assert_says(consumed, f"{NO_KAFKA} {consume_stream.GOES_ON}")
    assert_says(without(["kafka"], "produce_sample_stream", "--feed", "cdr", *KAFKA, "--rate", "1"), NO_KAFKA)


def test_aws_without_its_client(without):
    needs = f"object storage needs boto3 and fsspec: {install('aws')}"
    stored = {"LAKE_DIR": "s3://bucket/lake"}
    no_lake = f"CommandError: Cannot use the lake at s3://bucket/lake: {needs}"
    listed = without(["aws"], "update_network_stats", "--data-dir", "s3://bucket/raw")
    assert_says(listed, f"CommandError: Cannot read s3://bucket/raw: {needs} {update_network_stats.GOES_ON}")
    assert_says(without(["aws"], "update_network_stats", **stored), f"{no_lake} {update_network_stats.GOES_ON}")
    assert_says(without(["aws"], "register_lake", "--catalog", "glue", "--database", "kpis", **stored), no_lake)
    assert_says(
        without(["aws"], "consume_stream", "--feed", "cdr", "--source", "kinesis", "--stream", "calls"),
        f"{NO_KINESIS} {consume_stream.GOES_ON}",
    )


def test_spark_without_its_packages(without):
    done = without(["spark"], "update_network_stats", "--engine", "spark", SPARK_MASTER="local[1]")
    needs = f"The engine spark needs pyspark and pyarrow: {install('spark')}"
    assert_says(done, f"CommandError: {needs} {update_network_stats.GOES_ON}")


def test_a_package_that_is_there_but_cannot_be_imported_says_why():
    error = ImportError("libmariadb.so.3: cannot open shared object file")
    assert extras.missing("mysql", "MySQL needs", error) == (
        f"MySQL needs mysqlclient, which cannot be imported ({error}): {install('mysql')}"
    )
