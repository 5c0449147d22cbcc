"""The API's serializers. Timestamps are ISO 8601 in UTC with a Z, regardless of TIME_ZONE."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.db import models
from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from kpis.catalog.intervals import LENGTHS, to_milliseconds
from kpis.catalog.kpis import KPI
from kpis.models import Batch, IntervalSummary, Reject
from kpis.models.result_models import result_model
from kpis.query.columns import INTERVAL_COLUMNS, row_columns
from kpis.query.names import NameColumn, beside
from kpis.query.parquet import ColumnType


class UTCDateTimeField(serializers.DateTimeField):
    """A moment in UTC."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(default_timezone=UTC, **kwargs)


@extend_schema_field({"type": "integer", "format": "int64", "description": "Unix time in milliseconds"})
class MillisecondsField(serializers.Field):
    """A moment as Unix time in milliseconds."""

    def to_representation(self, value: datetime) -> int:
        return to_milliseconds(value.replace(tzinfo=UTC))


@extend_schema_field({"type": "integer", "description": "the interval's length in minutes"})
class MinutesField(serializers.Field):
    """An interval's code as its length in minutes."""

    def to_representation(self, value: int) -> int:
        return LENGTHS[value].usual_minutes


# Fields that show the database's value as it is; times are written by the renderer.
_AS_IT_IS = {
    UTCDateTimeField,
    serializers.BigIntegerField,
    serializers.BooleanField,
    serializers.CharField,
    serializers.ChoiceField,
    serializers.FloatField,
    serializers.IntegerField,
    serializers.PrimaryKeyRelatedField,
}


_IN_PARQUET = {
    UTCDateTimeField: ColumnType.MOMENT,
    serializers.IntegerField: ColumnType.WHOLE_NUMBER,
    serializers.PrimaryKeyRelatedField: ColumnType.WHOLE_NUMBER,
    MillisecondsField: ColumnType.WHOLE_NUMBER,
    MinutesField: ColumnType.WHOLE_NUMBER,
    serializers.FloatField: ColumnType.NUMBER,
    serializers.BooleanField: ColumnType.BOOLEAN,
}


def column_type(field: serializers.Field) -> ColumnType:
    """Return the type of a Parquet column with a field's values."""
    for kind, found in _IN_PARQUET.items():
        if isinstance(field, kind):
            return found
    choices = getattr(field, "choices", None)
    return ColumnType.WHOLE_NUMBER if choices and all(isinstance(one, int) for one in choices) else ColumnType.TEXT


@dataclass(frozen=True)
class Column:
    """A column of a list, its name in the database, and the function that converts its values; None for as they are."""

    name: str
    source: str
    show: Callable | None


def shown(columns: Sequence[Column], rows: Iterable[tuple]) -> Iterable[tuple]:
    """Return a list's rows with their values converted by the columns."""
    if not any(column.show for column in columns):
        return rows
    return (
        tuple(
            column.show(value) if column.show and value is not None else value
            for column, value in zip(columns, row, strict=True)
        )
        for row in rows
    )


class RowSerializer(serializers.ModelSerializer):
    """A table's row: for the schema, for single objects, and for the columns of lists."""

    serializer_field_mapping = serializers.ModelSerializer.serializer_field_mapping | {
        models.DateTimeField: UTCDateTimeField
    }

    @classmethod
    @cache
    def columns(cls) -> tuple[Column, ...]:
        """Return a list's columns."""
        return tuple(
            Column(name, field.source or name, None if type(field) in _AS_IT_IS else field.to_representation)
            for name, field in cls().fields.items()
        )


def result_serializer(kpi: KPI, names: Sequence[NameColumn] = ()) -> type[RowSerializer]:
    """Return the serializer of a KPI's rows, with columns of names."""
    columns = beside(row_columns(kpi), names)
    meta = type("Meta", (), {"model": result_model(kpi), "fields": columns, "read_only_fields": columns})
    own = {"__doc__": kpi.description, "Meta": meta}
    return type(f"{kpi.name}Serializer", (RowSerializer,), own | _name_fields(names))


def _name_fields(names: Sequence[NameColumn]) -> dict[str, serializers.Field]:
    return {one.name: serializers.CharField(read_only=True, allow_null=True, help_text=one.help_text) for one in names}


