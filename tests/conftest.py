"""Fixtures of all tests: settings that no developer's .env changes, and folders of their own."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from functools import partialmethod
from pathlib import Path
from unittest.mock import patch

import pytest
from django.conf import settings
from django.core.signals import setting_changed
from django.db import connection
from django.dispatch import receiver
from django.test import TestCase, TransactionTestCase
from hypothesis import settings as hypothesis_settings

import network_analysis.urls  # noqa: F401  registers every app's admin, in the apps' order
from kpis.catalog.calendar import use_zone
from kpis.storage import address
from network_analysis.settings import database
from tests.databases import flush_of_filled
from tests.processes import Place, new_place
from tests.scanner import check_is_built

DATABASES = {"sqlite": "SQLite", "mysql": "MySQL/MariaDB", "postgresql": "PostgreSQL"}
# The folders, which say how slow tests are: of those that run together, what takes longest comes first.
TIERS = ["spark", "streams", "servers", "browser", "property", "unit"]
# Those whose promises are about something else than the rows in the database.
BESIDE_DATABASES = {"spark", "browser"}
# Those whose tests share what takes long to start: a Spark, or a site with a browser.
SHARING = {"spark", "browser"}
TRANSACTIONAL_FIXTURES = {"transactional_db", "django_db_reset_sequences", "live_server"}
DATABASE_FIXTURES = {"db", "transactional_db", "django_db_reset_sequences", "live_server", "admin_client"}


# How long an example may take says nothing of what is promised; speed lives in the benchmarks.
hypothesis_settings.register_profile("no deadline", deadline=None)
hypothesis_settings.load_profile("no deadline")


def pytest_configure(config):
    # Commands that tests start as processes see the same settings as the tests themselves.
    os.environ["PYTHON_DOTENV_DISABLED"] = "1"
    os.environ.setdefault("SECRET_KEY", "for-tests-alone-0123456789-abcdefghijklmnopqrstuvwxyz")
    settings.SECRET_KEY = os.environ["SECRET_KEY"]
    check_is_built()


def pytest_report_header(config) -> str:
    urls = [url.strip() for url in os.environ.get("TEST_DATABASE_URLS", "").split(",") if url.strip()]
    given = {database(url)["ENGINE"].rpartition(".")[2] for url in urls} | {connection.vendor, "sqlite"}
    missing = [name for engine, name in DATABASES.items() if engine not in given]
    left_out = f"; TEST_DATABASE_URLS leaves out {' and '.join(missing)}" if missing else ""
    return f"database: {DATABASES[connection.vendor]}{left_out}"


def pytest_collection_modifyitems(items):
    items.sort(key=_turn)
    for item in items:
        # A module's tests stay together, or a folder's, as they share fixtures; but for those that empty the database
        # after them, which come when all others have found in it what the migrations put there.
        shared = _tier(item) if _tier(item) in SHARING else item.module.__name__.removeprefix("tests.")
        group = f"{shared}{'-emptying' if _empties(item) else ''}"
        item.add_marker(pytest.mark.xdist_group(group))
        uses_database = (
            item.get_closest_marker("django_db")
            or DATABASE_FIXTURES & set(item.fixturenames)
            or (item.cls and issubclass(item.cls, TransactionTestCase))
        )
        if uses_database and not item.get_closest_marker("sqlite_alone") and _tier(item) not in BESIDE_DATABASES:
            item.add_marker(pytest.mark.database)


def pytest_collection_finish(session):
    # What is loaded by now lives as long as the tests, and to search it for garbage takes a fifteenth of their time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)


def pytest_sessionfinish(session):
    # DuckDB would report frozen objects as leaks.
    gc.unfreeze()


def _empties(item) -> bool:
    """Whether a test leaves the database without what the migrations put there."""
    marker = item.get_closest_marker("django_db")
    is_case = item.cls and issubclass(item.cls, TransactionTestCase) and not issubclass(item.cls, TestCase)
    return bool(
        (marker and marker.kwargs.get("transaction")) or TRANSACTIONAL_FIXTURES & set(item.fixturenames) or is_case
    )


def _tier(item) -> str:
    return item.module.__name__.split(".")[1]


def _turn(item) -> tuple[bool, int]:
    return _empties(item), TIERS.index(_tier(item))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup):
    # Django empties every table after a test that commits, which takes PostgreSQL a sixth of a second.
    ops = type(connection.ops)
    with patch.object(ops, "sql_flush", partialmethod(flush_of_filled, ops.sql_flush)):
        yield


@receiver(setting_changed)
def follow_time_zone(*, setting, value, **kwargs):
    """The days of the process are those of the setting, as when it starts."""
    if setting == "TIME_ZONE":
        use_zone(value)


@pytest.fixture(autouse=True)
def plain_settings(settings, tmp_path):
    """The defaults, whatever the environment says, and folders that no other test and no person uses."""
    settings.DATA_DIR = tmp_path / "data"
    settings.LAKE_DIR = tmp_path / "lake"
    settings.LAKE_VERIFY, settings.LAKE_SYNC = "always", True
    settings.TOP_N = 10
    settings.API_PUBLIC = True
    settings.ANONYMOUS_RATE = settings.USER_RATE = None
    settings.HEALTH_MAX_AGE = None
    settings.LOG_FORMAT = ""
    settings.DUPLICATES = "ignore"
    settings.GROUP_FILES = 1000
    # The default hash is slow on purpose, and hundreds of tests make an account each.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def each_alone(settings) -> None:
    """Files are committed one by one, so that each has lake files of its own."""
    settings.GROUP_FILES = 1


@pytest.fixture
def data_dir(settings) -> Path:
    """The folder that files are ingested from, empty."""
    settings.DATA_DIR.mkdir()
    return settings.DATA_DIR


@pytest.fixture
def lake_dir(settings) -> Path:
    """The lake's folder, which is not there yet."""
    return settings.LAKE_DIR


@pytest.fixture(scope="session")
def cloud():
    """An AWS on loopback."""
    from tests.cloud import running_cloud

    with running_cloud() as cloud:
        yield cloud


@pytest.fixture
def bucket(cloud, settings):
    """An empty bucket, in which the data folder is ``in/`` and the lake ``lake/``."""
    bucket = cloud.bucket()
    settings.DATA_DIR, settings.LAKE_DIR = (address(f"s3://{bucket.name}/{prefix}") for prefix in ("in", "lake"))
    return bucket


@pytest.fixture(scope="session")
def spark(cloud):
    """A Spark of this machine, which takes seconds to start: all tests share it. Its executors find the cloud."""
    from tests.clusters import running_spark

    with running_spark() as session:
        yield session


@pytest.fixture(scope="session")
def kafka():
    """A real Kafka, which all tests share, each with topics of its own."""
    from tests.broker import Broker
    from tests.services import Kafka, running

    with running(Kafka) as server:
        yield Broker(server.url)


@pytest.fixture
def place(tmp_path, transactional_db) -> Iterator[Place]:
    """A database, data folder and lake for real processes."""
    place = new_place(tmp_path / "place")
    yield place
    place.close()
