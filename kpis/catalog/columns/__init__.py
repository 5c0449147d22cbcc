"""The types of feeds' columns: which texts each accepts, and the value of each."""

from __future__ import annotations

from kpis.catalog.columns.base import BadValue, ColumnType
from kpis.catalog.columns.layouts import MONTHS
from kpis.catalog.columns.numbers import Decimal, Integer
from kpis.catalog.columns.texts import UUID, Boolean, Choice, PostalCode, Text
from kpis.catalog.columns.times import Date, MonthFirst, TimeOfDay
from kpis.catalog.columns.timestamps import FormattedTimestamp, ISOTimestamp, Timestamp, UnixTimestamp

__all__ = [
    "MONTHS",
    "UUID",
    "BadValue",
    "Boolean",
    "Choice",
    "ColumnType",
    "Date",
    "Decimal",
    "FormattedTimestamp",
    "ISOTimestamp",
    "Integer",
    "MonthFirst",
    "PostalCode",
    "Text",
    "TimeOfDay",
    "Timestamp",
    "UnixTimestamp",
]
