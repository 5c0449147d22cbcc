"""The tables of the ledger and of summaries are the same whatever feeds and KPIs the catalog has."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from django.conf import settings

from kpis.catalog.builtin.cdr import CDR
from kpis.catalog.feeds import LONGEST_FEED_NAME
from kpis.catalog.result_columns import BadEntry

NAME = "x" * LONGEST_FEED_NAME
MAKE_MIGRATIONS = f"""
from dataclasses import replace

from kpis.catalog import registry
from kpis.catalog.builtin import cdr

feed = replace(cdr.CDR, name="{NAME}")
registry.FEEDS[feed.name] = feed
registry.KPIS[32767] = replace(cdr.COUNTY_CALL_VOLUME, id=32767, name="Added", feed=feed)

import django
from django.core.management import call_command

django.setup()
call_command("makemigrations", "kpis", "--check", "--dry-run")

from kpis.models import Batch, IntervalSummary

for model, column in ((Batch, "feed"), (IntervalSummary, "kpi")):
    print(list(model._meta.get_field(column).choices)[-1])
"""


@pytest.mark.sqlite_alone
def test_another_feed_and_kpi_make_no_migration():
    ended = subprocess.run(
        [sys.executable, "-c", MAKE_MIGRATIONS], cwd=settings.BASE_DIR, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"No changes detected in app 'kpis'\n('{NAME}', '{NAME}')\n(32767, 'Added')\n"


def test_a_feed_whose_name_the_tables_cannot_hold_is_refused():
    with pytest.raises(BadEntry, match="its name has 41 characters, and 40 fit"):
        replace(CDR, name=NAME + "x")
