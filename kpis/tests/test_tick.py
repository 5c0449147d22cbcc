"""What a run costs that cron starts every five minutes."""

from __future__ import annotations

import re
import sys

import pytest
from django.db import connection

from kpis.tests.test_update_network_stats import START
from kpis.tests.twin import Flow

pytestmark = pytest.mark.django_db(transaction=True)

OF_THE_WEB = {
    "django.contrib.auth.admin",
    "drf_spectacular.views",
    "kpis.admin",
    "kpis.api.urls",
    "kpis.health.views",
    "network_analysis.urls",
    "prometheus_client",
    "rest_framework.views",
}
OF_A_TERMINAL_OR_A_LOG = {"structlog", "tqdm"}
DRIVERS = {"mysql": "MySQLdb", "postgresql": "psycopg"}


def test_a_run_imports_only_what_it_works_with(place):
    place.put({"ipflow_data.1.csv": [Flow(START, 1, 10, 20, 1, 7)]})
    ended = place.run(PYTHONPROFILEIMPORTTIME="1")
    assert ended.out.startswith("in ipflow_data.1.csv: 1 records")
    imported = set(re.findall(r"^import time: .*\| +(\S+)$", ended.err, re.MULTILINE))
    assert imported >= {"django.db.models", "duckdb", "kpis.store"}
    assert set(sys.modules) >= OF_THE_WEB
    others = {driver for vendor, driver in DRIVERS.items() if vendor != connection.vendor}
    assert imported & (OF_THE_WEB | OF_A_TERMINAL_OR_A_LOG | others) == set()
