"""The lists and objects of the API: all of them can only be read."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django_filters.utils import translate_validation
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import mixins, viewsets
from rest_framework.exceptions import NotFound
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.routers import APIRootView
from rest_framework.serializers import Serializer
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from kpis.api.filters import (
    DEFAULT_THRESHOLD,
    DEFAULT_WINDOW,
    BatchFilters,
    RejectFilters,
    SummaryFilters,
    anomaly_filterset,
    default_length,
    refuse_unknown_parameters,
    result_filterset,
    starts_between,
    v1_filterset,
)
from kpis.api.parquet import ParquetRenderer, parquet_response
from kpis.api.permissions import hidden_kpis, may_view_personal, permissions_for
from kpis.api.renderers import CSVRenderer, csv_response
from kpis.api.serializers import (
    BatchSerializer,
    CatalogSerializer,
    RejectSerializer,
    SummarySerializer,
    anomaly_serializer,
    result_serializer,
    v1_serializer,
)
from kpis.api.series import Series
from kpis.api.streams import stream
from kpis.catalog.intervals import LENGTHS
from kpis.catalog.kpis import KPI, KPIS
from kpis.models import Batch, IntervalSummary, Reject
from kpis.models.results import result_model

_WRONG = OpenApiResponse(
    {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
    description="A parameter is unknown or has a wrong value: its name, and the reasons",
)
_DETAIL = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
_UNKNOWN = OpenApiResponse(_DETAIL, description="The reader has to log in, or the token is not valid")
_FORBIDDEN = OpenApiResponse(_DETAIL, description="The reader's account lacks a permission")
_TOO_MANY = OpenApiResponse(_DETAIL, description="Too many requests: Retry-After says how many seconds to wait")
_MISSING = OpenApiResponse(_DETAIL, description="There is no such object")
_ANOMALIES = (
    "A value is held against those of the same group in the `window` intervals before its own; of these, only the "
    "ones count in which the group has a value, and at least half of them, and two, must. z is "
    "(value - mean) / deviation, with the sample standard deviation of those values (NIST/SEMATECH e-Handbook, 1.3.5.6 "
    "and 1.3.5.17). Where they are all equal, the deviation is 0: any other value is then an anomaly, with z null. "
    "Of a top list, an interval in which a group is not among the first is a gap. A page can have fewer rows than "
    "`page_size`, or none, and still have a next one."
)
_LINK = OpenApiParameter(
    "Link",
    str,
    OpenApiParameter.HEADER,
    response=[200],
    description='rel="first": the first page; rel="next": the next one, there only while there are more rows',
)


def _answers(serializer, summary: str, *, missing: bool = False, pages: bool = True, files: bool = True, **kwargs):
    """The documentation of an operation: what it answers, with which status."""
    responses = {200: serializer, 400: _WRONG, 401: _UNKNOWN, 403: _FORBIDDEN, 429: _TOO_MANY}
    responses |= {404: _MISSING} if missing else {}
    responses = {(status, JSONRenderer.media_type): answer for status, answer in responses.items()}
    responses |= {(status, CSVRenderer.media_type): str for status, _ in [*responses]}
    formats = [JSONRenderer.format, CSVRenderer.format]
    if files:
        responses[200, ParquetRenderer.media_type] = bytes
        formats.append(ParquetRenderer.format)
    form = OpenApiParameter(
        api_settings.URL_FORMAT_OVERRIDE, str, enum=formats, description="What to answer in, before any Accept header"
    )
    parameters = [form, *kwargs.pop("parameters", []), *([_LINK] if pages else [])]
    return extend_schema(summary=summary, responses=responses, parameters=parameters, **kwargs)


class StrictView(APIView):
    """Refuses query parameters that it does not know, so that a misspelt filter is never a missing one."""

    def known_parameters(self) -> set[str]:
        """The names of the query parameters that this request may have."""
        return {api_settings.URL_FORMAT_OVERRIDE}

    def initial(self, request, *args, **kwargs) -> None:
        super().initial(request, *args, **kwargs)
        refuse_unknown_parameters(request, self.known_parameters())

    def wants(self, renderer: type[BaseRenderer]) -> bool:
        return self.request.accepted_renderer.format == renderer.format

    def finalize_response(self, request, response, *args, **kwargs):
        """The response, with its renderer; what is wrong is told in JSON to those who asked for Parquet."""
        response = super().finalize_response(request, response, *args, **kwargs)
        if getattr(response, "exception", False) and self.wants(ParquetRenderer):
            response.accepted_renderer = JSONRenderer()
            response.accepted_media_type = JSONRenderer.media_type
        return response


class FileView(StrictView):
    """A list that comes as a file too."""

    def get_renderers(self) -> list[BaseRenderer]:
        return super().get_renderers() + ([] if self.detail else [ParquetRenderer()])

    def wants_file(self) -> bool:
        return self.wants(CSVRenderer) or self.wants(ParquetRenderer)

    def file(self, name: str, serializer: Serializer, rows: Iterable) -> StreamingHttpResponse:
        """All of the rows in the format that was asked for."""
        if self.wants(ParquetRenderer):
            return parquet_response(name, serializer, rows)
        return csv_response(name, list(serializer.fields), map(serializer.to_representation, rows))


class ListViewSet(FileView, mixins.ListModelMixin, viewsets.GenericViewSet):
    """A filtered list: in pages, or whole as a file.

    ``keyset`` names the columns, together unique, that the rows are ordered by; ``export_name`` the file.
    """

    keyset: tuple[str, ...]
    export_name: str

    def known_parameters(self) -> set[str]:
        known = super().known_parameters()
        if self.detail:
            return known
        pages = set() if self.wants_file() else self.pagination_class.query_params
        return known | set(self.filterset_class.base_filters) | pages

    def list(self, request, *args, **kwargs):
        if self.wants_file():
            queryset = self.filter_queryset(self.get_queryset()).order_by(*self.keyset)
            return self.file(self.get_export_name(), self.get_serializer(), stream(queryset))
        return super().list(request, *args, **kwargs)

    def get_export_name(self) -> str:
        return self.export_name


def result_viewset(kpi: KPI) -> type[ListViewSet]:
    """The list of a KPI's rows."""
    model = result_model(kpi)
    serializer = result_serializer(kpi, model)
    viewset = type(
        f"{kpi.name}ViewSet",
        (ListViewSet,),
        {
            "__doc__": kpi.description,
            "name": kpi.name,
            "queryset": model.objects.all(),
            "serializer_class": serializer,
            "filterset_class": result_filterset(kpi, model),
            "permission_classes": permissions_for(kpi),
            "keyset": tuple(model._meta.ordering),
            "export_name": kpi.name,
        },
    )
    return extend_schema_view(list=_answers(serializer(many=True), kpi.description, tags=["KPIs"]))(viewset)


