"""The pages of one KPI: over time, its groups in one interval, and both as tables and files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render

from kpis.catalog.kpis import KPI
from kpis.catalog.registry import KPIS
from kpis.console import moments
from kpis.console.access import Guarded
from kpis.console.addresses import explain, given
from kpis.console.charts.chart import Chart, name_of
from kpis.console.charts.series import series_chart
from kpis.console.charts.top import top_chart, top_height
from kpis.console.figures import Change, earlier
from kpis.console.groups import conditions, dimension_words, label
from kpis.console.interval_groups import IntervalGroups, interval_groups
from kpis.console.navigation import title_of
from kpis.console.picker import find_groups
from kpis.console.selection import SPANS, BadSelection, Selection, selection
from kpis.console.series import series_with_normal
from kpis.console.table import BadTable, Column, Table
from kpis.console.theme import Theme
from kpis.console.views.page import BadRequest, ChartView, Page
from kpis.models import IntervalSummary, KPIResult
from kpis.models.fields import column
from kpis.models.result_models import group_of, result_model
from kpis.query.columns import row_columns
from kpis.query.csv import csv_response
from kpis.query.names import beside, name_columns, with_names
from kpis.query.parquet import ColumnType, parquet_response
from kpis.query.rows import stream
from kpis.store.applied import unapplied_reason

_START = "interval_start_timestamp"


class OfKPI(Guarded):
    """The base of views of the KPI in the address; personal if the KPI is."""

    @property
    def kpi(self) -> KPI:
        """The KPI; raises Http404 for an unknown id."""
        if self.kwargs["kpi_id"] not in KPIS:
            raise Http404
        return KPIS[self.kwargs["kpi_id"]]

    def is_personal(self) -> bool:
        return self.kpi.personal

    def missing(self) -> str:
        return unapplied_reason(self.kpi)

    def selection(self) -> Selection | None:
        """The selection of the query; None if the KPI has no records yet."""
        try:
            return selection(self.kpi, self.request.GET)
        except BadSelection as error:
            raise BadRequest(str(error)) from None

    def selection_or_404(self) -> Selection:
        found = self.selection()
        if found is None:
            raise Http404
        return found


class KPIPage(OfKPI, Page):
    """A KPI's page."""

    template_name = "console/kpi.html"

    def heading(self) -> str:
        return title_of(self.kpi)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        kpi, chosen = self.kpi, self.selection()
        context = super().get_context_data(kpi=kpi, selection=chosen, **kwargs)
        if chosen is None:
            return context
        groups = interval_groups(kpi, chosen.length, chosen.at) if chosen.at else None
        try:
            groups_table = self._groups_table(chosen, groups) if groups else None
            times_table = self._times_table(chosen)
        except BadTable as error:
            raise BadRequest(str(error)) from None
        return context | {
            "groups_table": groups_table,
            "groups_rows": self._group_rows(chosen, groups_table.rows) if groups_table else [],
            "times_table": times_table,
            "times_rows": [self._time_row(chosen, row) for row in times_table.rows],
            "groups": groups,
            "top_height": top_height(groups) if groups else 0,
            "headline": Headline(chosen),
            "found": find_groups(chosen),
            "group_words": chosen.group_words,
            "dimension_words": dimension_words(kpi),
            "spans": [
                (name, chosen.with_(start=chosen.end - span, at=None).address(), chosen.end - chosen.start == span)
                for name, span in SPANS.items()
                if span >= timedelta(minutes=chosen.length.usual_minutes)
            ],
            "earlier": chosen.shifted(-1).address(),
            "later": chosen.shifted(1).address(),
            "wider": chosen.with_(start=chosen.start - (chosen.end - chosen.start), at=None).address(),
            "all_groups": chosen.with_(group=None).address(),
        }

    def _group_rows(self, chosen: Selection, rows: Sequence[KPIResult]) -> list[dict]:
        """Return the rows of the table of groups: their values, with links to their series and explanations."""
        names = name_columns(self.kpi)
        found = []
        for row in rows:
            group = group_of(row)
            named = {one.dimension.name: name for one in names if (name := getattr(row, one.name))}
            found.append(
                {
                    "row": row,
                    "words": label(self.kpi, group, named),
                    "chosen": group == chosen.group,
                    "address": chosen.with_(group=group).address(),
                    "explain": explain(self.kpi, chosen.length, row.interval_start_timestamp, group),
                }
            )
        return found

    def _time_row(self, chosen: Selection, row: KPIResult | IntervalSummary) -> dict:
        """Return a row of the table of intervals: its values, with links to their groups and explanation."""
        start, length = row.interval_start_timestamp, chosen.window.length
        return {
            "row": row,
            "words": moments.clock(start),
            "chosen": start == chosen.at and length == chosen.length,
            "address": chosen.with_(at=start).address(),
            "explain": explain(self.kpi, length, start, chosen.group),
        }

    def _groups_table(self, chosen: Selection, groups: IntervalGroups) -> Table:
        kpi = self.kpi
        columns = [Column("rank", "Rank", number=True)]
        names = name_columns(kpi)
        columns += [Column(name, name.replace("_", " ").capitalize()) for name in beside(kpi.dimensions, names)]
        columns += _value_columns(kpi)
        return self._table("groups", columns, with_names(groups.rows, names), ("rank",), "rank", chosen)

    def _times_table(self, chosen: Selection) -> Table:
        kpi = self.kpi
        window = chosen.window
        between = {f"{_START}__gte": window.start, f"{_START}__lt": window.end}
        columns = [Column(_START, "From")]
        rows: QuerySet[Any]
        if chosen.group:
            rows = result_model(kpi).objects.filter(interval=window.length.code, **between)
            rows = rows.filter(**conditions(kpi, chosen.group))
            columns += [*_value_columns(kpi), Column("rank", "Rank", number=True)]
        else:
            rows = IntervalSummary.objects.filter(kpi=kpi.id, interval=window.length.code, **between)
            columns += [
                Column(kpi.total_column, f"{kpi.measure.total_name.capitalize()} ({kpi.unit})", number=True),
                Column("groups", "Groups", number=True),
                Column("records", "Records", number=True),
                Column("batches", "Batches", number=True),
                Column("revision", "Revision", number=True),
                Column("state", "State"),
            ]
        return self._table("times", columns, rows, (f"-{_START}",), f"-{_START}", chosen)

    def _table(
        self, name: str, columns: list[Column], rows: QuerySet, key: tuple[str, ...], default: str, chosen: Selection
    ) -> Table:
        query = self.request.GET
        state = chosen.parameters() | given(query, ("groups_sort", "groups_page", "times_sort", "times_page"))
        return Table(name, columns, rows, key, default, query, state)


