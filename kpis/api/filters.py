"""What lists can be filtered by. An empty value is no filter; a wrong one is an error that says why."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django import forms
from django.db import models
from django.db.models import Exists, OuterRef, QuerySet
from django.http import QueryDict
from django_filters import CharFilter, Filter, TypedChoiceFilter
from django_filters.constants import EMPTY_VALUES
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ValidationError

from kpis.catalog.feeds import FEEDS
from kpis.catalog.intervals import END_OF_TIME_MILLISECONDS, LENGTHS, Length
from kpis.catalog.kpis import KPI, KPIS
from kpis.models import Batch, BatchInterval, IntervalSummary, KPIResult, Reject
from kpis.query.anomalies import DEFAULT_THRESHOLD, DEFAULT_WINDOW, LARGEST_WINDOW
from kpis.query.fields import FoldedField, MillisecondsField, TimestampField, WholeNumberField, whole_number_range
from kpis.query.intervals import INTERVAL_TIMESTAMPS, default_length, starts_between

_COMPARISONS = {
    "exact": "is",
    "gte": "is at or after",
    "gt": "is after",
    "lte": "is at or before",
    "lt": "is before",
}


def refuse_unknown_parameters(parameters: QueryDict, known: Collection[str]) -> None:
    """Raises ValidationError for query parameters that are not known, or given twice."""
    errors = {}
    for name, values in parameters.lists():
        if name not in known:
            errors[name] = [f"Unknown parameter. The known ones are: {', '.join(sorted(known))}."]
        elif len(values) > 1:
            errors[name] = ["Given more than once."]
    if errors:
        raise ValidationError(errors)


class NumberFilter(Filter):
    field_class = forms.FloatField


class WholeNumberFilter(Filter):
    field_class = WholeNumberField


class TimestampFilter(Filter):
    field_class = TimestampField


class FoldedFilter(Filter):
    field_class = FoldedField


class MillisecondsFilter(Filter):
    field_class = MillisecondsField


def whole_number_filter(field: models.Field, description: str, lookup: str = "exact") -> Filter:
    """A filter by an integer column; a number that the column cannot hold is an error."""
    least, greatest = whole_number_range(field)
    schema = {"type": "integer", "minimum": least, "maximum": greatest, "description": description}
    return extend_schema_field(schema)(
        WholeNumberFilter(field_name=field.name, lookup_expr=lookup, min_value=least, max_value=greatest)
    )


def text_filter(field: models.Field, description: str) -> Filter:
    """A filter by a text column, letter by letter."""
    return extend_schema_field({"type": "string", "description": description})(
        CharFilter(field_name=field.name, strip=False)
    )


def folded_filter(column: str, description: str) -> Filter:
    """A filter by a column of folded names: whatever the letter case, the encoding and surrounding spaces."""
    return extend_schema_field({"type": "string", "description": description})(FoldedFilter(field_name=column))


def choice_filter(name: str, choices: dict, description: str, coerce=str) -> Filter:
    """A filter by a column that has one of a few values; ``choices`` maps each value to what it means."""
    wanted = ", ".join(label if label == str(value) else f"{value} ({label})" for value, label in choices.items())
    schema = {"type": "integer" if coerce is not str else "string", "enum": list(choices)}
    return extend_schema_field(schema | {"description": f"{description}: {wanted}"})(
        TypedChoiceFilter(
            field_name=name,
            choices=list(choices.items()),
            coerce=coerce,
            error_messages={"invalid_choice": f"Choose one of: {wanted}."},
        )
    )


def timestamp_filters(lookups: dict[str, Iterable[str]]) -> dict[str, Filter]:
    """Filters by timestamp columns: ``<column>`` for exact, else ``<column>__<lookup>``."""
    filters = {}
    for column, names in lookups.items():
        for lookup in names:
            description = f"{column} {_COMPARISONS[lookup]} this moment (ISO 8601; UTC where it has no zone)"
            filters[column if lookup == "exact" else f"{column}__{lookup}"] = extend_schema_field(
                {"type": "string", "format": "date-time", "description": description}
            )(TimestampFilter(field_name=column, lookup_expr=lookup))
    return filters


def interval_filter(lengths: Iterable[Length], default: Length | None = None) -> Filter:
    """A filter by the interval's code; ``default`` is the length that it means where it is not given."""
    description = "The interval's length" + (f" ({default.code} by default)" if default else "")
    return choice_filter("interval", {length.code: length.name for length in lengths}, description, coerce=int)


