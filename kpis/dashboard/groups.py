"""The groups of a KPI: as parameters of an address, as filters, and as people read them."""

from __future__ import annotations

from collections.abc import Mapping

from django.core.exceptions import ValidationError
from django.db.models import IntegerField, Min

from kpis.api.filters import WholeNumberField, whole_number_range
from kpis.catalog.kpis import KPI
from kpis.models.results import result_model

Group = dict[str, int | str]

# What an empty text is shown as.
NO_TEXT = "(none)"

_MOST_SPELLINGS = 200


class BadGroup(ValueError):
    """Parameters that name no group, in words for the person who wrote them."""


def group_from(kpi: KPI, parameters: Mapping[str, str]) -> Group | None:
    """The group that the parameters name, one for each dimension; None where none is given. Raises BadGroup."""
    given = {name: parameters[name] for name in kpi.dimensions if name in parameters}
    if not given:
        return None
    missing = [name for name in kpi.dimensions if name not in given]
    if missing:
        raise BadGroup(f"A group of this KPI needs {' and '.join(kpi.dimensions)}; {', '.join(missing)} is missing.")
    return {name: _typed(kpi, name, text) for name, text in given.items()}


def conditions(kpi: KPI, group: Group) -> dict[str, object]:
    """The group as a filter of the KPI's table; folded dimensions whatever the letter case, as in the API."""
    found: dict[str, object] = dict(group)
    for dimension in kpi.folded:
        value = found.pop(dimension.name)
        spellings = _spellings(kpi, dimension.name)
        if spellings is None:
            found[f"{dimension.name}__folded"] = value
        else:
            found[f"{dimension.name}__in"] = [text for text in spellings if text.lower() == value.lower()]
    return found


def _spellings(kpi: KPI, name: str) -> list[str] | None:
    """All texts that a column has; None where they are too many.

    Each is found by one look into the index, where comparing letters whatever their case would read every row.
    """
    spellings: list[str] = []
    rows = result_model(kpi).objects
    text = rows.aggregate(text=Min(name))["text"]
    while text is not None:
        spellings.append(text)
        if len(spellings) > _MOST_SPELLINGS:
            return None
        text = rows.filter(**{f"{name}__gt": text}).aggregate(text=Min(name))["text"]
    return spellings


def label(kpi: KPI, group: Mapping[str, object]) -> str:
    """The group in words: its dimensions' values; numbers beside other dimensions have their names with them."""
    words = []
    for name in kpi.dimensions:
        value = group[name]
        if isinstance(value, int) and len(kpi.dimensions) > 1:
            words.append(f"{name.replace('_', ' ')} {value}")
        else:
            words.append(NO_TEXT if value == "" else str(value))
    return ", ".join(words)


def dimension_words(kpi: KPI) -> str:
    """What groups are, in words: ``operator, call type``."""
    return ", ".join(name.replace("_", " ") for name in kpi.dimensions)


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
    if number is None or not least <= number <= greatest:
        raise BadGroup(f"{name} must be a whole number from {least} to {greatest}, not {text!r}.")
    return number
