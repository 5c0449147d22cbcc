"""Reference tables: what people know of the network besides its records."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from kpis.models.fields import ExactCharField


class Subscriber(models.Model):
    """A device, whom it belongs to, and how many bytes an hour it may use. Several devices may have one email."""

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
    """A subscriber's email and quota from a moment on: what was in force when an hour was first figured.

    Outlives the subscriber; its last one then has no quota.
    """

    subscriber = models.ForeignKey(
        Subscriber, on_delete=models.DO_NOTHING, db_constraint=False, related_name="quota_changes"
    )
    email = ExactCharField(max_length=254)
    quota = models.BigIntegerField(null=True, help_text="bytes an hour; empty from the subscriber's removal on")
    since = models.DateTimeField(help_text="UTC")

    class Meta:
        ordering = ["since", "id"]
        indexes = [models.Index(fields=["since"], name="quota_change_since")]

    def __str__(self) -> str:
        quota = "no subscriber" if self.quota is None else f"{self.quota} bytes an hour"
        return f"{quota} since {self.since:%Y-%m-%d %H:%M}Z"
