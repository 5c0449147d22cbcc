"""A plain-Python twin of the pipeline: dicts and sets, no pandas, no DuckDB, no catalog.

Tests compare what the database holds with what this says. It is slow and simple on purpose.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from unicodedata import normalize

from kpis.models import (
    AntennaTrafficVolume,
    AppTrafficVolume,
    CellUniqueUsers,
    CountyCallVolume,
    CoverageGridSignal,
    IntervalSummary,
    OperatorCallVolume,
    OperatorGPSPrecision,
    OperatorSignal,
    PostalCodeStatus,
    ServiceTrafficVolume,
    UserQuotaExceeded,
    UserTrafficVolume,
)

FIVE_MINUTES, ONE_HOUR, ONE_MINUTE = 1, 2, 3
SECONDS = {FIVE_MINUTES: 300, ONE_HOUR: 3600, ONE_MINUTE: 60}
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

    header = HEADER
    interval = FIVE_MINUTES

    def line(self) -> str:
        fields = (self.start * 1000, (self.start + 300) * 1000, self.msisdn, self.uplink, self.downlink)
        return ",".join(str(field) for field in (*fields, self.service, self.cell))


@dataclass(frozen=True)
class Message:
    """One antenna record; ``start`` in Unix seconds, devices and antennas by number."""

    start: int
    device: int
    antenna: int
    bytes: int
    app: str

    header = ""
    interval = FIVE_MINUTES

    def line(self) -> str:
        return json.dumps(
            {
                "timestamp": self.start,
                "id": uuid(self.device),
                "antenna_id": uuid(self.antenna),
                "bytes": self.bytes,
                "app": self.app,
            }
        )


@dataclass(frozen=True)
class Log:
    """One coverage record; ``start`` in Unix seconds, empty texts for what the phone did not report."""

    start: int
    operator: str
    signal: str
    status: int
    precision: str
    postal_code: str
    latitude: str = "41.67089"
    longitude: str = "0.53407"

    header = (
        "date,hour,lat,long,signal,network,operator,status,description,speed,satellites,precission,provider,activity,"
        "postal_code"
    )
    interval = FIVE_MINUTES

    def line(self) -> str:
        start = moment(self.start)
        return (
            f"{start:%Y-%m-%d},{start:%H:%M:%S},{self.latitude},{self.longitude},{self.signal},net,{self.operator},{self.status},"
            f"STATE,0.0,4.0,{self.precision},gps,STILL,{self.postal_code}"
        )


@dataclass(frozen=True)
class Call:
    """One cdr record; ``start`` in Unix seconds."""

    start: int
    county: str
    operator: str
    call_type: str

    header = "SourcePN,DestPN,Location,StartT,EndT,Type,Company"
    interval = ONE_MINUTE

    def line(self) -> str:
        start, end = (f"{moment(second):%b %d %Y %H:%M:%S}" for second in (self.start, self.start + 42))
        return f"555-0100,555-0199,{self.county},{start},{end},{self.call_type},{self.operator}"


Record = Flow | Message | Log | Call
# For one interval of one KPI: the total, and each group's dimensions and values, largest first.
Figures = tuple[float | int | None, list[tuple]]


def uuid(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012d}"


def file_text(records: list[Record]) -> str:
    lines = [record.line() for record in records]
    return "\n".join([records[0].header, *lines] if records[0].header else lines) + "\n"


def moment(seconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def _sums(pairs: Iterable[tuple[object, int]]) -> Figures:
    sums: dict = defaultdict(int)
    for group, value in pairs:
        sums[group] += value
    rows = [(*group, value) if isinstance(group, tuple) else (group, value) for group, value in sums.items()]
    return sum(sums.values()), sorted(rows, key=lambda row: (-row[-1], row[:-1]))


def _users(flows: list[Flow]) -> Figures:
    users: dict = defaultdict(set)
    for flow in flows:
        users[flow.cell].add(flow.msisdn)
    _, rows = _sums((cell, len(numbers)) for cell, numbers in users.items())
    return len({flow.msisdn for flow in flows}), rows


def _over_quota(messages: list[Message], subscribers: dict[int, tuple[str, int]]) -> Figures:
    quotas: dict[str, int] = {}
    for email, quota in subscribers.values():
        quotas[email] = max(quota, quotas.get(email, 0))
    _, usage = _sums((subscribers[one.device][0], one.bytes) for one in messages if one.device in subscribers)
    over = [(email, used, quotas[email]) for email, used in usage if used > quotas[email]]
    return sum(used for _, used, _ in over), over


def _caseless(text: str) -> str:
    return normalize("NFC", normalize("NFD", text).casefold())


def _names(spellings: Iterable[str]) -> dict[str, str]:
    """The most frequent spelling of each name, whatever the letter case and encoding."""
    counts: dict = defaultdict(Counter)
    for spelling in spellings:
        counts[_caseless(spelling)][spelling] += 1
    return {name: min(found, key=lambda one: (-found[one], one)) for name, found in counts.items()}


def _means_by_operator(logs: list[Log], column: str) -> Figures:
    names = _names(log.operator for log in logs)
    return _means((names[_caseless(log.operator)], getattr(log, column)) for log in logs)


def _known(text: str) -> str:
    """A signal or precision, "" where the number stands for none."""
    return "" if text and float(text) in (-1, 99, 255, 2**31 - 1) else text


def _grid_cell(log: Log) -> str:
    """The south-west corner of its twentieth of a degree; "" for no place, which 0,0 is as well."""
    if not log.latitude or not log.longitude or float(log.latitude) == float(log.longitude) == 0:
        return ""
    corner = [math.floor(Decimal(degrees) * 20) * 5 for degrees in (log.latitude, log.longitude)]
    return ",".join(f"{Decimal(hundredths) / 100:.2f}" for hundredths in corner)


def _means(pairs: Iterable[tuple[str, str]]) -> Figures:
    samples: dict = defaultdict(list)
    empty: Counter = Counter()
    for group, said in pairs:
        text = _known(said)
        samples[group] += [Fraction(text)] if text else []
        empty[group] += not text
    rows = [(group, _mean(found), len(found), empty[group]) for group, found in samples.items()]
    every = [value for found in samples.values() for value in found]
    return _mean(every), sorted(rows, key=lambda row: (row[1] is None, -(row[1] or 0), row[0]))


def _mean(values: list[Fraction]) -> float | None:
    return rounded(float(sum(values) / len(values))) if values else None


def _shares(calls: list[Call]) -> Figures:
    names = _names(call.operator for call in calls)
    total, rows = _sums(((names[_caseless(call.operator)], call.call_type), 1) for call in calls)
    return total, [(*row, rounded(row[-1] / total)) for row in rows]


def rounded(value):
    return round(value, 9) if isinstance(value, float) else value


@dataclass(frozen=True)
class TwinKPI:
    id: int
    record: type
    model: type
    columns: tuple[str, ...]
    figures: Callable[..., Figures]
    intervals: tuple[int, ...] = (FIVE_MINUTES, ONE_HOUR)
    top: bool = False


KPIS = [
    TwinKPI(
        1,
        Flow,
        ServiceTrafficVolume,
        ("service_id", "total_bytes"),
        lambda flows: _sums((flow.service, flow.uplink + flow.downlink) for flow in flows),
        top=True,
    ),
    TwinKPI(2, Flow, CellUniqueUsers, ("cell_id", "number_of_unique_users"), _users, top=True),
    TwinKPI(
        3,
        Message,
        AntennaTrafficVolume,
        ("antenna_id", "total_bytes"),
        lambda messages: _sums((uuid(one.antenna), one.bytes) for one in messages),
    ),
    TwinKPI(
        4,
        Message,
        AppTrafficVolume,
        ("app", "total_bytes"),
        lambda messages: _sums((one.app, one.bytes) for one in messages),
    ),
    TwinKPI(
        5,
        Message,
        UserTrafficVolume,
        ("user_id", "total_bytes"),
        lambda messages: _sums((uuid(one.device), one.bytes) for one in messages),
    ),
    TwinKPI(6, Message, UserQuotaExceeded, ("email", "usage", "quota"), _over_quota, intervals=(ONE_HOUR,)),
    TwinKPI(
        7,
        Log,
        OperatorSignal,
        ("operator", "average_signal", "number_of_samples", "number_of_empty_values"),
        lambda logs: _means_by_operator(logs, "signal"),
    ),
    TwinKPI(
        8,
        Log,
        OperatorGPSPrecision,
        ("operator", "average_precision", "number_of_samples", "number_of_empty_values"),
        lambda logs: _means_by_operator(logs, "precision"),
    ),
    TwinKPI(
        9,
        Log,
        PostalCodeStatus,
        ("postal_code", "status", "number_of_reports"),
        lambda logs: _sums(((log.postal_code.removesuffix(".0"), log.status), 1) for log in logs),
    ),
    TwinKPI(
        10,
        Call,
        CountyCallVolume,
        ("county", "number_of_calls"),
        lambda calls: _sums((call.county, 1) for call in calls),
        intervals=(ONE_MINUTE, FIVE_MINUTES, ONE_HOUR),
    ),
    TwinKPI(
        11,
        Call,
        OperatorCallVolume,
        ("operator", "call_type", "number_of_calls", "market_share"),
        _shares,
        intervals=(ONE_MINUTE, FIVE_MINUTES, ONE_HOUR),
    ),
    TwinKPI(
        12,
        Log,
        CoverageGridSignal,
        ("grid_cell", "average_signal", "number_of_samples", "number_of_empty_values"),
        lambda logs: _means((_grid_cell(log), log.signal) for log in logs),
    ),
]


def expected(
    files: dict[str, list[Record]],
    watermark: int | dict[type, int],
    top_n: int = 10,
    subscribers: dict[int, tuple[str, int]] | None = None,
) -> tuple[dict, dict]:
    """The expected rows of all tables once these files are in, each name with its newest content.

    ``watermark`` is up to when intervals have closed, in Unix seconds, of all feeds or by record type (with files:
    the newest interval end ever ingested): a longer interval has rows once it has closed. ``subscribers`` gives email
    and quota by device. Gives the rows as {(KPI, interval, start): [(rank, dimensions..., values...), ...]}, and the
    summaries as {(KPI, interval, start): (total, groups, records, batches, state)}.
    """
    rows, summaries = {}, {}
    for kpi in KPIS:
        by_interval: dict = defaultdict(list)
        for name, records in files.items():
            for record in records:
                if isinstance(record, kpi.record):
                    for interval in kpi.intervals:
                        start = record.start - record.start % SECONDS[interval]
                        by_interval[interval, start].append((name, record))
        newest = watermark if isinstance(watermark, int) else watermark.get(kpi.record, 0)
        for (interval, start), found in by_interval.items():
            if interval != kpi.record.interval and start + SECONDS[interval] > newest:
                continue
            records = [record for _, record in found]
            total, groups = (
                kpi.figures(records, subscribers or {}) if kpi.model is UserQuotaExceeded else kpi.figures(records)
            )
            key = kpi.id, interval, moment(start)
            kept = groups[:top_n] if kpi.top else groups
            if kept:
                rows[key] = [(rank, *group) for rank, group in enumerate(kept, 1)]
            state = "final" if start + SECONDS[interval] <= newest else "provisional"
            summaries[key] = (total, len(groups), len(records), len({name for name, _ in found}), state)
    return rows, summaries


def stored(using: str = "default") -> tuple[dict, dict]:
    """A database's rows, in the shape of ``expected``."""
    rows: dict = defaultdict(list)
    for kpi in KPIS:
        for row in kpi.model.objects.using(using).order_by("interval", "interval_start_timestamp", "rank"):
            assert row.interval_end_timestamp - row.interval_start_timestamp == timedelta(seconds=SECONDS[row.interval])
            key = kpi.id, row.interval, row.interval_start_timestamp
            rows[key].append((row.rank, *(rounded(getattr(row, column)) for column in kpi.columns)))
    summaries = {
        (one.kpi, one.interval, one.interval_start_timestamp): (
            one.total if one.total is not None else rounded(one.mean),
            one.groups,
            one.records,
            one.batches,
            one.state,
        )
        for one in IntervalSummary.objects.using(using)
    }
    return dict(rows), summaries