def v1_viewset(kpi: KPI, name: str) -> type[ListViewSet]:
    """The list of a KPI's rows with timestamps in Unix ms and intervals in minutes."""
    model = result_model(kpi)
    serializer = v1_serializer(kpi, model)
    viewset = type(
        f"{kpi.name}V1ViewSet",
        (ListViewSet,),
        {
            "__doc__": f"{kpi.description}. Timestamps are Unix ms, intervals minutes.",
            "name": name,
            "queryset": model.objects.all(),
            "serializer_class": serializer,
            "filterset_class": v1_filterset(kpi, model),
            "permission_classes": permissions_for(kpi),
            "keyset": tuple(model._meta.ordering),
            "export_name": name,
        },
    )
    return extend_schema_view(list=_answers(serializer(many=True), kpi.description, tags=["v1"]))(viewset)


class AnomalyViewSet(ListViewSet):
    """The rows of a KPI whose value is far from those of the same group before it."""

    kpi: KPI

    def list(self, request, *args, **kwargs):
        filters = self.filterset_class(request.query_params, queryset=self.get_queryset(), request=request)
        if not filters.is_valid():
            raise translate_validation(filters.errors)
        wanted = filters.form.cleaned_data
        length = LENGTHS[wanted["interval"] or default_length(self.kpi).code]
        span = starts_between(wanted, length)
        series = Series(
            self.kpi,
            filters.qs.filter(interval=length.code),
            length,
            DEFAULT_WINDOW if wanted["window"] is None else wanted["window"],
            DEFAULT_THRESHOLD if wanted["threshold"] is None else wanted["threshold"],
        )
        if self.wants_file():
            return self.file(self.get_export_name(), self.get_serializer(), series.anomalies(span) if span else ())
        behind = self.paginator.start(request, self.queryset.model, list(self.keyset))
        page = self.paginator.cut(*series.page(span, behind)) if span else self.paginator.cut(())
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


