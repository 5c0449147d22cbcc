"""Catalogs made at random, with random files, agree with a plain-Python twin: on each database, after any history.

One catalog file has the feeds of all of them, and one run reads the files of all of them. ``CATALOGS`` sets how many
there are (20 by default, 200 with ``LONG=1``), ``CATALOG_SEED`` the first: a seed makes the same catalogs and files on
every database.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from kpis.models import Batch, IntervalSummary
from tests.databases import empty_database
from tests.effort import times
from tests.processes import PATIENCE, Place, end_of
from tests.random_catalogs import LENGTHS, Made, Maker, expected, rounded, value_columns

CATALOGS = times("CATALOGS", 12, 200)
SEED = times("CATALOG_SEED", 0, 0)
# All files count, whatever their share of rejects and whoever has the same content.
# A day ends in Madrid at 23:00Z, within the hours of the files.
ZONE = "Europe/Madrid"
OPTIONS = {"MAX_REJECT_RATIO": "1", "DUPLICATES": "count", "TIME_ZONE": ZONE}


class Closed:
    """Up to when intervals have closed: the end of the newest interval that a file ever had, by feed."""

    def __init__(self) -> None:
        self.until: dict[str, int] = {}

    def see(self, made: Made, name: str) -> None:
        seconds = LENGTHS[made.interval][1]
        ends = [record["moment"] // seconds * seconds + seconds for record in made.records[name]]
        self.until[made.name] = max([self.until.get(made.name, 0), *ends])


def stored(alias: str, made: Made) -> tuple[dict, dict]:
    """The rows and summaries of a feed's KPIs, in the shape of ``expected``."""
    rows: dict = defaultdict(list)
    for kpi in made.kpis:
        values = ["rank", *(name for name, _ in kpi.by), *value_columns(kpi.measure)]
        columns = ", ".join(map(connections[alias].ops.quote_name, ["interval", "interval_start_timestamp", *values]))
        with connections[alias].cursor() as cursor:
            cursor.execute(f"SELECT {columns} FROM declared_kpi{kpi.id} ORDER BY 1, 2, 3")
            for length, start, *row in cursor.fetchall():
                text = f"{start:%Y-%m-%dT%H:%M:%SZ}" if not isinstance(start, str) else f"{start[:10]}T{start[11:19]}Z"
                rows[kpi.id, length, text].append([rounded(value) for value in row])
    summaries = {
        (one.kpi, one.interval, f"{one.interval_start_timestamp:%Y-%m-%dT%H:%M:%SZ}"): [
            one.total if one.total is not None else rounded(one.mean),
            one.groups,
            one.records,
            one.batches,
            one.state,
        ]
        for one in IntervalSummary.objects.using(alias).filter(kpi__in=[kpi.id for kpi in made.kpis])
    }
    return dict(rows), summaries


def differences(found: dict, wanted: dict) -> dict:
    """The keys whose values differ, each with both values."""
    return {
        key: (found.get(key), wanted.get(key))
        for key in sorted(found.keys() | wanted.keys())
        if not are_same(found.get(key), wanted.get(key))
    }


def are_same(found: Any, wanted: Any) -> bool:
    """True if values are equal, floats but for their last bits, which depend on the order of the arithmetic."""
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(are_same, found, wanted))
    if isinstance(found, float) and isinstance(wanted, float):
        return math.isclose(found, wanted, rel_tol=1e-12, abs_tol=1e-9)
    return bool(found == wanted)


def test_a_seed_makes_the_same_catalogs_and_files_each_time_of_every_format():
    # So that databases that each agree with the twin agree with one another.
    one, other = ([Maker(seed).made() for seed in range(12)] for _ in range(2))
    assert [(made.toml, made.files) for made in one] == [(made.toml, made.files) for made in other]
    endings = {Path(name).suffix for made in one for name in made.files}
    assert endings == {".csv", ".jsonl", ".parquet", ".gz"}


@pytest.mark.django_db(transaction=True)
def test_random_catalogs_agree_with_the_twin(tmp_path: Path):
    makers = {maker.made(): maker for maker in map(Maker, range(SEED, SEED + CATALOGS))}
    catalog = tmp_path / "catalog.toml"
    catalog.write_text("\n".join(made.toml for made in makers))
    chance, closed = random.Random(SEED), Closed()  # noqa: S311
    with empty_database(tmp_path) as url:
        place = Place(tmp_path / "place", url)

        def run(*arguments: str) -> None:
            done = end_of(place.start(*arguments, CATALOG=f"{catalog}", **OPTIONS), PATIENCE * max(1, CATALOGS // 20))
            assert done.code == 0, done.err

        def put(made: Made, name: str) -> None:
            (place.data / name).write_bytes(made.files[name])
            closed.see(made, name)

        try:
            run("migrate", "-v0")
            run("apply_catalog")
            # Two files, then another with new content of the first, then the last one.
            for made in makers:
                for name in list(made.files)[:2]:
                    put(made, name)
            run("update_network_stats")
            for made, maker in makers.items():
                first, _, third, _ = made.files
                if chance.random() < 0.7:
                    maker.add_file(made, first)
                    put(made, first)
                put(made, third)
            run("update_network_stats")
            for made in makers:
                put(made, list(made.files)[3])
            run("update_network_stats")
            with place.alias() as alias:
                for made in makers:
                    counts = {
                        batch.name: (batch.status, batch.records, batch.rejects)
                        for batch in Batch.objects.using(alias).filter(feed=made.name)
                    }
                    assert counts == {
                        name: ("in", len(made.records[name]), made.rejects[name]) for name in made.files
                    }, made.toml
                    for found, wanted in zip(
                        stored(alias, made), expected(made, closed.until[made.name], zone=ZONE), strict=True
                    ):
                        assert differences(found, wanted) == {}, made.toml
        finally:
            place.close()
