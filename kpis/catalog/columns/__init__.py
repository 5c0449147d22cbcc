"""The types of feeds' columns: which texts each accepts, and the value of each."""

from __future__ import annotations

from kpis.catalog.columns.base import BadValue, ColumnType
from kpis.catalog.columns.numbers import Decimal, Integer
from kpis.catalog.columns.texts import UUID, Choice, PostalCode, Text
from kpis.catalog.columns.times import MONTHS, Date, MonthFirst, TimeOfDay

__all__ = [
    "MONTHS",
    "UUID",
    "BadValue",
    "Choice",
    "ColumnType",
    "Date",
    "Decimal",
    "Integer",
    "MonthFirst",
    "PostalCode",
    "Text",
    "TimeOfDay",
]
