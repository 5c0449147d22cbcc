"""The filter sets of the API's lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from django.core.exceptions import ValidationError as InvalidValue
from django.db import models
from django.db.models import Exists, OuterRef, QuerySet
from django.http import QueryDict
from django_filters import Filter
from django_filters.constants import EMPTY_VALUES
from django_filters.rest_framework import FilterSet
from rest_framework.exceptions import ValidationError

from kpis.api.cursors import BadCursor, cursor_position
from kpis.api.filters import (
    MillisecondsFilter,
    Named,
    NumberFilter,
    WholeNumberFilter,
    choice_filter,
    described,
    dimension_filters,
    interval_filter,
    text_filter,
    timestamp_filters,
    whole_number_filter,
)
from kpis.catalog.intervals import END_OF_TIME_MILLISECONDS, LENGTHS, Length
from kpis.catalog.kpis import KPI
from kpis.catalog.registry import FEEDS, KPIS
from kpis.models import Batch, BatchInterval, IntervalSummary, Reject
from kpis.models.fields import column
from kpis.models.result_models import result_model
from kpis.query.anomalies import DEFAULT_THRESHOLD, DEFAULT_WINDOW, LARGEST_WINDOW
from kpis.query.intervals import INTERVAL_TIMESTAMPS, default_length, starts_between
from kpis.query.keyset import own_order
from kpis.query.names import NameColumn

Parent = TypeVar("Parent", bound="ListFilters")


class ListFilters(FilterSet):
    """The filters of a list. Only those in the request are cleaned: a whole form takes longer than the page's query.

    ``one_row_by`` names the filters that together leave at most one row per interval; it is empty if there are none.
    """

    one_row_by: frozenset[str] = frozenset()

    @classmethod
    def given(cls, parameters: QueryDict) -> dict[str, Any]:
        """Return the values of the filters that a request gives.

        Raises ValidationError with the reason for each wrong one.
        """
        values: dict[str, Any] = {}
        errors: dict[str, list[str]] = {}
        for name, text in parameters.items():
            if name in cls.base_filters:
                try:
                    value = cls.base_filters[name].field.clean(text)
                except InvalidValue as error:
                    errors[name] = error.messages
                else:
                    values |= {} if value in EMPTY_VALUES else {name: value}
        if errors:
            raise ValidationError(errors)
        return values

    @classmethod
    def lookups(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of ``QuerySet.filter`` for these values, without those that are names."""
        values = {name: value for name, value in given.items() if not isinstance(value, Named)}
        pairs = ((cls.base_filters[name], value) for name, value in values.items())
        return {f"{one.field_name}__{one.lookup_expr}": value for one, value in pairs}

    @staticmethod
    def by_names(queryset: QuerySet, given: Mapping[str, Any]) -> QuerySet:
        """Return the rows that satisfy those of these values that are names."""
        for value in given.values():
            if isinstance(value, Named):
                queryset = value.narrow(queryset)
        return queryset

    @classmethod
    def narrow(cls, queryset: QuerySet, parameters: QueryDict) -> QuerySet:
        """Return the rows that satisfy the filters that a request gives."""
        given = cls.given(parameters)
        return cls.by_names(queryset, given).filter(**cls.lookups(given))

    @classmethod
    def gives_one_row(cls, parameters: QueryDict) -> bool:
        """Return True if the filters that a request gives leave at most one row per interval."""
        if not cls.one_row_by or not all(parameters.get(name) for name in cls.one_row_by):
            return False
        # Several groups may have the same name.
        given = cls.given(parameters)
        return not any(isinstance(given.get(name), Named) for name in cls.one_row_by)


class IntervalFilters(ListFilters):
    """The filters of rows that each belong to an interval, which has one of ``lengths``."""

    lengths: tuple[Length, ...]

    @classmethod
    def narrow(cls, queryset: QuerySet, parameters: QueryDict) -> QuerySet:
        """Return the rows that satisfy the filters, by conditions for which an index in the order of starts is used."""
        given = cls.given(parameters)
        queryset, lookups = cls.by_names(queryset, given), cls.lookups(given)
        code = lookups.pop("interval__exact", None)
        span = starts_between(lookups, [LENGTHS[code]] if code else cls.lengths)
        if span is None:
            return queryset.none()
        first, last = span
        lookups = {name: value for name, value in lookups.items() if not name.startswith("interval_start_timestamp")}
        if first and not _page_starts_after(first, queryset.model, parameters.get("cursor", "")):
            lookups["interval_start_timestamp__gte"] = first
        if last:
            lookups["interval_start_timestamp__lte"] = last
        if code:
            # Two bounds instead of one equality: databases would leave the order of starts for it, and sort.
            lookups |= {"interval__gte": code, "interval__lte": code}
        return queryset.filter(**lookups)


def _page_starts_after(bound: datetime, model: type[models.Model], cursor: str) -> bool:
    """Return True if a page's cursor implies the bound: given both, a database may use the one that reads more rows."""
    try:
        start, *_ = cursor_position(cursor, model, own_order(model))
    except BadCursor:
        return False
    return start >= bound


def filterset(name: str, parent: type[Parent], filters: dict[str, Filter], **attributes: Any) -> type[Parent]:
    """Make a filter set of these filters."""
    return type(name, (parent,), filters | attributes)


