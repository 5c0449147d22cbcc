"""Form fields for the values of a query string."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.db import models
from django.db.backends.base.operations import BaseDatabaseOperations

from kpis.catalog.folding import fold
from kpis.catalog.intervals import END_OF_TIME_MILLISECONDS, from_milliseconds

# The years that every supported database can compare with.
FIRST_YEAR, LAST_YEAR = 1000, 9999
_OUT_OF_RANGE = f"Enter a moment in the years {FIRST_YEAR} to {LAST_YEAR}."


def whole_number_range(field: models.Field) -> tuple[int, int]:
    """Return the range of an integer column, or of a key to one, on every database."""
    column = field.target_field if isinstance(field, models.ForeignKey) else field
    return BaseDatabaseOperations.integer_field_ranges[column.get_internal_type()]


class WholeNumberField(forms.IntegerField):
    """A whole number in plain decimal digits."""

    _digits = re.compile(r"[+-]?[0-9]+", re.ASCII)

    def to_python(self, value: Any) -> int | None:
        if value in self.empty_values:
            return None
        text = value.strip()
        if not self._digits.fullmatch(text):
            raise forms.ValidationError("Enter a whole number.")
        # A long number exceeds 64 bits, whatever its last digits.
        return int(text[:40])


class TimestampField(forms.Field):
    """A moment in ISO 8601; without a zone it is UTC."""

    # A "+" before an offset that was not percent-encoded arrives as a space.
    _iso = re.compile(
        r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
        r"([Tt ](?P<time>[0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?)"
        r"(?P<zone>[Zz]|[-+ ][0-9]{2}:?[0-9]{2})?)?"
    )

    def to_python(self, value: Any) -> datetime | None:
        if value in self.empty_values:
            return None
        found = self._iso.fullmatch(value.strip())
        try:
            if not found:
                raise ValueError
            zone = (found["zone"] or "Z").replace(" ", "+").upper()
            moment = datetime.fromisoformat(f"{found['date']}T{found['time'] or '00:00'}{zone}").astimezone(UTC)
        except OverflowError:
            raise forms.ValidationError(_OUT_OF_RANGE) from None
        except ValueError:
            raise forms.ValidationError("Enter a moment in ISO 8601, such as 2021-07-18T00:05:00Z.") from None
        if not FIRST_YEAR <= moment.year <= LAST_YEAR:
            raise forms.ValidationError(_OUT_OF_RANGE)
        return moment


class MillisecondsField(WholeNumberField):
    """A moment as Unix time in milliseconds."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=0, max_value=END_OF_TIME_MILLISECONDS - 1, **kwargs)

    def clean(self, value: Any) -> datetime | None:
        milliseconds = super().clean(value)
        return None if milliseconds is None else from_milliseconds(milliseconds)


class FoldedField(forms.CharField):
    """A text, folded."""

    def to_python(self, value: Any) -> str:
        return fold(super().to_python(value) or "")
