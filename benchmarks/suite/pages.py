"""A filtered page of 100 rows of the API, the first and the last, beside the same SQL and ``orjson.dumps`` alone."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from benchmarks.bench import Bench, Outcome
from benchmarks.checks import BARS
from benchmarks.contest import Command, Contestant, output
from benchmarks.place import Place
from benchmarks.stored import stored
from benchmarks.suite.tick import first_ticked

ROWS = 100
TABLE = "kpis_servicetrafficvolume"
# A run takes a second, in which a machine's speed may change: three times as many runs are measured.
MORE_RUNS = 3
API, SQL = "API, {} page", "SQL and orjson alone, {} page"


def pages(bench: Bench) -> Outcome:
    sizes = bench.sizes
    database, _ = stored(bench.cache, first_ticked(bench), sizes.paged_intervals, 0)
    place = Place(bench.scratch / "pages")
    place.database.hardlink_to(database)
    with closing(sqlite3.connect(database)) as connection:
        ((rows,),) = connection.execute(f"SELECT count(*) FROM {TABLE}")
        ((service,),) = connection.execute(f"SELECT service_id FROM {TABLE} WHERE rank = 3 LIMIT 1")
        # The last rows of two pages begin here.
        ((start,),) = connection.execute(
            f"""
            SELECT interval_start_timestamp FROM {TABLE} WHERE interval = 1 AND service_id = ?
            ORDER BY interval_start_timestamp DESC LIMIT 1 OFFSET ?""",
            [service, 2 * ROWS - 1],
        )
    first = f"/api/KPIs/1/?interval=1&service_id={service}&page_size={ROWS}"
    contestants = []
    for which, address in (("first", first), ("last", _last(place, first, start))):
        query = _json_of(place, address)["sql"]
        contestants += [_api(place, which, address, sizes.requests), _sql(place, which, query, sizes.requests)]
    often = replace(bench, runs=bench.runs * MORE_RUNS)
    outcome = often.contest(f"A filtered page of {ROWS} rows, of {rows:,}", contestants)
    paged = {which: outcome.figures[API.format(which)] for which in ("first", "last")}
    outcome.checks = [
        *(BARS["page"].check(f"{which} page", 1000 * paged[which].wall) for which in paged),
        BARS["last page"].check("last page", paged["last"].times(paged["first"])),
    ]
    return outcome


def _last(place: Place, first: str, start: str) -> str:
    """Return the address of the last page: the second one from a given time on, without that condition."""
    limit = urlencode({"interval_start_timestamp__gte": start.replace(" ", "T") + "Z"})
    following = _json_of(place, f"{first}&{limit}")["next"]
    (cursor,) = parse_qs(urlsplit(following).query)["cursor"]
    return f"{first}&{urlencode({'cursor': cursor})}"


def _json_of(place: Place, address: str) -> Any:
    return json.loads(output(place.python("-m", "benchmarks.pages.api", address)))


def _api(place: Place, which: str, address: str, requests: int) -> Contestant:
    command = place.python("-m", "benchmarks.pages.api", address, str(requests))

    def answer(folder: Path) -> Any:
        return json.loads(json.loads((folder / "out").read_text())["answer"])

    return Contestant(API.format(which), lambda folder, run: command, answer, which, self_timed=True)


def _sql(place: Place, which: str, query: str, requests: int) -> Contestant:
    arguments: list[str | Path] = [sys.executable, "-m", "benchmarks.pages.sql", place.database, query, str(requests)]

    def answer(folder: Path) -> Any:
        # One row more than the page, which shows if there is a next one; times as the database has them.
        rows = json.loads((folder / "out").read_text())["answer"][:ROWS]
        return [
            {
                name.removesuffix("_utc"): value.replace(" ", "T") + "Z" if name.endswith("_utc") else value
                for name, value in row.items()
            }
            for row in rows
        ]

    return Contestant(SQL.format(which), lambda folder, run: Command(arguments), answer, which, self_timed=True)
