"""The lists and objects of the API: all of them can only be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from operator import attrgetter

from blake3 import blake3
from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import mixins, viewsets
from rest_framework.exceptions import NotFound
from rest_framework.fields import Field
from rest_framework.renderers import BaseRenderer
from rest_framework.response import Response
from rest_framework.routers import APIRootView
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from kpis.api.filters import (
    BatchFilters,
    ListFilters,
    Lookups,
    RejectFilters,
    SummaryFilters,
    anomaly_filterset,
    refuse_unknown_parameters,
    result_filterset,
    v1_filterset,
)
from kpis.api.pagination import Start, cut, read_page
from kpis.api.permissions import permissions_for
from kpis.api.renderers import CSVRenderer, JSONRenderer, ParquetRenderer
from kpis.api.rows import Source, shown
from kpis.api.serializers import (
    BatchSerializer,
    CatalogSerializer,
    Column,
    RejectSerializer,
    RowSerializer,
    SummarySerializer,
    anomaly_serializer,
    column_type,
    result_serializer,
    v1_serializer,
)
from kpis.catalog.intervals import LENGTHS
from kpis.catalog.kpis import KPI, KPIS
from kpis.models import Batch, IntervalSummary, Reject
from kpis.models.results import result_model
from kpis.query.access import hidden_kpis, may_view_personal
from kpis.query.anomalies import DEFAULT_THRESHOLD, DEFAULT_WINDOW
from kpis.query.csv import csv_response, one_text
from kpis.query.intervals import default_length, starts_between
from kpis.query.parquet import parquet_response
from kpis.query.series import Series
from kpis.query.snapshot import snapshot

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


_CONDITION = OpenApiParameter(
    "If-None-Match",
    str,
    OpenApiParameter.HEADER,
    description="ETags of answers that the client has: 304 for one of them",
)
_TAG = OpenApiParameter(
    "ETag", str, OpenApiParameter.HEADER, response=[200, 304], description="Names this very answer; files have none"
)
_UNCHANGED = OpenApiResponse(description="The client has the answer, by its If-None-Match")


def _answers(serializer, summary: str, *, missing: bool = False, pages: bool = True, files: bool = True, **kwargs):
    """The documentation of an operation: what it answers, with which status."""
    responses = {200: serializer, 400: _WRONG, 401: _UNKNOWN, 403: _FORBIDDEN, 429: _TOO_MANY}
    responses |= {404: _MISSING} if missing else {}
    responses = {(status, JSONRenderer.media_type): answer for status, answer in responses.items()}
    responses |= {(status, CSVRenderer.media_type): str for status, _ in [*responses]}
    responses[304] = _UNCHANGED
    formats = [JSONRenderer.format, CSVRenderer.format]
    if files:
        responses[200, ParquetRenderer.media_type] = bytes
        formats.append(ParquetRenderer.format)
    form = OpenApiParameter(
        api_settings.URL_FORMAT_OVERRIDE, str, enum=formats, description="What to answer in, before any Accept header"
    )
    parameters = [form, *kwargs.pop("parameters", []), _CONDITION, _TAG, *([_LINK] if pages else [])]
    return extend_schema(summary=summary, responses=responses, parameters=parameters, **kwargs)


class StrictView(APIView):
    """Refuses query parameters that it does not know, so that a misspelt filter is never a missing one."""

    parser_classes = ()
    # Whether what this reader is shown may be about single subscribers.
    personal = False

    @property
    def default_response_headers(self) -> dict[str, str]:
        return super().default_response_headers | {"Vary": "Accept, Authorization"}

    def known_parameters(self) -> set[str]:
        """The names of the query parameters that this request may have."""
        return {api_settings.URL_FORMAT_OVERRIDE}

    def initial(self, request, *args, **kwargs) -> None:
        super().initial(request, *args, **kwargs)
        refuse_unknown_parameters(request.query_params, self.known_parameters())

    def wants(self, renderer: type[BaseRenderer]) -> bool:
        return self.request.accepted_renderer.format == renderer.format

    def finalize_response(self, request, response, *args, **kwargs):
        """The response, with its renderer; what is wrong is told in JSON to those who asked for Parquet."""
        response = super().finalize_response(request, response, *args, **kwargs)
        failed = getattr(response, "exception", False)
        if failed and self.wants(ParquetRenderer):
            response.accepted_renderer = JSONRenderer()
            response.accepted_media_type = JSONRenderer.media_type
        response["Cache-Control"] = "no-store" if failed else self._cache_control(request)
        if isinstance(response, Response) and not failed:
            response.add_post_render_callback(partial(unless_known, request))
        return response

    def _cache_control(self, request) -> str:
        """Who may keep the answer; whoever does must ask each time whether it is still so."""
        if self.personal:
            return "private, no-store"
        anyone = settings.API_PUBLIC and not request.user.is_authenticated
        return "no-cache" if anyone else "private, no-cache"


def unless_known(request, response: Response) -> HttpResponse:
    """A rendered response with its ETag; 304 without the body where the client says that it has this very answer.

    The tag is of the answer itself, body and links: it cannot be that of another one, whatever changed in the tables,
    in who asks, or in this program.
    """
    answer = blake3(response.content)
    answer.update(f"\n{response['Content-Type']}\n{response.get('Link', '')}".encode())
    response["ETag"] = quote_etag(answer.hexdigest(16))
    return get_conditional_response(request, etag=response["ETag"], response=response)


class FileView(StrictView):
    """A list that comes as a file too; ``computed`` are its columns whose texts are computed here, see csv_chunks."""

    computed: frozenset[str] = frozenset()

    def get_renderers(self) -> list[BaseRenderer]:
        return super().get_renderers() + ([] if self.detail else [ParquetRenderer()])

    def wants_file(self) -> bool:
        return self.wants(CSVRenderer) or self.wants(ParquetRenderer)

    def file(self, name: str, fields: Mapping[str, Field], rows: Iterable[Sequence]) -> StreamingHttpResponse:
        """All of the rows, each with a value for every field, in the format that was asked for."""
        if self.wants(ParquetRenderer):
            return parquet_response(name, {name: column_type(field) for name, field in fields.items()}, rows)
        return csv_response(name, list(fields), rows, self.computed)


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
        lookups = self.get_lookups()
        columns = self.get_columns()
        source = self.get_source()
        if self.wants_file():
            rows = () if lookups is None else source.stream(lookups)
            return self.file(self.get_export_name(), self.get_serializer().fields, shown(columns, rows))
        start = self.paginator.start(request.query_params, source.model, source.keyset)
        return self.page(start, *read_page(source, lookups, start, columns))

    def page(self, start: Start, rows: list[dict], following: Sequence | None) -> Response:
        """A page as a plain array, with its Link header."""
        address = self.request.build_absolute_uri(self.request.path)
        return Response(rows, headers={"Link": self.paginator.links(address, start, following)})

    def get_lookups(self) -> Lookups | None:
        """What rows have to fulfil; None where none can."""
        return self.filterset_class.lookups(self.filterset_class.given(self.request.query_params))

    def get_columns(self) -> Sequence[Column]:
        """The columns as this reader sees them."""
        return self.serializer_class.columns()

    @classmethod
    @cache
    def get_source(cls) -> Source:
        """What the list reads."""
        columns = tuple(column.source for column in cls.serializer_class.columns())
        return Source(cls.queryset.model, columns, cls.filterset_class, cls.keyset)

    def get_export_name(self) -> str:
        return self.export_name


def _held_back(value) -> None:
    """What is shown of what this reader may not see."""


class ResultViewSet(ListViewSet):
    """The list of a KPI's rows."""

    @classmethod
    def of(cls, kpi: KPI, name: str, serializer: type[RowSerializer], filters: type[ListFilters], **attributes):
        """The list of this KPI, called ``name``."""
        model = result_model(kpi)
        own = {
            "name": name,
            "queryset": model.objects.all(),
            "serializer_class": serializer,
            "filterset_class": filters,
            "permission_classes": permissions_for(kpi),
            "keyset": tuple(model._meta.ordering),
            "export_name": name,
            "personal": kpi.personal,
            "computed": kpi.computed,
        }
        return type(f"{serializer.__name__.removesuffix('Serializer')}ViewSet", (cls,), own | attributes)


