"""``manage.py show_network_stats``: print the newest results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser

from kpis.catalog.intervals import BY_SHORT_NAME, Length, to_text
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import KPIS
from kpis.management.output import AnswerCommand
from kpis.models import IntervalSummary
from kpis.models.result_models import result_model


class Command(AnswerCommand):
    help = "Shows each KPI's first rows of the newest interval."

    def add_arguments(self, parser: CommandParser) -> None:
        offered = ", ".join(BY_SHORT_NAME)
        parser.add_argument("--interval", default="1h", help=f"the intervals' length: {offered} (default: 1h)")
        parser.add_argument("--top", type=int, default=10, metavar="N", help="rows for each KPI (default: 10)")
        parser.add_argument("--personal", action="store_true", help="also the KPIs about single subscribers")

    def handle(self, *, interval: str, top: int, personal: bool, **options: Any) -> None:
        if interval not in BY_SHORT_NAME:
            offered = ", ".join(BY_SHORT_NAME)
            raise CommandError(f"--interval must be one of {offered}, not {interval!r}.", returncode=2)
        if top < 1:
            raise CommandError(f"--top must be at least 1, not {top}.", returncode=2)
        length = BY_SHORT_NAME[interval]
        kpis = [kpi for kpi in KPIS.values() if length in kpi.lengths and (personal or not kpi.personal)]
        if not kpis:
            self.stdout.write(f"No KPI has intervals of {length}.")
        for number, kpi in enumerate(kpis):
            if number:
                self.stdout.write("")
            for line in newest(kpi, length, top):
                self.stdout.write(line)


def newest(kpi: KPI, length: Length, top: int) -> Iterator[str]:
    """Yield the first rows of a KPI's newest interval of a length, as lines of text."""
    yield kpi.description
    summary = (
        IntervalSummary.objects.filter(kpi=kpi.id, interval=length.code).order_by("-interval_start_timestamp").first()
    )
    if summary is None:
        yield f"No data yet for {length}: no such interval has been ingested."
        return
    start, end = summary.interval_start_timestamp, summary.interval_end_timestamp
    yield (
        f"{to_text(start)} to {to_text(end)}, {summary.state}; {kpi.unit} {_over_all(kpi, summary)}; "
        f"groups: {summary.groups:,}"
    )
    if summary.state == IntervalSummary.State.INCOMPLETE:
        yield f"Incomplete: {summary.reason}."
    yield ""
    names = ["rank", *kpi.columns]
    rows = result_model(kpi).objects.filter(interval=length.code, interval_start_timestamp=start, rank__lte=top)
    dimensions = len(kpi.dimensions)
    texts = [
        [f"{rank:,}", *(str(one) or "(none)" for one in group[:dimensions]), *map(_shown, group[dimensions:])]
        for rank, *group in rows.order_by("rank").values_list(*names)
    ]
    yield from aligned([names, *texts])


def _over_all(kpi: KPI, summary: IntervalSummary) -> str:
    return f"{kpi.measure.total_words}: {_shown(summary.value)}"


def _shown(value: float | None) -> str:
    """Format a value: fractions to four places, None as a dash."""
    if value is None:
        return "-"
    return f"{value:,.4f}" if isinstance(value, float) else f"{value:,}"


def aligned(table: Iterable[list[str]]) -> Iterator[str]:
    """Yield a table's rows as lines, right-aligned, each column as wide as its longest text."""
    table = list(table)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        yield "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True))
