"""Two hours of all four feeds in a lake, and what SQL over it says."""

from __future__ import annotations

import io
import json
import re
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings as project
from django.core.management import call_command

from kpis.catalog.registry import KPIS
from kpis.lake.views import answered
from kpis.models import Subscriber
from kpis.reference.subscribers import put_subscribers
from kpis.store.ledger_tables import DatabaseLedgerTables
from tests import twin
from tests.twin import Call, Flow, Log, Message, file_text, uuid

START = 1626566400  # 2021-07-18T00:00:00Z
HOUR = 3600
SUBSCRIBERS = {4: ("ana@example.com", 50), 5: ("bo@example.com", 10**9)}

# Two hours of four feeds. By hour: cell 7 has users {1, 2} and {1, 2}, cell 8 {1} and {3}, cell 9 {} and {3}.
FLOWS = [
    Flow(START, 1, 100, 10, service=1, cell=7),
    Flow(START, 2, 100, 10, service=2, cell=7),
    Flow(START + 300, 1, 5, 5, service=1, cell=8),
    Flow(START + HOUR, 1, 1, 0, service=3, cell=7),
    Flow(START + HOUR, 2, 1, 0, service=3, cell=7),
    Flow(START + HOUR, 3, 1, 0, service=3, cell=8),
    Flow(START + HOUR + 300, 3, 1, 0, service=3, cell=9),
]
MESSAGES = [
    Message(START + 1, device=4, antenna=1, bytes=40, app="SKYPE"),
    Message(START + 301, device=4, antenna=1, bytes=20, app="SKYPE"),
    Message(START + 2, device=5, antenna=2, bytes=7, app="TELEGRAM"),
    Message(START + HOUR, device=4, antenna=2, bytes=3, app="TELEGRAM"),
]
LOGS = [
    Log(START, "Orange", "4", 0, "10.5", "08001"),
    Log(START + 1, "ORANGE", "2", 1, "", "08001", "-0.01", "-180"),
    Log(START + 2, "ORANGE", "", 0, "1", "", "", ""),
    Log(START + HOUR, "orange", "2.5", 0, "1", "250236.0"),
    Log(START + HOUR, "Movistar", "9", 0, "1", "250236"),
    Log(START + HOUR + 300, "Movistar", "-2", 3, "1", "250236"),
]
CALLS = [
    Call(START, "Kern", "O2", "CALL"),
    Call(START + 59, "Kern", "o2", "CALL"),
    Call(START + 59, "Inyo", "O2", "CALL"),
    Call(START + 60, "Kern", "Vodafone", "TEXT"),
    Call(START + HOUR, "Kern", "Vodafone", "TEXT"),
]
FILES = {
    "ipflow_data.a.csv": FLOWS[:4],
    "ipflow_data.b.csv": FLOWS[4:],
    "antenna_data.a.jsonl": MESSAGES,
    "coverage_data.a.csv": LOGS,
}
FILES["cdr_data.a.csv"] = CALLS
WATERMARK = START + 2 * HOUR
# No KPI's interval has so many groups.
ALL = 10**6


def ingest_two_hours(folder: Path) -> None:
    """Ingest the files, two of them with rejects, from the data folder."""
    put_subscribers(
        Subscriber(id=uuid(device), name=email, email=email, quota=quota)
        for device, (email, quota) in SUBSCRIBERS.items()
    )
    for name, records in FILES.items():
        write(folder, name, records)
    with (folder / "ipflow_data.a.csv").open("a") as file:
        file.write(
            f"{START * 1000},{START * 1000 + 300000},x,1,1,1,1\n{START * 1000},{START * 1000 + 300000},0,1,1,1,1\n"
        )
    with (folder / "antenna_data.a.jsonl").open("a") as file:
        file.write("[]\n")
    update()


def write(folder: Path, name: str, records) -> None:
    (folder / name).write_text(file_text(records))


def update(**options) -> None:
    out = io.StringIO()
    options = {"rollup_open_hours": True} | options
    call_command("update_network_stats", stdout=out, stderr=out, **options)


def output_of(query: str, **options) -> str:
    """The command's output."""
    out = io.StringIO()
    call_command("query_lake", query, stdout=out, **options)
    return out.getvalue()


def rows(query: str) -> list[tuple]:
    """A query's rows, as the command's JSON has them."""
    return [tuple(row.values()) for row in json.loads(output_of(query, format="json"))]


def values(query: str) -> list[tuple]:
    """A query's rows, without the command."""
    with answered(query, project.LAKE_DIR, DatabaseLedgerTables()) as answer:
        return list(answer.rows)


def described(view: str) -> list[tuple]:
    return [(name, type_) for name, type_, *_ in rows(f"DESCRIBE {view}")]


def figures(kpi: twin.TwinKPI) -> dict[datetime, list[tuple]]:
    """The groups of a KPI's shortest intervals in its view, largest first, ranked."""
    name = KPIS[kpi.id].name
    found = defaultdict(list)
    length = timedelta(seconds=min(twin.SECONDS[interval] for interval in kpi.intervals))
    value = KPIS[kpi.id].value
    dimensions = ", ".join(KPIS[kpi.id].dimensions)
    query = f"""
        SELECT interval_start, interval_end, {", ".join(kpi.columns)} FROM {name}
        ORDER BY interval_start, {value} DESC NULLS LAST, {dimensions}"""
    for start, end, *columns in values(query):
        assert end - start == length
        found[start].append((len(found[start]) + 1, *map(twin.rounded, columns)))
    return found


def of_shortest(kpi: twin.TwinKPI, computed: dict) -> dict[datetime, list[tuple]]:
    """Of the rows that the twin or the tables give, a KPI's for its shortest intervals, by their starts."""
    shortest = min(kpi.intervals, key=lambda interval: twin.SECONDS[interval])
    return {
        start.replace(tzinfo=None): found
        for (id_, interval, start), found in computed.items()
        if (id_, interval) == (kpi.id, shortest)
    }


def questions() -> dict[str, str]:
    """The queries of the guide, by the sentence before each."""
    page = (project.BASE_DIR / "docs" / "how-to" / "query-lake.md").read_text()
    return {title.strip(): query for title, query in re.findall(r"([^\n]+):\n\n```sql\n(.*?)```", page, re.DOTALL)}