def result_viewset(kpi: KPI) -> type[ResultViewSet]:
    """The list of a KPI's rows."""
    model = result_model(kpi)
    serializer = result_serializer(kpi, model)
    said = f"{kpi.description}\n\n{kpi.notes}".strip()
    viewset = ResultViewSet.of(kpi, kpi.name, serializer, result_filterset(kpi, model), __doc__=said)
    return extend_schema_view(list=_answers(serializer(many=True), kpi.description, tags=["KPIs"]))(viewset)


def v1_viewset(kpi: KPI, name: str) -> type[ResultViewSet]:
    """The list of a KPI's rows with timestamps in Unix ms and intervals in minutes."""
    model = result_model(kpi)
    serializer = v1_serializer(kpi, model)
    said = f"{kpi.description}. Timestamps are Unix ms, intervals minutes."
    viewset = ResultViewSet.of(kpi, name, serializer, v1_filterset(kpi, model), __doc__=said)
    return extend_schema_view(list=_answers(serializer(many=True), kpi.description, tags=["v1"]))(viewset)


class AnomalyViewSet(ListViewSet):
    """The rows of a KPI whose value is far from those of the same group before it."""

    kpi: KPI

    def list(self, request, *args, **kwargs):
        given = self.filterset_class.given(request.query_params)
        lookups = self.filterset_class.lookups(given)
        length = LENGTHS[given.get("interval", default_length(self.kpi).code)]
        span = starts_between(lookups, [length])
        groups = {name: value for name, value in lookups.items() if name.split("__")[0] in self.kpi.dimensions}
        series = Series(
            self.kpi,
            self.queryset.filter(interval=length.code, **groups),
            length,
            given.get("window", DEFAULT_WINDOW),
            given.get("threshold", DEFAULT_THRESHOLD),
        )
        fields = self.get_serializer().fields
        if self.wants_file():
            found = series.anomalies(span) if span else ()
            return self.file(self.get_export_name(), fields, (one.row for one in found))
        start = self.paginator.start(request.query_params, self.queryset.model, self.keyset)
        with snapshot():
            found = series.page(span, start.after) if span else ((),)
            page, following = cut(found[0], start, attrgetter("key"), *found[1:])
        return self.page(start, [dict(zip(fields, one.row, strict=True)) for one in page], following)


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
            "personal": kpi.personal,
            "computed": kpi.computed,
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
            rows = ([one_text(value) for value in row.values()] for row in serializer.data)
            return self.file("KPIs", serializer.child.fields, rows)
        return Response(serializer.data)