def anomaly_viewset(kpi: KPI) -> type[AnomalyViewSet]:
    """The list of a KPI's anomalies."""
    model = result_model(kpi)
    serializer = anomaly_serializer(kpi, model)
    viewset = type(
        f"{kpi.name}AnomalyViewSet",
        (AnomalyViewSet,),
        {
            "__doc__": f"{kpi.description}: values far from those of the same group before.\n\n{_ANOMALIES}",
            "name": f"{kpi.name} anomalies",
            "kpi": kpi,
            "queryset": model.objects.all(),
            "serializer_class": serializer,
            "filterset_class": anomaly_filterset(kpi, model),
            "permission_classes": permissions_for(kpi),
            "keyset": tuple(model._meta.ordering),
            "export_name": f"{kpi.name}-anomalies",
        },
    )
    summary = f"{kpi.description}: anomalies"
    return extend_schema_view(list=_answers(serializer(many=True), summary, tags=["KPIs"]))(viewset)


class CatalogViewSet(FileView, viewsets.ViewSet):
    """The KPIs: what each measures, how it is grouped and where its rows are."""

    name = "KPIs"

    @_answers(CatalogSerializer(many=True), "The KPIs", pages=False, tags=["KPIs"])
    def list(self, request):
        serializer = CatalogSerializer(KPIS.values(), many=True, context={"request": request})
        if self.wants_file():
            return self.file("KPIs", serializer.child, KPIS.values())
        return Response(serializer.data)


@extend_schema_view(list=_answers(SummarySerializer(many=True), "Totals of KPIs' intervals", tags=["intervals"]))
class SummaryViewSet(ListViewSet):
    """Each KPI's intervals as a whole: the true total over all groups, and what it was figured from.

    Intervals of KPIs that the reader may not see are left out.
    """

    name = "Intervals"
    queryset = IntervalSummary.objects.all()
    serializer_class = SummarySerializer
    filterset_class = SummaryFilters
    keyset = ("interval_start_timestamp", "interval", "kpi")
    export_name = "intervals"

    def get_queryset(self) -> QuerySet:
        hidden = hidden_kpis(self.request.user)
        return super().get_queryset().exclude(kpi__in=hidden) if hidden else super().get_queryset()


@extend_schema_view(
    list=_answers(BatchSerializer(many=True), "Batches, newest first", tags=["batches"]),
    retrieve=_answers(
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
    """The ledger: which batches are in, and what became of each."""

    name = "Batches"
    queryset = Batch.objects.all()
    serializer_class = BatchSerializer
    filterset_class = BatchFilters
    keyset = ("-id",)
    export_name = "batches"
    lookup_value_regex = "[0-9]+"

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        return queryset if self.detail else super().filter_queryset(queryset)


@extend_schema_view(
    list=_answers(
        RejectSerializer(many=True),
        "A batch's first rejects",
        missing=True,
        parameters=[OpenApiParameter("batch_id", int, OpenApiParameter.PATH, description="The batch's id")],
        tags=["batches"],
    )
)
class RejectViewSet(ListViewSet):
    """The rows of a batch that did not pass its feed's checks, of many the first ones."""

    name = "Rejects"
    queryset = Reject.objects.all()
    serializer_class = RejectSerializer
    filterset_class = RejectFilters
    keyset = ("line",)

    def get_queryset(self) -> QuerySet:
        try:
            batch = get_object_or_404(Batch.objects.only("id"), pk=self.kwargs["batch_id"])
        except ValueError:
            raise NotFound from None
        return super().get_queryset().filter(batch=batch)

    def get_serializer_context(self) -> dict:
        return super().get_serializer_context() | {"show_text": may_view_personal(self.request.user)}

    def get_export_name(self) -> str:
        return f"batch-{self.kwargs['batch_id']}-rejects"


class RootView(StrictView, APIRootView):
    """The KPIs of a mobile network per interval, and the batches that they were figured from."""

    name = "Network Analysis API"


@extend_schema(exclude=True)
class MissingView(APIView):
    """Says in the API's own way that there is nothing here."""

    def get(self, request, *args, **kwargs):
        raise NotFound
