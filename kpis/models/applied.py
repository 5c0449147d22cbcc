"""The entries of catalog files that the tables and the lake were made for."""

from __future__ import annotations

from django.db import models

from kpis.catalog.file.definitions import title_of
from kpis.models.fields import ExactCharField


class AppliedEntry(models.Model):
    """A feed or KPI of a catalog file as it was applied: the tables and the lake have what it says.

    While a KPI is renamed, a row of the kind ``former`` has the name that it had.
    """

    kind = models.CharField(max_length=8, help_text="feed, kpi or former")
    key = ExactCharField(max_length=64, help_text="a feed's name, or a KPI's id")
    name = ExactCharField(max_length=64, help_text="the name in the catalog file")
    definition = models.TextField(blank=True, help_text="JSON; empty: it is being applied, and has no rows")
    is_removed = models.BooleanField(default=False, help_text="whether the catalog lacks it, and its rows are kept")
    applied_at = models.DateTimeField(help_text="UTC")

    class Meta:
        verbose_name_plural = "applied entries"
        ordering = ["kind", "key"]
        constraints = [models.UniqueConstraint(fields=["kind", "key"], name="applied_entry_once")]

    def __str__(self) -> str:
        return title_of(self.kind, self.key, self.name)
