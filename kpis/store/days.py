"""The time zone of the stored days, weeks and months, and computing them again after TIME_ZONE has changed.

Days of two zones overlap, and records that came while another zone was set have marked that zone's days as due. So
nothing computes days until ``restart`` has deleted those of the former zone and marked those of the present one.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import Q

from kpis.catalog.calendar import zone_name
from kpis.catalog.intervals import LENGTHS
from kpis.catalog.registry import FEEDS, kpis_of, lengths_of
from kpis.models import Batch, BatchInterval, DueReference, DueRollup, IntervalSummary, LakeBinding, Watermark
from kpis.models.result_models import result_model
from kpis.store.due import mark_rollups_due
from kpis.store.locks import check_lock

CALENDAR = [length.code for length in LENGTHS.values() if length.is_calendar]


def note_zone(binding: LakeBinding) -> None:
    """Record the zone of the stored days if there are none yet, or that another one was set since."""
    zone = zone_name()
    if binding.days_zone == zone:
        return
    if not binding.days_zone or not _has_days():
        binding.days_zone, binding.days_zone_changed = zone, False
    elif not binding.days_zone_changed:
        binding.days_zone_changed = True
    else:
        return
    binding.save(update_fields=["days_zone", "days_zone_changed"])


def zone_problem() -> str:
    """Return why days, weeks and months cannot be computed, and what to do; "" if they can."""
    binding = LakeBinding.objects.first()
    if binding is None or (binding.days_zone == zone_name() and not binding.days_zone_changed) or not _has_days():
        return ""
    changed = f"is {zone_name()}" if binding.days_zone != zone_name() else "was another one since"
    return (
        f"the stored ones are of the time zone {binding.days_zone}, and TIME_ZONE {changed}. Run manage.py "
        f"update_network_stats --rebuild-days, which computes them again in {zone_name()}"
    )


@transaction.atomic
def restart() -> None:
    """Delete the days, weeks and months that the lake has all records of, and mark those of the zone as due.

    The caller holds the lock. What the lake was pruned of stays, in the zone that it was computed in.
    """
    check_lock()
    for model in (DueRollup, DueReference):
        model.objects.filter(interval__in=CALENDAR).delete()
    for feed in FEEDS.values():
        if not any(length.is_calendar for length in lengths_of(feed)):
            continue
        kept_from = Watermark.objects.filter(feed=feed.name).values_list("kept_from", flat=True).first()
        whole = Q() if kept_from is None else Q(interval_start_timestamp__gte=kept_from)
        of_calendar = Q(interval__in=CALENDAR) & whole
        for kpi in kpis_of(feed):
            result_model(kpi).objects.filter(of_calendar).delete()
            IntervalSummary.objects.filter(of_calendar, kpi=kpi.id).delete()
        there = BatchInterval.objects.filter(whole, batch__feed=feed.name, batch__status=Batch.Status.IN).order_by()
        starts = there.values_list("interval_start_timestamp", flat=True).distinct()
        mark_rollups_due(feed, set(starts), calendar_only=True)
    LakeBinding.objects.update(days_zone=zone_name(), days_zone_changed=False)


def _has_days() -> bool:
    """Return True if there are days, weeks or months, or they are due."""
    return any(model.objects.filter(interval__in=CALENDAR).exists() for model in (DueRollup, IntervalSummary))
