"""The lists and objects of the API: all of them can only be read."""

from __future__ import annotations

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import mixins, viewsets
from rest_framework.exceptions import NotFound
from rest_framework.response import Response
from rest_framework.routers import APIRootView
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from kpis.api.filters import (
    BatchFilters,
    RejectFilters,
    SummaryFilters,
    refuse_unknown_parameters,
    result_filterset,
    v1_filterset,
)
from kpis.api.permissions import hidden_kpis, may_view_personal, permissions_for
from kpis.api.renderers import CSVRenderer, csv_response
from kpis.api.serializers import (
    BatchSerializer,
    CatalogSerializer,
    RejectSerializer,
    SummarySerializer,
    result_serializer,
    v1_serializer,
)
from kpis.api.streams import stream
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
_FORMAT = OpenApiParameter(
    api_settings.URL_FORMAT_OVERRIDE,
    str,
    enum=["json", "csv"],
    description="What to answer in, before any Accept header",
)
_LINK = OpenApiParameter(
    "Link",
    str,
    OpenApiParameter.HEADER,
    response=[200],
    description='rel="first": the first page; rel="next": the next one, there only while there are more rows',
)


def _answers(serializer, summary: str, *, missing: bool = False, pages: bool = True, **kwargs):
    """The documentation of an operation: what it answers, with which status."""
    responses = {200: serializer, 400: _WRONG, 401: _UNKNOWN, 403: _FORBIDDEN, 429: _TOO_MANY}
    responses |= {404: _MISSING} if missing else {}
    parameters = [_FORMAT, *kwargs.pop("parameters", []), *([_LINK] if pages else [])]
    return extend_schema(summary=summary, responses=responses, parameters=parameters, **kwargs)


class StrictView(APIView):
    """Refuses query parameters that it does not know, so that a misspelt filter is never a missing one."""

    def known_parameters(self) -> set[str]:
        """The names of the query parameters that this request may have."""
        return {api_settings.URL_FORMAT_OVERRIDE}

    def initial(self, request, *args, **kwargs) -> None:
        super().initial(request, *args, **kwargs)
        refuse_unknown_parameters(request, self.known_parameters())

    def wants_csv(self) -> bool:
        return self.request.accepted_renderer.format == CSVRenderer.format


class ListViewSet(StrictView, mixins.ListModelMixin, viewsets.GenericViewSet):
    """A filtered list: in pages, or as one CSV file.

    ``keyset`` names the columns, together unique, that the rows are ordered by; ``export_name`` the file.
    """

    keyset: tuple[str, ...]
    export_name: str

    def known_parameters(self) -> set[str]:
        known = super().known_parameters()
        if self.detail:
            return known
        pages = set() if self.wants_csv() else self.pagination_class.query_params
        return known | set(self.filterset_class.base_filters) | pages

    def list(self, request, *args, **kwargs):
        if self.wants_csv():
            queryset = self.filter_queryset(self.get_queryset()).order_by(*self.keyset)
            serializer = self.get_serializer()
            rows = map(serializer.to_representation, stream(queryset))
            return csv_response(self.get_export_name(), list(serializer.fields), rows)
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


class CatalogViewSet(StrictView, viewsets.ViewSet):
    """The KPIs: what each measures, how it is grouped and where its rows are."""

    name = "KPIs"

    @_answers(CatalogSerializer(many=True), "The KPIs", pages=False, tags=["KPIs"])
    def list(self, request):
        serializer = CatalogSerializer(KPIS.values(), many=True, context={"request": request})
        if self.wants_csv():
            return csv_response("KPIs", list(serializer.child.fields), serializer.data)
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
