"""The results: one table a KPI, and one summary row for each KPI and interval."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Self

from django.apps import apps
from django.db import models
from django.db.models import F, Q
from django.db.models.signals import class_prepared
from django.dispatch import receiver

from kpis.catalog.kpis import KPI
from kpis.catalog.registry import KPIS
from kpis.models.fields import ExactCharField, FoldedCharField, longest_text
from kpis.models.ledger import interval_choices


def kpi_choices() -> list[tuple[int, str]]:
    return [(kpi.id, kpi.name) for kpi in KPIS.values()]


class KPIResult(models.Model):
    """What the rows of every KPI share. A subclass sets ``kpi_id``, its dimensions and its values."""

    kpi_id: int
    objects: ClassVar[models.Manager[Self]]

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


# Of the longest text a folded one may have three times as many characters.
LONGEST_FOLDED = 3


@receiver(class_prepared)
def add_folded_columns(sender: type[models.Model], **kwargs: object) -> None:
    """Gives a KPI's table the column of each folded dimension's folded name."""
    if issubclass(sender, KPIResult):
        for dimension in sender.kpi().folded:
            longest = longest_text(sender, dimension.name) * LONGEST_FOLDED
            FoldedCharField(
                of=dimension.name,
                max_length=longest,
                default="",
                editable=False,
                help_text=f"{dimension.name} without letter case, by which it is found",
            ).contribute_to_class(sender, dimension.folded_column)


def by_folded(dimension: str) -> models.Index:
    """Gives the series of a folded dimension's group in the order of lists."""
    fields = [f"{dimension}_folded", "interval_start_timestamp", "interval", "rank"]
    return models.Index(fields=fields, name="%(class)s_folded")


def group_once(*dimensions: str) -> models.UniqueConstraint:
    """That a group has one row an interval; the index also gives a group's series in the order of lists."""
    fields = [*dimensions, "interval_start_timestamp", "interval"]
    return models.UniqueConstraint(fields=fields, name="%(class)s_group_once")


def at_least(least: int, column: str) -> models.CheckConstraint:
    """That a column holds no less."""
    return models.CheckConstraint(condition=Q(**{f"{column}__gte": least}), name=f"%(class)s_{column}_gte_{least}")


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
            group_once("service_id"),
            at_least(0, "total_bytes"),
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
            group_once("cell_id"),
            at_least(1, "number_of_unique_users"),
        ]


class AntennaTrafficVolume(KPIResult):
    """KPI 3: bytes by antenna."""

    kpi_id = 3

    antenna_id = ExactCharField(max_length=36, help_text="UUID")
    total_bytes = models.BigIntegerField(help_text="bytes")

    class Meta(KPIResult.Meta):
        verbose_name_plural = "antenna traffic volumes"
        constraints = [*KPIResult.Meta.constraints, group_once("antenna_id"), at_least(0, "total_bytes")]


class AppTrafficVolume(KPIResult):
    """KPI 4: bytes by app."""

    kpi_id = 4

    app = ExactCharField(max_length=100)
    total_bytes = models.BigIntegerField(help_text="bytes")

    class Meta(KPIResult.Meta):
        verbose_name_plural = "app traffic volumes"
        constraints = [*KPIResult.Meta.constraints, group_once("app"), at_least(0, "total_bytes")]


class UserTrafficVolume(KPIResult):
    """KPI 5: bytes by user, that is by device; personal."""

    kpi_id = 5

    user_id = ExactCharField(max_length=36, help_text="UUID of the device")
    total_bytes = models.BigIntegerField(help_text="bytes")

    class Meta(KPIResult.Meta):
        verbose_name_plural = "user traffic volumes"
        constraints = [*KPIResult.Meta.constraints, group_once("user_id"), at_least(0, "total_bytes")]


class UserQuotaExceeded(KPIResult):
    """KPI 6: the subscribers who used more in an hour than their quota; personal."""

    kpi_id = 6

    email = ExactCharField(max_length=254)
    usage = models.BigIntegerField(help_text="bytes in the hour, over all devices of the email")
    quota = models.BigIntegerField(help_text="bytes an hour: the largest of the devices'")

    class Meta(KPIResult.Meta):
        verbose_name_plural = "users over their quota"
        constraints = [
            *KPIResult.Meta.constraints,
            group_once("email"),
            models.CheckConstraint(condition=Q(usage__gt=F("quota")), name="%(class)s_usage_gt_quota"),
        ]


class OperatorSignal(KPIResult):
    """KPI 7: the average signal by operator."""

    kpi_id = 7

    operator = ExactCharField(max_length=100, blank=True)
    average_signal = models.FloatField(null=True, help_text="ASU, over the samples; empty where there are none")
    number_of_samples = models.BigIntegerField(help_text="reports with a signal")
    number_of_empty_values = models.BigIntegerField(help_text="reports without one, left out of the average")

    class Meta(KPIResult.Meta):
        constraints = [
            *KPIResult.Meta.constraints,
            group_once("operator"),
            at_least(0, "number_of_samples"),
            at_least(0, "number_of_empty_values"),
        ]
        indexes = [by_folded("operator")]


