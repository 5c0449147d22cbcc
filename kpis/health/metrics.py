"""The metrics for Prometheus, computed from the ledger at each scrape, so that every process gives the same."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count, Sum
from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kpis.health.state import interval_ages
from kpis.models import Batch, Run


class LedgerCollector(Collector):
    """The ledger's counts, as gauges: they decrease when a file is replaced."""

    def describe(self) -> list[Metric]:
        # The database is queried at a scrape, not at registration.
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; raises the database's errors."""
        yield from _batches()
        yield from _last_run()
        yield from _ages()


REGISTRY = CollectorRegistry()
REGISTRY.register(LedgerCollector())


def _batches() -> Iterator[Metric]:
    batches = _gauge("batches", "Batches in the ledger", "feed", "status")
    records = _gauge("records", "Records of the ingested batches", "feed")
    rejects = _gauge("rejects", "Rejects of the ingested batches", "feed")
    counts = Batch.objects.order_by("feed", "status").values_list("feed", "status")
    for feed, status, number, of_records, of_rejects in counts.annotate(Count("id"), Sum("records"), Sum("rejects")):
        batches.add_metric([feed, status], number)
        if status == Batch.Status.IN:
            records.add_metric([feed], of_records)
            rejects.add_metric([feed], of_rejects)
    yield from (batches, records, rejects)


def _last_run() -> Iterator[Metric]:
    outcome = _gauge("last_run_outcome", "1 for the outcome of the last completed run", "outcome")
    ended = _gauge("last_run_end_timestamp_seconds", "End of the last completed run, as Unix time")
    seconds = _gauge("last_run_seconds", "Duration of that run")
    runs = Run.objects.exclude(outcome=Run.Outcome.RUNNING).exclude(command__startswith=Run.PRUNE)
    last = runs.first()
    if last:
        for name in (choice for choice in Run.Outcome.values if choice != Run.Outcome.RUNNING):
            outcome.add_metric([name], last.outcome == name)
    whole = runs.filter(ended_at__isnull=False).first()
    if whole and whole.ended_at:
        ended.add_metric([], whole.ended_at.timestamp())
        seconds.add_metric([], (whole.ended_at - whole.started_at).total_seconds())
    yield from (outcome, ended, seconds)


def _ages() -> Iterator[Metric]:
    ages = _gauge("newest_interval_age_seconds", "Seconds since the end of the feed's newest interval", "feed")
    for feed, age in interval_ages(timezone.now()).items():
        if age is not None:
            ages.add_metric([feed], age)
    yield ages


def _gauge(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"network_analysis_{name}", documentation, labels=labels)