def v1_serializer(kpi: KPI) -> type[RowSerializer]:
    """Return the serializer of a KPI's rows in version 1, with timestamps in Unix ms and the interval in minutes."""
    parent = result_serializer(kpi)
    columns = {
        "interval_start_timestamp": MillisecondsField(read_only=True),
        "interval_end_timestamp": MillisecondsField(read_only=True),
        "interval": MinutesField(read_only=True),
    }
    return type(f"{kpi.name}V1Serializer", (parent,), {"__doc__": kpi.description, **columns})


def anomaly_serializer(kpi: KPI, names: Sequence[NameColumn] = ()) -> type[RowSerializer]:
    """Return the serializer of anomalies: a KPI's rows, with columns of names, and the verdict (``row.verdict``)."""
    kind = serializers.FloatField if kpi.measure.is_fraction else serializers.BigIntegerField
    verdict = ["value", "mean", "deviation", "z", "intervals_in_window"]
    columns = ["id", *INTERVAL_COLUMNS, *kpi.dimensions, *(one.name for one in names), *verdict]
    meta = type("Meta", (), {"model": result_model(kpi), "fields": columns, "read_only_fields": columns})
    fields = {
        "value": kind(source=kpi.value, read_only=True, help_text=f"{kpi.value}, in {kpi.unit}"),
        "mean": serializers.FloatField(
            source="verdict.mean", read_only=True, help_text="of the group's values in the window before"
        ),
        "deviation": serializers.FloatField(
            source="verdict.deviation", read_only=True, help_text="their sample standard deviation (n - 1)"
        ),
        "z": serializers.FloatField(
            source="verdict.z",
            read_only=True,
            allow_null=True,
            help_text="(value - mean) / deviation; null where the deviation is 0",
        ),
        "intervals_in_window": serializers.IntegerField(
            source="verdict.intervals", read_only=True, help_text="in which the group has a value"
        ),
    }
    own = {"__doc__": kpi.description, "Meta": meta}
    return type(f"{kpi.name}AnomalySerializer", (RowSerializer,), own | _name_fields(names) | fields)


class CatalogSerializer(serializers.Serializer):
    """A KPI as the catalog defines it."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    description = serializers.CharField()
    feed = serializers.CharField(source="feed.name")
    dimensions = serializers.ListField(child=serializers.CharField(), help_text="columns that rows are grouped by")
    value = serializers.CharField(help_text="the column that rows are ranked by")
    unit = serializers.CharField()
    intervals = serializers.SerializerMethodField(help_text="codes of the interval lengths it comes in")
    top = serializers.BooleanField(help_text="whether only an interval's first groups are kept")
    personal = serializers.BooleanField(help_text="whether it needs the permission kpis.view_personal")
    url = serializers.SerializerMethodField()

    def get_intervals(self, kpi: KPI) -> list[int]:
        return [length.code for length in kpi.lengths]

    @extend_schema_field({"type": "string", "format": "uri", "description": "where its rows are"})
    def get_url(self, kpi: KPI) -> str:
        return self.context["request"].build_absolute_uri(reverse(f"kpi-{kpi.id}-list"))


class SummarySerializer(RowSerializer):
    """The summary of a KPI's interval."""

    class Meta:
        model = IntervalSummary
        fields = [
            "id",
            "kpi",
            "interval_start_timestamp",
            "interval_end_timestamp",
            "interval",
            "total",
            "mean",
            "groups",
            "records",
            "batches",
            "revision",
            "state",
            "reason",
            "updated_at",
            "previous_total",
            "previous_mean",
            "previous_updated_at",
        ]
        read_only_fields = fields


class BatchSerializer(RowSerializer):
    """A batch: a file, or a range of a stream's messages."""

    taken_in_at = UTCDateTimeField(source="ingested_at", read_only=True, help_text="UTC")

    class Meta:
        model = Batch
        fields = [
            "id",
            "feed",
            "name",
            "status",
            "duplicate_of",
            "reason",
            "retry",
            "read_again_at",
            "size",
            "modified_ns",
            "digest",
            "reading",
            "lines",
            "records",
            "rejects",
            "revision",
            "taken_in_at",
            "run",
        ]
        read_only_fields = fields


class RejectSerializer(RowSerializer):
    """A row that is not a record of its feed."""

    text = serializers.CharField(
        read_only=True,
        allow_null=True,
        help_text="the row as it is written in the file; null without the permission kpis.view_personal",
    )

    class Meta:
        model = Reject
        fields = ["id", "line", "column", "reason", "text", "sequence_number"]
        read_only_fields = fields