class OperatorGPSPrecision(KPIResult):
    """KPI 8: the average GPS precision by operator."""

    kpi_id = 8

    operator = ExactCharField(max_length=100, blank=True)
    average_precision = models.FloatField(null=True, help_text="metres, over the samples; empty where there are none")
    number_of_samples = models.BigIntegerField(help_text="reports with a precision")
    number_of_empty_values = models.BigIntegerField(help_text="reports without one, left out of the average")

    class Meta(KPIResult.Meta):
        verbose_name = "operator GPS precision"
        constraints = [
            *KPIResult.Meta.constraints,
            group_once("operator"),
            at_least(0, "number_of_samples"),
            at_least(0, "number_of_empty_values"),
        ]
        indexes = [by_folded("operator")]


class PostalCodeStatus(KPIResult):
    """KPI 9: reports by postal code and network status."""

    kpi_id = 9

    postal_code = ExactCharField(max_length=20, blank=True)
    status = models.IntegerField(help_text="0 in service, 1 out of service, 2 emergency only, 3 radio off")
    number_of_reports = models.BigIntegerField()

    class Meta(KPIResult.Meta):
        verbose_name_plural = "postal code status"
        constraints = [
            *KPIResult.Meta.constraints,
            group_once("postal_code", "status"),
            at_least(1, "number_of_reports"),
        ]


class CountyCallVolume(KPIResult):
    """KPI 10: calls and texts by county."""

    kpi_id = 10

    county = ExactCharField(max_length=100)
    number_of_calls = models.BigIntegerField(help_text="calls and texts")

    class Meta(KPIResult.Meta):
        constraints = [*KPIResult.Meta.constraints, group_once("county"), at_least(1, "number_of_calls")]


class OperatorCallVolume(KPIResult):
    """KPI 11: calls and texts by operator, and their share of the interval's."""

    kpi_id = 11

    operator = ExactCharField(max_length=100)
    call_type = ExactCharField(max_length=4, help_text="CALL or TEXT")
    number_of_calls = models.BigIntegerField()
    market_share = models.FloatField(help_text="of all calls and texts of the interval, 0 to 1")

    class Meta(KPIResult.Meta):
        constraints = [
            *KPIResult.Meta.constraints,
            group_once("operator", "call_type"),
            at_least(1, "number_of_calls"),
            models.CheckConstraint(
                condition=Q(market_share__gt=0, market_share__lte=1), name="%(class)s_share_gt_0_lte_1"
            ),
        ]
        indexes = [by_folded("operator")]


class CoverageGridSignal(KPIResult):
    """KPI 12: the average signal by place."""

    kpi_id = 12

    grid_cell = ExactCharField(
        max_length=20, blank=True, help_text="south-west corner of 0.05 degrees, latitude,longitude; empty for no place"
    )
    average_signal = models.FloatField(null=True, help_text="ASU, over the samples; empty where there are none")
    number_of_samples = models.BigIntegerField(help_text="reports with a signal")
    number_of_empty_values = models.BigIntegerField(help_text="reports without one, left out of the average")

    class Meta(KPIResult.Meta):
        constraints = [
            *KPIResult.Meta.constraints,
            group_once("grid_cell"),
            at_least(0, "number_of_samples"),
            at_least(0, "number_of_empty_values"),
        ]


class IntervalSummary(models.Model):
    """One KPI's interval as a whole: its true total over all groups, and what it was computed from."""

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
    mean = models.FloatField(null=True, blank=True, help_text="in the total's place, where the KPI is a mean")
    groups = models.BigIntegerField(help_text="number of groups, of which the top list keeps the first")
    records = models.BigIntegerField(help_text="records in the interval")
    batches = models.PositiveIntegerField(help_text="batches that have records in the interval")
    first_figured_at = models.DateTimeField(help_text="UTC; references such as quotas are those in force then")
    revision = models.PositiveIntegerField(default=1, help_text="1, and one more each time it was figured anew")
    state = models.CharField(max_length=12, choices=State)
    reason = models.TextField(blank=True, default="", help_text="why it was revised, where no batch was the cause")
    updated_at = models.DateTimeField(help_text="UTC; when this revision was figured")
    previous_total = models.BigIntegerField(null=True, blank=True, help_text="the total of the revision before")
    previous_mean = models.FloatField(null=True, blank=True, help_text="the mean of the revision before")
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
        indexes = [models.Index(fields=["kpi", "interval_start_timestamp", "interval"], name="interval_summary_by_kpi")]

    def __str__(self) -> str:
        start = f"{self.interval_start_timestamp:%Y-%m-%d %H:%M}Z"
        return f"{self.get_kpi_display()}, {self.get_interval_display()} from {start}"


class ResultPruning(models.Model):
    """Up to when the results of an interval length, and their summaries, were pruned of all KPIs."""

    interval = models.PositiveSmallIntegerField(choices=interval_choices, unique=True)
    before = models.DateTimeField(help_text="UTC; intervals that ended by then were removed")

    class Meta:
        ordering = ["interval"]

    def __str__(self) -> str:
        return f"{self.get_interval_display()} before {self.before:%Y-%m-%d %H:%M}Z"

    @classmethod
    def of(cls, interval: int) -> datetime | None:
        """Up to when (UTC) the results of an interval length, by its code, were pruned; None where they never were."""
        return cls.objects.filter(interval=interval).values_list("before", flat=True).first()