def _value_columns(kpi: KPI) -> list[Column]:
    return [
        Column(
            name, f"{name.replace('_', ' ').capitalize()}{f' ({kpi.unit})' if name == kpi.value else ''}", number=True
        )
        for name in kpi.measure.values
    ]


class Headline:
    """The value of the listed interval, compared with those before."""

    def __init__(self, chosen: Selection) -> None:
        self.selection = chosen
        self._values: dict = {}
        if chosen.at is None:
            return
        moments_ = {"": chosen.at, **earlier(chosen.length, chosen.at)}
        rows: QuerySet[Any]
        if chosen.group:
            rows = result_model(chosen.kpi).objects.filter(**conditions(chosen.kpi, chosen.group))
            column = chosen.kpi.value
        else:
            rows = IntervalSummary.objects.filter(kpi=chosen.kpi.id)
            column = chosen.kpi.total_column
        there = rows.filter(**{"interval": chosen.length.code, f"{_START}__in": moments_.values()})
        values = dict(there.values_list(_START, column))
        self._values = {words: values.get(moment) for words, moment in moments_.items()}

    @property
    def value(self) -> float | None:
        return self._values.get("")

    @property
    def changes(self) -> dict[str, Change]:
        """The changes from the intervals before that it is compared with, by words for these."""
        return {words: Change(self.value, value) for words, value in self._values.items() if words}


class SeriesChart(OfKPI, ChartView):
    """The KPI over time."""

    def chart(self, theme: Theme) -> Chart:
        chosen = self.selection_or_404()
        window = chosen.window
        frame = series_with_normal(self.kpi, window, chosen.group)
        return series_chart(self.kpi, window, frame, theme, chosen.group)


class TopChart(OfKPI, ChartView):
    """The groups of one interval."""

    def chart(self, theme: Theme) -> Chart:
        chosen = self.selection_or_404()
        groups = interval_groups(self.kpi, chosen.length, chosen.at) if chosen.at else None
        if groups is None:
            raise Http404
        return top_chart(groups, theme)


class GroupList(OfKPI):
    """The groups that a search finds, as a part of the page."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        try:
            chosen = self.selection_or_404()
        except BadRequest as error:
            return HttpResponseBadRequest(f"{error}\n", content_type="text/plain; charset=utf-8")
        found = find_groups(chosen, request.GET.get("search", "")[:200])
        return render(request, "console/group_list.html", {"selection": chosen, "found": found})


class RowsFile(OfKPI):
    """The rows of the selection as a file, as in the API, with times in the zone."""

    def get(self, request: HttpRequest, extension: str, **kwargs: Any) -> HttpResponseBase:
        try:
            chosen = self.selection_or_404()
        except BadRequest as error:
            return HttpResponseBadRequest(f"{error}\n", content_type="text/plain; charset=utf-8")
        kpi, model = self.kpi, result_model(self.kpi)
        rows = model.objects.filter(
            interval=chosen.length.code,
            interval_start_timestamp__gte=chosen.start,
            interval_end_timestamp__lte=chosen.end,
            **(conditions(kpi, chosen.group) if chosen.group else {}),
        )
        names = name_columns(kpi)
        columns = beside(row_columns(kpi), names)
        found = stream(with_names(rows, names).values_list(*columns))
        parts = [kpi.name, *([label(kpi, chosen.group)] if chosen.group else [])]
        parts += [moments.for_file(chosen.start), moments.for_file(chosen.end), moments.zone_name()]
        if extension == "csv":
            return csv_response(name_of(*parts), columns, map(_in_the_zone, found), kpi.computed)
        if extension == "parquet":
            texts = {one.name for one in names}
            types = {name: ColumnType.TEXT if name in texts else ColumnType.of(column(model, name)) for name in columns}
            return parquet_response(name_of(*parts), types, found)
        raise Http404


def _in_the_zone(row: tuple) -> list:
    """Return a row with its times as ISO 8601 in the zone."""
    return [moments.iso(value) if isinstance(value, datetime) else value for value in row]