@extend_schema_view(list=_answers(SummarySerializer(many=True), "Totals of KPIs' intervals", tags=["intervals"]))
class SummaryViewSet(ListViewSet):
    """Each KPI's intervals as a whole: the true total over all groups, and what it was computed from.

    Intervals of KPIs that the reader may not see are left out.
    """

    name = "Intervals"
    queryset = IntervalSummary.objects.all()
    serializer_class = SummarySerializer
    filterset_class = SummaryFilters
    keyset = ("interval_start_timestamp", "interval", "kpi")
    export_name = "intervals"

    @property
    def personal(self) -> bool:
        return may_view_personal(self.request.user)

    def get_lookups(self) -> Lookups | None:
        lookups = super().get_lookups()
        return lookups if lookups is None else lookups | {"hidden": tuple(hidden_kpis(self.request.user))}


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
        # One batch has no filters, and the list reads its own way.
        return queryset


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

    @property
    def personal(self) -> bool:
        return may_view_personal(self.request.user)

    def get_lookups(self) -> Lookups | None:
        try:
            batch = get_object_or_404(Batch.objects.only("id"), pk=self.kwargs["batch_id"])
        except ValueError:
            raise NotFound from None
        return super().get_lookups() | {"batch": batch.pk}

    def get_columns(self) -> Sequence[Column]:
        columns = super().get_columns()
        if self.personal:
            return columns
        return [replace(column, show=_held_back) if column.name == "text" else column for column in columns]

    def get_export_name(self) -> str:
        return f"batch-{self.kwargs['batch_id']}-rejects"


class RootView(StrictView, APIRootView):
    """The KPIs of a mobile network per interval, and the batches that they were computed from."""

    name = "Network Analysis API"


@extend_schema(exclude=True)
class MissingView(APIView):
    """Says in the API's own way that there is nothing here."""

    def get(self, request, *args, **kwargs):
        raise NotFound