def dimension_filters(kpi: KPI, model: type[KPIResult]) -> dict[str, Filter]:
    """A filter for each dimension, of its column's type: exact, but for one that is folded."""
    filters = {}
    for dimension in kpi.by:
        field = model._meta.get_field(dimension.name)
        if isinstance(field, models.IntegerField):
            made = whole_number_filter(field, f"{dimension.name} is this")
        elif dimension.folded:
            made = folded_filter(dimension.folded_column, f"{dimension.name} is this, whatever the letter case")
        else:
            made = text_filter(field, f"{dimension.name} is this")
        filters[dimension.name] = made
    return filters


Lookups = dict[str, Any]


class ListFilters(FilterSet):
    """The filters of a list. Only those that a request gives are looked at: a form of all would cost more than a page.

    ``keys`` are the lookups that together leave at most one row an interval.
    """

    keys: frozenset[str] = frozenset()

    @classmethod
    def given(cls, parameters: QueryDict) -> dict[str, Any]:
        """The values of the filters that a request gives; raises ValidationError with the reason for each wrong one."""
        values, errors = {}, {}
        for name, text in parameters.items():
            if name in cls.base_filters:
                try:
                    value = cls.base_filters[name].field.clean(text)
                except forms.ValidationError as error:
                    errors[name] = error.messages
                else:
                    values |= {} if value in EMPTY_VALUES else {name: value}
        if errors:
            raise ValidationError(errors)
        return values

    @classmethod
    def lookups(cls, given: Mapping[str, Any]) -> Lookups | None:
        """What rows have to fulfil for these values, as the arguments of ``narrow``; None where no row can."""
        filters = ((cls.base_filters[name], value) for name, value in given.items())
        return {f"{one.field_name}__{one.lookup_expr}": value for one, value in filters}

    @classmethod
    def narrow(cls, queryset: QuerySet, lookups: Lookups) -> QuerySet:
        """The rows of a queryset that fulfil the lookups."""
        return queryset.filter(**lookups)


class IntervalFilters(ListFilters):
    """The filters of rows that each belong to an interval, which has one of ``lengths``."""

    lengths: tuple[Length, ...]

    @classmethod
    def lookups(cls, given: Mapping[str, Any]) -> Lookups | None:
        """What rows have to fulfil, said so that an index in the order of starts finds them."""
        lookups = super().lookups(given)
        code = lookups.pop("interval__exact", None)
        span = starts_between(lookups, [LENGTHS[code]] if code else cls.lengths)
        if span is None:
            return None
        lookups = {name: value for name, value in lookups.items() if not name.startswith("interval_start_timestamp")}
        for lookup, moment in zip(("gte", "lte"), span, strict=True):
            if moment is not None:
                lookups[f"interval_start_timestamp__{lookup}"] = moment
        # Two bounds instead of one equality: databases would leave the order of starts for it, and sort.
        return lookups | ({"interval__gte": code, "interval__lte": code} if code else {})


def filterset(name: str, filters: dict[str, Filter], parent: type[ListFilters] = ListFilters, **attributes):
    """A filter set of these filters."""
    return type(name, (parent,), filters | attributes)


def result_filterset(kpi: KPI, model: type[KPIResult]) -> type[IntervalFilters]:
    """What a KPI's rows can be filtered by."""
    rank = whole_number_filter(model._meta.get_field("rank"), "The first so many of each interval", "lte")
    return filterset(
        f"{kpi.name}Filters",
        timestamp_filters(INTERVAL_TIMESTAMPS)
        | {"interval": interval_filter(kpi.lengths), "rank__lte": rank}
        | dimension_filters(kpi, model),
        IntervalFilters,
        lengths=kpi.lengths,
        keys=dimension_keys(kpi),
    )


def dimension_keys(kpi: KPI) -> frozenset[str]:
    """The lookups that leave one group of a KPI."""
    return frozenset(f"{name}__exact" for name in kpi.dimensions)


