"""Reference tables: data about the network that does not come from its records."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from kpis.models.fields import ExactCharField


class Subscriber(models.Model):
    """A device with its owner and its hourly quota. Several devices may have the same email."""

    id = ExactCharField(max_length=36, primary_key=True, help_text="UUID of the device, as in the antenna's messages")
    name = models.CharField(max_length=200)
    email = ExactCharField(max_length=254, db_index=True)
    quota = models.BigIntegerField(help_text="bytes an hour")

    class Meta:
        ordering = ["id"]
        permissions = [("view_personal", "Can view what is about single subscribers")]
        constraints = [models.CheckConstraint(condition=Q(quota__gte=0), name="subscriber_quota_gte_0")]

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"


class QuotaChange(models.Model):
    """A subscriber's email and quota from a moment on. An hour uses those in force when it was first computed.

    Rows are kept when the subscriber is deleted; the last one then has no quota.
    """

    subscriber = models.ForeignKey(
        Subscriber, on_delete=models.DO_NOTHING, db_constraint=False, related_name="quota_changes"
    )
    email = ExactCharField(max_length=254)
    quota = models.BigIntegerField(null=True, help_text="bytes an hour; empty: the subscriber was deleted")
    since = models.DateTimeField(help_text="UTC")

    class Meta:
        ordering = ["since", "id"]
        indexes = [models.Index(fields=["since"], name="quota_change_since")]

    def __str__(self) -> str:
        quota = "no subscriber" if self.quota is None else f"{self.quota} bytes an hour"
        return f"{quota} since {self.since:%Y-%m-%d %H:%M}Z"


class Region(models.Model):
    """An area of the map: its shape, and the names that records have for it."""

    code = ExactCharField(max_length=64, unique=True, help_text="the authority's code, such as a FIPS code")
    name = ExactCharField(max_length=100, unique=True)
    spellings = models.JSONField(default=list, blank=True, help_text="other names that records have for it")
    geometry = models.JSONField(help_text="GeoJSON MultiPolygon, degrees (WGS 84)")
    west = models.FloatField(help_text="degrees")
    south = models.FloatField(help_text="degrees")
    east = models.FloatField(help_text="degrees")
    north = models.FloatField(help_text="degrees")

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(west__gte=-180, west__lte=F("east")), name="region_west_lte_east"),
            models.CheckConstraint(condition=Q(east__lte=180), name="region_east_lte_180"),
            models.CheckConstraint(condition=Q(south__gte=-90, south__lte=F("north")), name="region_south_lte_north"),
            models.CheckConstraint(condition=Q(north__lte=90), name="region_north_lte_90"),
        ]

    def __str__(self) -> str:
        return self.name