def result_filterset(kpi: KPI, names: Sequence[NameColumn] = ()) -> type[IntervalFilters]:
    """Return the filter set of a KPI's rows, which have columns of names."""
    rank = whole_number_filter(column(result_model(kpi), "rank"), "The first so many of each interval", "lte")
    return filterset(
        f"{kpi.name}Filters",
        IntervalFilters,
        timestamp_filters(INTERVAL_TIMESTAMPS)
        | {"interval": interval_filter(kpi.lengths), "rank__lte": rank}
        | dimension_filters(kpi, names),
        lengths=kpi.lengths,
        one_row_by=one_row_by(kpi),
    )


def one_row_by(kpi: KPI) -> frozenset[str]:
    """Return the filters that leave one group of a KPI; empty if different names may fold to the same."""
    return frozenset() if kpi.folded else frozenset(kpi.dimensions)


def anomaly_filterset(kpi: KPI, names: Sequence[NameColumn] = ()) -> type[ListFilters]:
    """Return the filter set of a KPI's anomalies, with the parameters of the detection.

    Its lookups are those of the dimensions only: ``starts_between`` selects the intervals, since the windows reach
    beyond them.
    """
    threshold = {"type": "number", "minimum": 0, "default": DEFAULT_THRESHOLD}
    window = {"type": "integer", "minimum": 2, "maximum": LARGEST_WINDOW, "default": DEFAULT_WINDOW}
    settings = {
        "interval": interval_filter(kpi.lengths, default_length(kpi)),
        "threshold": described(
            threshold | {"description": "How many standard deviations away, at least"}, NumberFilter(min_value=0)
        ),
        "window": described(
            window | {"description": "How many intervals before are the window"},
            WholeNumberFilter(min_value=2, max_value=LARGEST_WINDOW),
        ),
    }
    return filterset(
        f"{kpi.name}AnomalyFilters",
        ListFilters,
        timestamp_filters(INTERVAL_TIMESTAMPS) | settings | dimension_filters(kpi, names),
    )


def v1_filterset(kpi: KPI) -> type[IntervalFilters]:
    """Return the filter set of a KPI's rows in version 1, with timestamps in Unix ms and intervals in minutes."""
    codes = {length.usual_minutes: length.code for length in kpi.lengths}
    filters = {
        parameter: described(
            {
                "type": "integer",
                "minimum": 0,
                "maximum": END_OF_TIME_MILLISECONDS - 1,
                "description": f"The intervals that {verb} at this Unix time in milliseconds",
            },
            MillisecondsFilter(field_name=timestamp),
        )
        for parameter, timestamp, verb in (
            ("start_timestamp", "interval_start_timestamp", "start"),
            ("end_timestamp", "interval_end_timestamp", "end"),
        )
    }
    filters["interval"] = choice_filter(
        "interval",
        {length.usual_minutes: length.name for length in kpi.lengths},
        "The interval's length in minutes",
        coerce=lambda minutes: codes[int(minutes)],
    )
    return filterset(
        f"{kpi.name}V1Filters",
        IntervalFilters,
        filters | dimension_filters(kpi),
        lengths=kpi.lengths,
        one_row_by=one_row_by(kpi),
    )


SummaryFilters = filterset(
    "IntervalSummaryFilters",
    IntervalFilters,
    {
        "kpi": choice_filter("kpi", {kpi.id: kpi.name for kpi in KPIS.values()}, "The KPI's id", coerce=int),
        "interval": interval_filter(LENGTHS.values()),
        "state": choice_filter(
            "state", dict(IntervalSummary.State.choices), "Whether the interval has closed, or is incomplete"
        ),
    }
    | timestamp_filters({**INTERVAL_TIMESTAMPS, "updated_at": ("gte", "lt")}),
    lengths=tuple(LENGTHS.values()),
    one_row_by=frozenset({"kpi"}),
)


class LedgerFilters(ListFilters):
    """The filters of batches; ``interval_start_timestamp`` is that of an interval in which they have records."""

    @classmethod
    def narrow(cls, queryset: QuerySet, parameters: QueryDict) -> QuerySet:
        """Return the batches that satisfy every filter, those by interval together in one interval."""
        lookups = cls.lookups(cls.given(parameters))
        by_interval = {name: lookups.pop(name) for name in [*lookups] if name.startswith("interval_start_timestamp")}
        if by_interval:
            queryset = queryset.filter(Exists(BatchInterval.objects.filter(batch=OuterRef("pk"), **by_interval)))
        return queryset.filter(**lookups)


BatchFilters = filterset(
    "BatchFilters",
    LedgerFilters,
    {
        "feed": choice_filter("feed", {name: name for name in FEEDS}, "The batch's feed"),
        "status": choice_filter("status", dict(Batch.Status.choices), "The batch's status"),
        "name": text_filter(column(Batch, "name"), "The batch's name is this"),
        "run": whole_number_filter(column(Batch, "run"), "The id of the run that ingested it"),
    }
    | timestamp_filters(
        {"taken_in_at": ("gte", "lt"), "interval_start_timestamp": ("exact", "gte", "lt")},
        {"taken_in_at": "ingested_at"},
    ),
)

RejectFilters = filterset(
    "RejectFilters",
    ListFilters,
    {
        "line": whole_number_filter(column(Reject, "line"), "The line's number"),
        "column": text_filter(column(Reject, "column"), "The column that was wrong"),
        "reason": text_filter(column(Reject, "reason"), "The reason, in full"),
    },
)