def anomaly_filterset(kpi: KPI, model: type[KPIResult]) -> type[ListFilters]:
    """What a KPI's anomalies can be filtered by, and how they are found.

    Its lookups are those of the dimensions alone: which intervals count is for ``starts_between`` to say, since the
    windows reach beyond them.
    """
    threshold = {"type": "number", "minimum": 0, "default": DEFAULT_THRESHOLD}
    window = {"type": "integer", "minimum": 2, "maximum": LARGEST_WINDOW, "default": DEFAULT_WINDOW}
    settings = {
        "interval": interval_filter(kpi.lengths, default_length(kpi)),
        "threshold": extend_schema_field(threshold | {"description": "How many standard deviations away, at least"})(
            NumberFilter(min_value=0)
        ),
        "window": extend_schema_field(window | {"description": "How many intervals before are the window"})(
            WholeNumberFilter(min_value=2, max_value=LARGEST_WINDOW)
        ),
    }
    return filterset(
        f"{kpi.name}AnomalyFilters", timestamp_filters(INTERVAL_TIMESTAMPS) | settings | dimension_filters(kpi, model)
    )


def v1_filterset(kpi: KPI, model: type[KPIResult]) -> type[FilterSet]:
    """What a KPI's rows can be filtered by where timestamps are Unix ms and intervals minutes."""
    codes = {length.minutes: length.code for length in kpi.lengths}
    filters = {
        parameter: extend_schema_field(
            {
                "type": "integer",
                "minimum": 0,
                "maximum": END_OF_TIME_MILLISECONDS - 1,
                "description": f"The intervals that {verb} at this Unix time in milliseconds",
            }
        )(MillisecondsFilter(field_name=column))
        for parameter, column, verb in (
            ("start_timestamp", "interval_start_timestamp", "start"),
            ("end_timestamp", "interval_end_timestamp", "end"),
        )
    }
    filters["interval"] = choice_filter(
        "interval",
        {length.minutes: length.name for length in kpi.lengths},
        "The interval's length in minutes",
        coerce=lambda minutes: codes[int(minutes)],
    )
    return filterset(
        f"{kpi.name}V1Filters",
        filters | dimension_filters(kpi, model),
        IntervalFilters,
        lengths=kpi.lengths,
        keys=dimension_keys(kpi),
    )


class SummaryFilters(
    filterset(
        "IntervalSummaryFilters",
        {
            "kpi": choice_filter("kpi", {kpi.id: kpi.name for kpi in KPIS.values()}, "The KPI's id", coerce=int),
            "interval": interval_filter(LENGTHS.values()),
            "state": choice_filter(
                "state",
                dict(IntervalSummary.State.choices),
                "Whether the interval has closed, or is incomplete",
            ),
        }
        | timestamp_filters(INTERVAL_TIMESTAMPS | {"updated_at": ("gte", "lt")}),
        IntervalFilters,
        lengths=tuple(LENGTHS.values()),
        keys=frozenset({"kpi__exact"}),
    )
):
    """What summaries can be filtered by; ``hidden`` are the ids of the KPIs that are left out."""

    @classmethod
    def narrow(cls, queryset: QuerySet, lookups: Lookups) -> QuerySet:
        shown = {name: value for name, value in lookups.items() if name != "hidden"}
        return super().narrow(queryset, shown).exclude(kpi__in=lookups["hidden"])


_HELD = {"interval_start_timestamp": ("exact", "gte", "lt")}


class BatchFilters(
    filterset(
        "LedgerFilters",
        {
            "feed": choice_filter("feed", {name: name for name in FEEDS}, "The batch's feed"),
            "status": choice_filter("status", dict(Batch.Status.choices), "What became of the batch"),
            "name": text_filter(Batch._meta.get_field("name"), "The batch's name is this"),
            "run": whole_number_filter(Batch._meta.get_field("run"), "The id of the run that took it in"),
        }
        | timestamp_filters({"taken_in_at": ("gte", "lt")} | _HELD),
    )
):
    """What batches can be filtered by; ``interval_start_timestamp`` is that of an interval of theirs."""

    @classmethod
    def narrow(cls, queryset: QuerySet, lookups: Lookups) -> QuerySet:
        """The batches that fulfil every lookup, those by interval together in one interval."""
        by_interval = {name: value for name, value in lookups.items() if name.startswith("interval_start_timestamp")}
        queryset = super().narrow(queryset, {name: lookups[name] for name in lookups if name not in by_interval})
        if by_interval:
            queryset = queryset.filter(Exists(BatchInterval.objects.filter(batch=OuterRef("pk"), **by_interval)))
        return queryset


RejectFilters = filterset(
    "RejectFilters",
    {
        "line": whole_number_filter(Reject._meta.get_field("line"), "The line's number"),
        "column": text_filter(Reject._meta.get_field("column"), "The column that was wrong"),
        "reason": text_filter(Reject._meta.get_field("reason"), "The reason, in full"),
    },
)
