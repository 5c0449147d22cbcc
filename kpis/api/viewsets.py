"""The viewsets of the API; all are read-only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, Self, cast

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema_view
from rest_framework import mixins, viewsets
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from kpis.api.filtersets import (
    BatchFilters,
    ListFilters,
    RejectFilters,
    SummaryFilters,
    anomaly_filterset,
    result_filterset,
    v1_filterset,
)
from kpis.api.openapi import answers
from kpis.api.pagination import KeysetPagination
from kpis.api.permissions import permissions_for
from kpis.api.serializers import (
    BatchSerializer,
    CatalogSerializer,
    Column,
    RejectSerializer,
    RowSerializer,
    SummarySerializer,
    anomaly_serializer,
    result_serializer,
    shown,
    v1_serializer,
)
from kpis.api.views import FileView
from kpis.catalog.intervals import LENGTHS
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import KPIS
from kpis.models import Batch, IntervalSummary, KPIResult, Reject
from kpis.models.result_models import result_model
from kpis.query.access import hidden_kpis, may_view_personal
from kpis.query.anomalies import DEFAULT_THRESHOLD, DEFAULT_WINDOW
from kpis.query.csv import one_text
from kpis.query.intervals import default_length, starts_between
from kpis.query.keyset import own_order
from kpis.query.names import name_columns, with_names
from kpis.query.rows import driver_values, stream
from kpis.query.series import Series
from kpis.query.snapshot import snapshot

_ANOMALIES = (
    "A value is held against those of the same group in the `window` intervals before its own; of these, only the "
    "ones count in which the group has a value, and at least half of them, and two, must. z is "
    "(value - mean) / deviation, with the sample standard deviation of those values (NIST/SEMATECH e-Handbook, 1.3.5.6 "
    "and 1.3.5.17). Where they are all equal, the deviation is 0: any other value is then an anomaly, with z null. "
    "Of a top list, an interval in which a group is not among the first is a gap. A page can have fewer rows than "
    "`page_size`, or none, and still have a next one."
)


class ListViewSet(FileView, viewsets.GenericViewSet):
    """A filtered list: in pages, or as a file with all rows.

    ``keyset`` names the columns, together unique, that the rows are ordered by; ``export_name`` the file.
    """

    keyset: tuple[str, ...]
    export_name: str
    queryset: QuerySet[Any]
    serializer_class: type[RowSerializer]
    filterset_class: type[ListFilters]
    pagination_class: type[KeysetPagination]

    def known_parameters(self) -> set[str]:
        known = super().known_parameters()
        if self.detail:
            return known
        pages = set() if self.wants_file() else self.pagination_class.query_params
        return known | set(self.filterset_class.base_filters) | pages

    def list(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        queryset = self.filter_queryset(self.get_queryset()).order_by(*self.get_keyset())
        columns = self.get_columns()
        sources = [column.source for column in columns]
        if self.wants_file():
            rows = shown(columns, stream(queryset.values_list(*sources)))
            return self.file(self.get_export_name(), self.serializer_class().fields, rows)
        page = self.paginate_queryset(driver_values(queryset, sources)) or ()
        names = [column.name for column in columns]
        # A serializer per row would take longer than everything else of a page.
        return self.get_paginated_response([dict(zip(names, row, strict=True)) for row in shown(columns, page)])

    def get_keyset(self) -> tuple[str, ...]:
        """Return the columns that order the rows of a request.

        If it asks for one row per interval, the last key is redundant, and an index without it gives the order.
        """
        return self.keyset[:-1] if self.filterset_class.gives_one_row(self.request.query_params) else self.keyset

    def get_key(self, row: tuple) -> Sequence[Any]:
        """Return the key values of a page's row."""
        sources = [column.source for column in self.serializer_class.columns()]
        return [row[sources.index(name.lstrip("-"))] for name in self.keyset]

    def get_columns(self) -> Sequence[Column]:
        """Return the columns as this reader sees them."""
        return self.serializer_class.columns()

    def get_export_name(self) -> str:
        return self.export_name


