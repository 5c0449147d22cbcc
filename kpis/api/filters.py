"""The filters of single columns. An empty value is no filter; a wrong one is an error with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from django import forms
from django.db import models
from django.db.models import QuerySet
from django_filters import CharFilter, Filter, TypedChoiceFilter
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ValidationError

from kpis.catalog.intervals import Length
from kpis.catalog.kpis import KPI
from kpis.models.fields import column
from kpis.models.result_models import result_model
from kpis.query.fields import FoldedField, MillisecondsField, TimestampField, WholeNumberField, whole_number_range
from kpis.query.names import NameColumn, TooManyKeys

_COMPARISONS = {
    "exact": "is",
    "gte": "is at or after",
    "gt": "is after",
    "lte": "is at or before",
    "lt": "is before",
}


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


def described(schema: dict[str, Any], made: Filter) -> Filter:
    """Attach an OpenAPI schema to a filter, and return the filter."""
    # drf-spectacular's type lacks the filters, which it documents.
    decorate: Any = extend_schema_field(schema)
    return decorate(made)


def whole_number_filter(field: models.Field, description: str, lookup: str = "exact") -> Filter:
    """Return a filter by an integer column; a number that the column cannot hold is an error."""
    least, greatest = whole_number_range(field)
    schema = {"type": "integer", "minimum": least, "maximum": greatest, "description": description}
    made = WholeNumberFilter(field_name=field.name, lookup_expr=lookup, min_value=least, max_value=greatest)
    return described(schema, made)


def text_filter(field: models.Field, description: str) -> Filter:
    """Return a filter by a text column, case-sensitive."""
    return described({"type": "string", "description": description}, CharFilter(field_name=field.name, strip=False))


def folded_filter(column: str, description: str) -> Filter:
    """Return a filter by a column of folded names, regardless of case, encoding and surrounding spaces."""
    return described({"type": "string", "description": description}, FoldedFilter(field_name=column))


def choice_filter(
    name: str, choices: Mapping[Any, str], description: str, coerce: Callable[[str], object] = str
) -> Filter:
    """Return a filter by a column that has one of a few values; ``choices`` maps each value to its meaning."""
    wanted = ", ".join(label if label == str(value) else f"{value} ({label})" for value, label in choices.items())
    schema = {"type": "integer" if coerce is not str else "string", "enum": list(choices)}
    made = TypedChoiceFilter(
        field_name=name,
        choices=list(choices.items()),
        coerce=coerce,
        error_messages={"invalid_choice": f"Choose one of: {wanted}."},
    )
    return described(schema | {"description": f"{description}: {wanted}"}, made)


def timestamp_filters(
    lookups: Mapping[str, Iterable[str]], sources: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Filter]:
    """Return filters by timestamp columns: ``<column>`` for exact, else ``<column>__<lookup>``.

    ``sources`` has the names in the database of columns whose names there differ.
    """
    filters = {}
    for timestamp, names in lookups.items():
        for lookup in names:
            description = f"{timestamp} {_COMPARISONS[lookup]} this moment (ISO 8601; UTC where it has no zone)"
            filters[timestamp if lookup == "exact" else f"{timestamp}__{lookup}"] = described(
                {"type": "string", "format": "date-time", "description": description},
                TimestampFilter(field_name=sources.get(timestamp, timestamp), lookup_expr=lookup),
            )
    return filters


def interval_filter(lengths: Iterable[Length], default: Length | None = None) -> Filter:
    """Return a filter by the interval's code; ``default`` is the length that applies if none is given."""
    description = "The interval's length" + (f" ({default.code} by default)" if default else "")
    return choice_filter("interval", {length.code: length.name for length in lengths}, description, coerce=int)


@dataclass(frozen=True)
class Named:
    """A value of a filter: the rows with this ``text`` for a name, and with ``or_value`` for the dimension's value."""

    column: NameColumn
    text: str
    or_value: bool = False

    def narrow(self, rows: QuerySet) -> QuerySet:
        """Return the rows; raises ValidationError for a name that too many values have."""
        try:
            return self.column.named(rows, self.text, self.or_value)
        except TooManyKeys as error:
            raise ValidationError({self.column.dimension.name: [f"{error}"]}) from None


class ValueOrNameField(WholeNumberField):
    """A value of a dimension, or a name that a reference has for one: a number, or a ``Named``."""

    def __init__(self, *, of: NameColumn, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.of = of

    def clean(self, value: Any) -> int | Named | None:
        if value in self.empty_values:
            return None
        if self.of.is_of_numbers and self._digits.fullmatch(value.strip()):
            return super().clean(value)
        return Named(self.of, forms.CharField(strip=False).clean(value), or_value=not self.of.is_of_numbers)


class NameField(forms.CharField):
    """A name that a reference has."""

    def __init__(self, *, of: NameColumn, **kwargs: Any) -> None:
        super().__init__(strip=False, **kwargs)
        self.of = of

    def clean(self, value: Any) -> Named | None:
        text = super().clean(value)
        return Named(self.of, text) if text else None


class ValueOrNameFilter(Filter):
    field_class = ValueOrNameField


class NameFilter(Filter):
    field_class = NameField


def name_filters(of: NameColumn) -> dict[str, Filter]:
    """Return the filters by a dimension that a reference has names for: by its value or a name, and by a name."""
    dimension = of.dimension.name
    field = column(result_model(of.kpi), dimension)
    kinds: list[dict[str, Any]] = [{"type": "string"}]
    least, greatest = None, None
    if isinstance(field, models.IntegerField):
        least, greatest = whole_number_range(field)
        kinds = [{"type": "integer", "minimum": least, "maximum": greatest}, *kinds]
    either = ValueOrNameFilter(field_name=dimension, of=of, min_value=least, max_value=greatest)
    return {
        dimension: described({"anyOf": kinds, "description": f"{dimension}, or {of.name}, is this"}, either),
        of.name: described(
            {"type": "string", "description": f"{of.name} is this"}, NameFilter(field_name=of.name, of=of)
        ),
    }


def dimension_filters(kpi: KPI, names: Iterable[NameColumn] = ()) -> dict[str, Filter]:
    """Return a filter for each dimension, of its column's type: exact, or regardless of case if it is folded.

    For those that have columns of names, see ``name_filters``.
    """
    model = result_model(kpi)
    named = {one.dimension: one for one in names}
    filters: dict[str, Filter] = {}
    for dimension in kpi.by:
        if dimension in named:
            filters |= name_filters(named[dimension])
            continue
        field = column(model, dimension.name)
        if isinstance(field, models.IntegerField):
            made = whole_number_filter(field, f"{dimension.name} is this")
        elif dimension.folded:
            made = folded_filter(dimension.folded_column, f"{dimension.name} is this, regardless of case")
        else:
            made = text_filter(field, f"{dimension.name} is this")
        filters[dimension.name] = made
    return filters
