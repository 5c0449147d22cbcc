"""The groups of a KPI: as parameters of an address, as filters, and as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from types import MappingProxyType

from django.core.exceptions import ValidationError
from django.db.models import IntegerField

from kpis.catalog.folding import fold
from kpis.catalog.kpis import KPI
from kpis.models.result_models import result_model
from kpis.query.fields import WholeNumberField, whole_number_range
from kpis.query.names import TooManyKeys, name_columns, names_of

Group = dict[str, int | str]

# Shown in place of an empty text.
NO_TEXT = "(none)"


class BadGroup(ValueError):
    """Parameters that name no group; the message is for the person who wrote them."""


def group_from(kpi: KPI, parameters: Mapping[str, str]) -> Group | None:
    """Return the group that the parameters name, one per dimension; None if none is given. Raises BadGroup."""
    given = {name: parameters[name] for name in kpi.dimensions if name in parameters}
    if not given:
        return None
    missing = [name for name in kpi.dimensions if name not in given]
    if missing:
        raise BadGroup(f"A group of this KPI needs {' and '.join(kpi.dimensions)}; {', '.join(missing)} is missing.")
    return {name: _typed(kpi, name, text) for name, text in given.items()}


def conditions(kpi: KPI, group: Group) -> dict[str, object]:
    """Return the group as a filter of the KPI's table; folded dimensions by their folded names, as in the API."""
    return {
        one.folded_column if one.folded else one.name: fold(str(group[one.name])) if one.folded else group[one.name]
        for one in kpi.by
    }


def label(kpi: KPI, group: Mapping[str, object], names: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the group as text: its dimensions' values; numbers beside other dimensions with the dimensions' names.

    ``names`` are those that references have for the values, by dimension: ``Sol (214001)``.
    """
    words = []
    for name in kpi.dimensions:
        value = group[name]
        if isinstance(value, int) and len(kpi.dimensions) > 1:
            text = f"{name.replace('_', ' ')} {value}"
        else:
            text = NO_TEXT if value == "" else str(value)
        words.append(f"{names[name]} ({text})" if name in names else text)
    return ", ".join(words)


def labels(kpi: KPI, groups: Iterable[tuple[Group, datetime]]) -> list[str]:
    """Return groups as text with the names that references have for them at a moment (UTC) each.

    As many queries as dimensions have names, for any number of groups.
    """
    groups = list(groups)
    return [label(kpi, group, names) for (group, _), names in zip(groups, names_of(kpi, groups), strict=True)]


def dimension_words(kpi: KPI) -> str:
    """Return the dimensions as text: ``operator, call type``."""
    return ", ".join(name.replace("_", " ") for name in kpi.dimensions)


def _named(kpi: KPI, dimension: str, text: str) -> int | str | None:
    """Return the only value of a dimension that has, or had, a name; None if there is none, or several."""
    for one in name_columns(kpi):
        if one.dimension.name == dimension:
            with suppress(TooManyKeys):
                values = one.keys_of(text)
                return values[0] if len(values) == 1 else None
    return None


def _typed(kpi: KPI, name: str, text: str) -> int | str:
    field = result_model(kpi)._meta.get_field(name)
    if not isinstance(field, IntegerField):
        if "\x00" in text:
            raise BadGroup(f"{name} has a character that no text has.")
        return text
    least, greatest = whole_number_range(field)
    try:
        number = WholeNumberField().to_python(text)
    except ValidationError:
        number = None
    if number is None and (named := _named(kpi, name, text)) is not None:
        return named
    if number is None or not least <= number <= greatest:
        raise BadGroup(f"{name} must be a whole number from {least} to {greatest}, not {text!r}.")
    return number
