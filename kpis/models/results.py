"""The results: one table a KPI, and one summary row for each KPI and interval."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import F, Q

from kpis.catalog.builtin import antenna, cdr, coverage, ipflow
from kpis.catalog.registry import KPIS
from kpis.models.ledger import interval_choices
from kpis.models.result_models import make_result_model


def kpi_choices() -> list[tuple[int, str]]:
    """Return the choices of a column of KPIs."""
    return [(kpi.id, kpi.name) for kpi in KPIS.values()]


ServiceTrafficVolume = make_result_model(ipflow.SERVICE_TRAFFIC_VOLUME, __name__)
CellUniqueUsers = make_result_model(ipflow.CELL_UNIQUE_USERS, __name__)
AntennaTrafficVolume = make_result_model(antenna.ANTENNA_TRAFFIC_VOLUME, __name__)
AppTrafficVolume = make_result_model(antenna.APP_TRAFFIC_VOLUME, __name__)
UserTrafficVolume = make_result_model(antenna.USER_TRAFFIC_VOLUME, __name__)
UserQuotaExceeded = make_result_model(antenna.USER_QUOTA_EXCEEDED, __name__)
OperatorSignal = make_result_model(coverage.OPERATOR_SIGNAL, __name__)
OperatorGPSPrecision = make_result_model(coverage.OPERATOR_GPS_PRECISION, __name__)
PostalCodeStatus = make_result_model(coverage.POSTAL_CODE_STATUS, __name__)
CountyCallVolume = make_result_model(cdr.COUNTY_CALL_VOLUME, __name__)
OperatorCallVolume = make_result_model(cdr.OPERATOR_CALL_VOLUME, __name__)
CoverageGridSignal = make_result_model(coverage.COVERAGE_GRID_SIGNAL, __name__)


class IntervalSummary(models.Model):
    """The summary of a KPI's interval: the total over all groups, and the counts of what it was computed from."""

    class State(models.TextChoices):
        PROVISIONAL = "provisional", "the interval is still open"
        FINAL = "final", "the interval has closed"
        INCOMPLETE = "incomplete", "records are missing from the figures, as the reason says"

    kpi = models.PositiveSmallIntegerField(choices=kpi_choices)
    interval_start_timestamp = models.DateTimeField(help_text="UTC, included")
    interval_end_timestamp = models.DateTimeField(help_text="UTC, not included")
    interval = models.PositiveSmallIntegerField(choices=interval_choices)
    total = models.BigIntegerField(
        null=True, blank=True, help_text="over all groups; for unique users, distinct users over all cells"
    )
    mean = models.FloatField(null=True, blank=True, help_text="instead of the total, if the values are fractions")
    groups = models.BigIntegerField(help_text="number of groups; a top list keeps the first of them")
    records = models.BigIntegerField(help_text="records in the interval")
    batches = models.PositiveIntegerField(help_text="batches that have records in the interval")
    first_computed_at = models.DateTimeField(
        help_text="UTC; references, such as quotas, are those that were in force then"
    )
    revision = models.PositiveIntegerField(default=1, help_text="1, plus 1 for each time that it was recomputed")
    state = models.CharField(max_length=12, choices=State)
    reason = models.TextField(blank=True, default="", help_text="why it was revised, if not by a batch")
    updated_at = models.DateTimeField(help_text="UTC; when this revision was computed")
    previous_total = models.BigIntegerField(null=True, blank=True, help_text="the total of the revision before")
    previous_mean = models.FloatField(null=True, blank=True, help_text="that of the revision before")
    previous_updated_at = models.DateTimeField(
        null=True, blank=True, help_text="UTC; when the revision before was computed"
    )

    class Meta:
        verbose_name_plural = "interval summaries"
        ordering = ["interval_start_timestamp", "interval", "kpi"]
        constraints = [
            models.UniqueConstraint(
                fields=["interval_start_timestamp", "interval", "kpi"], name="interval_summary_once"
            ),
            models.CheckConstraint(
                condition=Q(interval_start_timestamp__lt=F("interval_end_timestamp")),
                name="interval_summary_start_lt_end",
            ),
        ]
        indexes = [models.Index(fields=["kpi", "interval_start_timestamp", "interval"], name="interval_summary_by_kpi")]

    def __str__(self) -> str:
        start = f"{self.interval_start_timestamp:%Y-%m-%d %H:%M}Z"
        return f"{self.get_kpi_display()}, {self.get_interval_display()} from {start}"

    @property
    def value(self) -> int | float | None:
        """The interval's value over all groups: its total, or what is in its place, as a mean."""
        return getattr(self, self._column)

    @property
    def previous_value(self) -> int | float | None:
        """The value of the revision before; None if there is none."""
        return getattr(self, f"previous_{self._column}")

    @property
    def _column(self) -> str:
        # Summaries of a KPI that the catalog has no more are kept.
        return KPIS[self.kpi].total_column if self.kpi in KPIS else "total" if self.mean is None else "mean"


class ResultPruning(models.Model):
    """The moment before which the results of an interval length were pruned, of all KPIs, with their summaries."""

    interval = models.PositiveSmallIntegerField(choices=interval_choices, unique=True)
    before = models.DateTimeField(help_text="UTC; intervals that ended by then were removed")

    class Meta:
        ordering = ["interval"]

    def __str__(self) -> str:
        return f"{self.get_interval_display()} before {self.before:%Y-%m-%d %H:%M}Z"

    @classmethod
    def of(cls, interval: int) -> datetime | None:
        """Return the moment (UTC) before which an interval length's results were pruned, by its code; None if never."""
        return cls.objects.filter(interval=interval).values_list("before", flat=True).first()