def _held_back(value: object) -> None:
    """Return None, which is shown in place of what this reader may not see."""


class ResultViewSet(ListViewSet):
    """The list of a KPI's rows."""

    @classmethod
    def of(
        cls, kpi: KPI, name: str, serializer: type[RowSerializer], filters: type[ListFilters], **attributes: Any
    ) -> type[Self]:
        """Return the viewset of this KPI's rows, called ``name``."""
        model = result_model(kpi)
        own = {
            "name": name,
            "queryset": model.objects.all(),
            "serializer_class": serializer,
            "filterset_class": filters,
            "permission_classes": permissions_for(kpi),
            "keyset": own_order(model),
            "export_name": name,
            "personal": kpi.personal,
            "computed": kpi.computed,
        }
        return type(f"{serializer.__name__.removesuffix('Serializer')}ViewSet", (cls,), own | attributes)


def result_viewset(kpi: KPI) -> type[ResultViewSet]:
    """Return the viewset of a KPI's rows."""
    names = name_columns(kpi)
    serializer = result_serializer(kpi, names)
    said = f"{kpi.description}\n\n{kpi.notes}".strip()
    rows = with_names(result_model(kpi).objects.all(), names)
    viewset = ResultViewSet.of(kpi, kpi.name, serializer, result_filterset(kpi, names), __doc__=said, queryset=rows)
    return extend_schema_view(list=answers(serializer(many=True), kpi.description, tags=["KPIs"]))(viewset)


def v1_viewset(kpi: KPI, name: str) -> type[ResultViewSet]:
    """Return the viewset of a KPI's rows in version 1, with timestamps in Unix ms and intervals in minutes."""
    serializer = v1_serializer(kpi)
    said = f"{kpi.description}. Timestamps are Unix ms, intervals minutes."
    viewset = ResultViewSet.of(kpi, name, serializer, v1_filterset(kpi), __doc__=said)
    return extend_schema_view(list=answers(serializer(many=True), kpi.description, tags=["v1"]))(viewset)


