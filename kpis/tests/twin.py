"""A plain-Python twin of the pipeline: dicts and sets, no pandas, no DuckDB, no catalog.

Tests compare what the database holds with what this says. It is slow and simple on purpose.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kpis.models import CellUniqueUsers, IntervalSummary, ServiceTrafficVolume

FIVE_MINUTES, ONE_HOUR = 1, 2
SECONDS = {FIVE_MINUTES: 300, ONE_HOUR: 3600}
HEADER = "interval_start_timestamp,interval_end_timestamp,msisdn,bytes_uplink,bytes_downlink,service_id,cell_id"


@dataclass(frozen=True)
class Flow:
    """One ipflow record; ``start`` in Unix seconds."""

    start: int
    msisdn: int
    uplink: int
    downlink: int
    service: int
    cell: int

    def line(self) -> str:
        fields = (self.start * 1000, (self.start + 300) * 1000, self.msisdn, self.uplink, self.downlink)
        return ",".join(str(field) for field in (*fields, self.service, self.cell))


def file_text(flows: list[Flow]) -> str:
    return "\n".join([HEADER, *(flow.line() for flow in flows)]) + "\n"


def moment(seconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def expected(files: dict[str, list[Flow]], watermark: int, top_n: int = 10) -> tuple[dict, dict]:
    """What the tables must hold once these files are in, each name with its newest content.

    ``watermark`` is the newest interval end ever taken in, in Unix seconds: an hour has rows once it reaches its
    end. Gives the rows as {(KPI, interval, start): [(rank, group, value), ...]} and the summaries as
    {(KPI, interval, start): (total, groups, records, batches, state)}.
    """
    bytes_of: dict = defaultdict(lambda: defaultdict(int))
    users_of: dict = defaultdict(lambda: defaultdict(set))
    records: dict = defaultdict(int)
    batches: dict = defaultdict(set)
    for name, flows in files.items():
        for flow in flows:
            for interval, seconds in SECONDS.items():
                start = flow.start - flow.start % seconds
                if interval == ONE_HOUR and start + seconds > watermark:
                    continue
                bytes_of[interval, start][flow.service] += flow.uplink + flow.downlink
                users_of[interval, start][flow.cell].add(flow.msisdn)
                records[interval, start] += 1
                batches[interval, start].add(name)
    rows, summaries = {}, {}
    for (interval, start), count in records.items():
        services, cells = bytes_of[interval, start], users_of[interval, start]
        users = {cell: len(numbers) for cell, numbers in cells.items()}
        totals = {1: sum(services.values()), 2: len(set().union(*cells.values()))}
        for kpi, groups in ((1, services), (2, users)):
            ordered = sorted(groups.items(), key=lambda group: (-group[1], group[0]))
            key = kpi, interval, moment(start)
            rows[key] = [(rank, *group) for rank, group in enumerate(ordered[:top_n], 1)]
            summaries[key] = (totals[kpi], len(groups), count, len(batches[interval, start]), "final")
    return rows, summaries


def stored(using: str = "default") -> tuple[dict, dict]:
    """What a database holds, in the shape of ``expected``."""
    rows: dict = defaultdict(list)
    for kpi, model, group, value in (
        (1, ServiceTrafficVolume, "service_id", "total_bytes"),
        (2, CellUniqueUsers, "cell_id", "number_of_unique_users"),
    ):
        for row in model.objects.using(using).order_by("interval", "interval_start_timestamp", "rank"):
            assert row.interval_end_timestamp - row.interval_start_timestamp == timedelta(seconds=SECONDS[row.interval])
            key = kpi, row.interval, row.interval_start_timestamp
            rows[key].append((row.rank, getattr(row, group), getattr(row, value)))
    summaries = {
        (one.kpi, one.interval, one.interval_start_timestamp): (
            one.total,
            one.groups,
            one.records,
            one.batches,
            one.state,
        )
        for one in IntervalSummary.objects.using(using)
    }
    return dict(rows), summaries
