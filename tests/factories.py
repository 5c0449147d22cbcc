"""Rows for tests: each function writes one, with defaults for the columns that the test leaves out."""

from __future__ import annotations

from datetime import UTC, datetime

from django.contrib.auth.models import Permission, User
from django.db.models import FloatField, IntegerField

from kpis.catalog.intervals import FIVE_MINUTES, Length
from kpis.catalog.kpis import KPI
from kpis.models import Batch, BatchInterval, IntervalSummary, KPIResult, Region, Reject, Run, Subscriber
from kpis.models.result_models import result_model
from kpis.reference.subscribers import put_subscribers


def utc(text: str) -> datetime:
    """The moment of an ISO 8601 text without a zone."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


MIDNIGHT = utc("2021-07-18T00:00:00")


def group(kpi: KPI, number: int) -> dict:
    """The dimensions of one of a KPI's groups, other ones for each number."""
    fields = {name: result_model(kpi)._meta.get_field(name) for name in kpi.dimensions}
    return {name: number if isinstance(field, IntegerField) else f"G{number}" for name, field in fields.items()}


def values(kpi: KPI, value: float = 1000) -> dict:
    """A KPI's value columns: its own value, and others that go with it."""
    model = result_model(kpi)
    others = kpi.measure.values[1:]
    return {kpi.value: value} | {
        name: 0.5 if isinstance(model._meta.get_field(name), FloatField) else 7 for name in others
    }


def make_result(kpi: KPI, start: datetime, rank: int, length: Length = FIVE_MINUTES, **columns) -> KPIResult:
    """A row of any KPI; its group is numbered by its rank."""
    return result_model(kpi).objects.create(
        interval_start_timestamp=start,
        interval_end_timestamp=start + length.delta,
        interval=length.code,
        rank=rank,
        **group(kpi, rank) | values(kpi) | columns,
    )


def make_subscriber(number: int = 1, **columns) -> Subscriber:
    """A subscriber, saved as edits in the admin are."""
    there = {
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "name": f"Subscriber {number}",
        "email": f"{number}@example.com",
        "quota": 5000,
    }
    subscriber = Subscriber(**there | columns)
    put_subscribers([subscriber])
    return subscriber


def make_summary(kpi_id: int, start: datetime, length: Length = FIVE_MINUTES, **columns) -> IntervalSummary:
    values = {
        "total": 1000,
        "groups": 12,
        "records": 40,
        "batches": 2,
        "state": IntervalSummary.State.FINAL,
        "updated_at": start + 2 * length.delta,
        "first_computed_at": start + 2 * length.delta,
    }
    return IntervalSummary.objects.create(
        kpi=kpi_id,
        interval_start_timestamp=start,
        interval_end_timestamp=start + length.delta,
        interval=length.code,
        **values | columns,
    )


def make_run(started_at: datetime = MIDNIGHT, **columns) -> Run:
    values = {"command": "manage.py update_network_stats", "host": "probe-1", "process": 4242}
    return Run.objects.create(started_at=started_at, **values | columns)


def make_batch(run: Run, name: str, ingested_at: datetime = MIDNIGHT, **columns) -> Batch:
    values = {
        "feed": "ipflow",
        "status": Batch.Status.IN,
        "size": 1000,
        "modified_ns": 1_626_566_700_000_000_000,
    }
    return Batch.objects.create(run=run, name=name, ingested_at=ingested_at, **values | columns)


def make_batch_interval(batch: Batch, start: datetime, records: int = 1) -> BatchInterval:
    return BatchInterval.objects.create(batch=batch, interval_start_timestamp=start, records=records)


def make_reject(batch: Batch, line: int, column: str = "msisdn", reason: str = "is empty", text: str = "") -> Reject:
    return Reject.objects.create(batch=batch, line=line, column=column, reason=reason, text=text)


def make_region(name: str = "Somewhere", west: float = 0, south: float = 0, **columns) -> Region:
    """A square region of one degree."""
    east, north = west + 1, south + 1
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    box = {"west": west, "south": south, "east": east, "north": north}
    values = {"code": name, "geometry": {"type": "MultiPolygon", "coordinates": [[ring]]}, **box}
    return Region.objects.create(name=name, **values | columns)


def permission(name: str) -> Permission:
    """The app's permission of this code name."""
    return Permission.objects.get(content_type__app_label="kpis", codename=name)


def make_user(*permissions: str, name: str = "analyst", **flags) -> User:
    """A user with these permissions of the app."""
    user = User.objects.create_user(name, password="correct horse", **flags)
    user.user_permissions.add(*(permission(codename) for codename in permissions))
    return user