class AnomalyViewSet(ListViewSet):
    """The rows of a KPI whose value is far from the values of the same group before it."""

    kpi: KPI
    queryset: QuerySet[KPIResult]
    # The annotations of its rows that are names.
    names: tuple[str, ...]

    def list(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        given = self.filterset_class.given(request.query_params)
        length = LENGTHS[given.get("interval", default_length(self.kpi).code)]
        span = starts_between(self.filterset_class.lookups(given), [length])
        groups = self.filterset_class.lookups({name: given[name] for name in self.kpi.dimensions if name in given})
        rows = self.filterset_class.by_names(self.queryset.filter(interval=length.code, **groups), given)
        series = Series(
            self.kpi,
            rows,
            length,
            given.get("window", DEFAULT_WINDOW),
            given.get("threshold", DEFAULT_THRESHOLD),
            self.names,
        )
        fields = self.serializer_class().fields
        if self.wants_file():
            found = series.anomalies(span) if span else ()
            return self.file(self.get_export_name(), fields, (one.row for one in found))
        paginator = cast(KeysetPagination, self.paginator)
        start = paginator.start(request, self)
        with snapshot():
            found, following = series.page(span, start) if span else ((), None)
            page = paginator.cut(found, attrgetter("key"), following)
        return self.get_paginated_response([dict(zip(fields, one.row, strict=True)) for one in page])


def anomaly_viewset(kpi: KPI) -> type[AnomalyViewSet]:
    """Return the viewset of a KPI's anomalies."""
    model = result_model(kpi)
    names = name_columns(kpi)
    serializer = anomaly_serializer(kpi, names)
    viewset = type(
        f"{kpi.name}AnomalyViewSet",
        (AnomalyViewSet,),
        {
            "__doc__": f"{kpi.description}: values far from those of the same group before.\n\n{_ANOMALIES}",
            "name": f"{kpi.name} anomalies",
            "kpi": kpi,
            "queryset": with_names(model.objects.all(), names),
            "names": tuple(one.name for one in names),
            "serializer_class": serializer,
            "filterset_class": anomaly_filterset(kpi, names),
            "permission_classes": permissions_for(kpi),
            "keyset": own_order(model),
            "export_name": f"{kpi.name}-anomalies",
            "personal": kpi.personal,
            "computed": kpi.computed,
        },
    )
    summary = f"{kpi.description}: anomalies"
    return extend_schema_view(list=answers(serializer(many=True), summary, tags=["KPIs"]))(viewset)


class CatalogViewSet(FileView, viewsets.ViewSet):
    """The KPIs: what each measures, how it is grouped and the address of its rows."""

    name = "KPIs"

    @answers(CatalogSerializer(many=True), "The KPIs", pages=False, tags=["KPIs"])
    def list(self, request: Request) -> HttpResponseBase:
        serializer = CatalogSerializer(KPIS.values(), many=True, context={"request": request})
        if self.wants_file():
            rows = ([one_text(value) for value in row.values()] for row in serializer.data)
            return self.file("KPIs", CatalogSerializer().fields, rows)
        return Response(serializer.data)


@extend_schema_view(list=answers(SummarySerializer(many=True), "Totals of KPIs' intervals", tags=["intervals"]))
class SummaryViewSet(ListViewSet):
    """The summaries of each KPI's intervals: the true total over all groups, and what it was computed from.

    Intervals of KPIs that the reader may not see are left out.
    """

    name = "Intervals"
    queryset = IntervalSummary.objects.all()
    serializer_class = SummarySerializer
    filterset_class = SummaryFilters
    keyset = ("interval_start_timestamp", "interval", "kpi")
    export_name = "intervals"

    def is_personal(self) -> bool:
        return may_view_personal(self.request.user)

    def get_queryset(self) -> QuerySet:
        """Return the summaries without those of KPIs that the reader may not see."""
        return super().get_queryset().exclude(kpi__in=hidden_kpis(self.request.user))


@extend_schema_view(
    list=answers(BatchSerializer(many=True), "Batches, newest first", tags=["batches"]),
    retrieve=answers(
        BatchSerializer,
        "One batch",
        missing=True,
        pages=False,
        files=False,
        parameters=[OpenApiParameter("id", int, OpenApiParameter.PATH, description="The batch's id")],
        tags=["batches"],
    ),
)
class BatchViewSet(mixins.RetrieveModelMixin, ListViewSet):
    """The ledger: the batches, and the status of each."""

    name = "Batches"
    queryset = Batch.objects.all()
    serializer_class = BatchSerializer
    filterset_class = BatchFilters
    keyset = ("-id",)
    export_name = "batches"
    lookup_value_regex = "[0-9]+"


@extend_schema_view(
    list=answers(
        RejectSerializer(many=True),
        "A batch's first rejects",
        missing=True,
        parameters=[OpenApiParameter("batch_id", int, OpenApiParameter.PATH, description="The batch's id")],
        tags=["batches"],
    )
)
class RejectViewSet(ListViewSet):
    """The rows of a batch that are not records of its feed; if there are many, the first ones."""

    name = "Rejects"
    queryset = Reject.objects.all()
    serializer_class = RejectSerializer
    filterset_class = RejectFilters
    keyset = ("line",)

    def is_personal(self) -> bool:
        return may_view_personal(self.request.user)

    def get_queryset(self) -> QuerySet:
        try:
            batch = get_object_or_404(Batch.objects.only("id"), pk=self.kwargs["batch_id"])
        except ValueError:
            raise NotFound from None
        return super().get_queryset().filter(batch=batch.pk)

    def get_columns(self) -> Sequence[Column]:
        columns = super().get_columns()
        if self.is_personal():
            return columns
        return [replace(column, show=_held_back) if column.name == "text" else column for column in columns]

    def get_export_name(self) -> str:
        return f"batch-{self.kwargs['batch_id']}-rejects"
