"""Reference tables: data about the network that does not come from its records."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from kpis.catalog.intervals import EPOCH, to_text
from kpis.catalog.references import LONGEST_KEY, LONGEST_NAME
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


class Reference(models.Model):
    """A reference of a catalog file that was loaded."""

    name = ExactCharField(max_length=40, unique=True, help_text="the name in the catalog file")
    file = models.CharField(max_length=255, help_text="the name of the file that was loaded last")
    loaded_at = models.DateTimeField(help_text="UTC")
    is_personal = models.BooleanField(default=False, help_text="whether a column identifies a person")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ReferenceVersion(models.Model):
    """What holds of a reference's key in a span of time."""

    # The constraint below has the index for it.
    reference = models.ForeignKey(Reference, on_delete=models.CASCADE, db_index=False, related_name="versions")
    key = ExactCharField(max_length=LONGEST_KEY, help_text="the value of records, as a text")
    valid_from = models.DateTimeField(help_text="UTC, included; 1970-01-01: from the beginning")
    valid_to = models.DateTimeField(null=True, help_text="UTC, not included; empty: without an end")
    name = ExactCharField(max_length=LONGEST_NAME, blank=True, help_text="shown beside the key; empty: it has none")
    latitude = models.FloatField(null=True, help_text="degrees (WGS 84)")
    longitude = models.FloatField(null=True, help_text="degrees (WGS 84)")
    attributes = models.JSONField(default=dict, help_text="the other columns, by their names")

    class Meta:
        ordering = ["reference", "key", "valid_from"]
        constraints = [
            models.UniqueConstraint(fields=["reference", "key", "valid_from"], name="reference_version_once"),
            models.CheckConstraint(
                condition=Q(valid_to__isnull=True) | Q(valid_from__lt=F("valid_to")),
                name="reference_version_from_lt_to",
            ),
            models.CheckConstraint(
                condition=Q(latitude__isnull=True, longitude__isnull=True)
                | Q(
                    latitude__isnull=False,
                    longitude__isnull=False,
                    latitude__range=(-90, 90),
                    longitude__range=(-180, 180),
                ),
                name="reference_version_place",
            ),
        ]
        indexes = [models.Index(fields=["reference", "name"], name="reference_version_name")]

    def __str__(self) -> str:
        since = "" if self.valid_from == EPOCH else f" from {to_text(self.valid_from)}"
        until = "" if self.valid_to is None else f" to {to_text(self.valid_to)}"
        return f"{self.name or self.key}{since}{until}"


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
