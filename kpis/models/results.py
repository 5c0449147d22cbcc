"""The results: one table a KPI, and one summary row for each KPI and interval."""

from __future__ import annotations

from django.apps import apps
from django.db import models
from django.db.models import F, Q

from kpis.catalog.kpis import KPI, KPIS
from kpis.models.ledger import interval_choices


def kpi_choices() -> list[tuple[int, str]]:
    return [(kpi.id, kpi.name) for kpi in KPIS.values()]


class KPIResult(models.Model):
    """What the rows of every KPI share. A subclass sets ``kpi_id``, its dimensions and its values."""

    kpi_id: int

    interval_start_timestamp = models.DateTimeField(help_text="UTC, included")
    interval_end_timestamp = models.DateTimeField(help_text="UTC, not included")
    interval = models.PositiveSmallIntegerField(
        choices=interval_choices, help_text="; ".join(f"{code}: {name}" for code, name in interval_choices())
    )
    rank = models.PositiveIntegerField(help_text="1 is the largest; ties rank by the dimension, ascending")

    class Meta:
        abstract = True
        ordering = ["interval_start_timestamp", "interval", "rank"]
        constraints = [
            models.UniqueConstraint(
                fields=["interval_start_timestamp", "interval", "rank"], name="%(class)s_rank_once"
            ),
            models.CheckConstraint(
                condition=Q(interval_start_timestamp__lt=F("interval_end_timestamp")), name="%(class)s_start_lt_end"
            ),
            models.CheckConstraint(condition=Q(rank__gte=1), name="%(class)s_rank_gte_1"),
        ]

    def __str__(self) -> str:
        kpi = self.kpi()
        group = ", ".join(f"{name} {getattr(self, name)}" for name in kpi.dimensions)
        return f"{group}: {getattr(self, kpi.value)} {kpi.unit}"

    @classmethod
    def kpi(cls) -> KPI:
        """The catalog's entry of this table's KPI."""
        return KPIS[cls.kpi_id]


def result_model(kpi: KPI) -> type[KPIResult]:
    """The table that keeps a KPI's rows; raises LookupError when no model names the KPI."""
    for model in apps.get_models():
        if issubclass(model, KPIResult) and model.kpi_id == kpi.id:
            return model
    raise LookupError(f"No model has kpi_id {kpi.id} ({kpi.name})")


class ServiceTrafficVolume(KPIResult):
    """KPI 1: the services with the most traffic in an interval."""

    kpi_id = 1

    service_id = models.IntegerField()
    total_bytes = models.BigIntegerField(help_text="bytes, uplink + downlink")

    class Meta(KPIResult.Meta):
        verbose_name_plural = "service traffic volumes"
        constraints = [
            *KPIResult.Meta.constraints,
            models.UniqueConstraint(
                fields=["service_id", "interval", "interval_start_timestamp"], name="%(class)s_group_once"
            ),
            models.CheckConstraint(condition=Q(total_bytes__gte=0), name="%(class)s_bytes_gte_0"),
        ]


class CellUniqueUsers(KPIResult):
    """KPI 2: the cells with the most unique users in an interval."""

    kpi_id = 2

    cell_id = models.BigIntegerField()
    number_of_unique_users = models.BigIntegerField(help_text="distinct msisdn")

    class Meta(KPIResult.Meta):
        verbose_name_plural = "cell unique users"
        constraints = [
            *KPIResult.Meta.constraints,
            models.UniqueConstraint(
                fields=["cell_id", "interval", "interval_start_timestamp"], name="%(class)s_group_once"
            ),
            models.CheckConstraint(condition=Q(number_of_unique_users__gte=1), name="%(class)s_users_gte_1"),
        ]


class IntervalSummary(models.Model):
    """One KPI's interval as a whole: its true total over all groups, and what it was figured from."""

    class State(models.TextChoices):
        PROVISIONAL = "provisional", "the interval is still open"
        FINAL = "final", "the interval has closed"

    kpi = models.PositiveSmallIntegerField(choices=kpi_choices)
    interval_start_timestamp = models.DateTimeField(help_text="UTC, included")
    interval_end_timestamp = models.DateTimeField(help_text="UTC, not included")
    interval = models.PositiveSmallIntegerField(choices=interval_choices)
    total = models.BigIntegerField(help_text="over all groups; for unique users, distinct users over all cells")
    groups = models.BigIntegerField(help_text="number of groups, of which the top list keeps the first")
    records = models.BigIntegerField(help_text="records in the interval")
    batches = models.PositiveIntegerField(help_text="batches that have records in the interval")
    revision = models.PositiveIntegerField(default=1, help_text="1, and one more each time it was figured anew")
    state = models.CharField(max_length=12, choices=State)
    updated_at = models.DateTimeField(help_text="UTC; when this revision was figured")
    previous_total = models.BigIntegerField(null=True, blank=True, help_text="the total of the revision before")
    previous_updated_at = models.DateTimeField(null=True, blank=True, help_text="UTC; when that was figured")

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
        indexes = [models.Index(fields=["kpi", "interval", "interval_start_timestamp"], name="interval_summary_by_kpi")]

    def __str__(self) -> str:
        start = f"{self.interval_start_timestamp:%Y-%m-%d %H:%M}Z"
        return f"{self.get_kpi_display()}, {self.get_interval_display()} from {start}"
