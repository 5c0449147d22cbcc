"""The names that references have for the values of dimensions: beside them in rows, and as filters of rows.

A row has the name of the version that is valid at the start of its interval.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import CharField, Exists, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Cast

from kpis.catalog.dimensions import Dimension
from kpis.catalog.kpis import KPI
from kpis.catalog.names import EVERY_ROW, PARAMETERS
from kpis.catalog.references import LONGEST_KEY, ReferenceTable
from kpis.catalog.registry import reference_of
from kpis.models import ReferenceVersion
from kpis.models.fields import column
from kpis.models.result_models import result_model

# A name that more keys have is too many conditions for a statement.
MOST_KEYS = 1000
MOST_VERSIONS = 10 * MOST_KEYS
# The keys whose names are looked up at once; of more, the first have names.
MOST_NAMED = 5000


class TooManyKeys(ValueError):
    """A name that so many keys have that rows cannot be found by it."""


@dataclass(frozen=True)
class NameColumn:
    """The column ``name`` of a KPI's rows with the names that a reference has for the values of a dimension."""

    kpi: KPI
    name: str
    dimension: Dimension
    reference: ReferenceTable

    @property
    def help_text(self) -> str:
        """A description of the names."""
        return f"the {self.reference.shown} of {self.dimension.name} by the reference {self.reference.name}"

    @property
    def is_of_numbers(self) -> bool:
        """True if the dimension has numbers."""
        return isinstance(column(result_model(self.kpi), self.dimension.name), IntegerField)

    @property
    def keyed_by(self) -> str:
        """The column of the rows that has the reference's keys."""
        return self.dimension.folded_column if self.dimension.folded else self.dimension.name

    def annotated(self, rows: QuerySet) -> QuerySet:
        """Return rows of the KPI with the names; NULL for those without one."""
        return rows.annotate(**{self.name: Subquery(self._valid().filter(name__gt="").values("name")[:1])})

    def named(self, rows: QuerySet, text: str, or_value: bool = False) -> QuerySet:
        """Return the rows with this name; with ``or_value`` also those whose dimension has the text for its value.

        Raises TooManyKeys.
        """
        keys: list[int | str] = self.keys_of(text)
        has_name: Q | Exists = Exists(self._valid().filter(name=text))
        if or_value:
            value = self.reference.stored_key(text)
            keys.append(value)
            has_name = has_name | Q(**{self.keyed_by: value})
        return rows.filter(has_name, **{f"{self.keyed_by}__in": keys})

    def keys_of(self, text: str) -> list[int | str]:
        """Return the values of the dimension that have, or had, a name. Raises TooManyKeys."""
        versions = ReferenceVersion.objects.filter(reference__name=self.reference.name, name=text)
        # Neither distinct nor in order: SQLite would read all keys in their order for it, not those with the name.
        found = list(versions.order_by().values_list("key", flat=True)[: MOST_VERSIONS + 1])
        keys = sorted(set(found))
        if len(keys) > MOST_KEYS or len(found) > MOST_VERSIONS:
            raise TooManyKeys(f"More than {MOST_KEYS:,} values of {self.dimension.name} have this name.")
        return [int(key) if self.is_of_numbers else key for key in keys]

    def names_at(self, values: Iterable[tuple[Any, datetime]]) -> dict[tuple[Any, datetime], str]:
        """Return the names of values of the dimension, each at a moment (UTC); those without one are left out."""
        wanted = list(dict.fromkeys(values))
        keys = list(dict.fromkeys(self.reference.stored_key(value) for value, _ in wanted))[:MOST_NAMED]
        versions = ReferenceVersion.objects.filter(reference__name=self.reference.name, key__in=keys, name__gt="")
        held = defaultdict(list)
        for key, since, until, name in versions.order_by().values_list("key", "valid_from", "valid_to", "name"):
            held[key].append((since, until, name))
        found = {}
        for value, moment in wanted:
            for since, until, name in held[self.reference.stored_key(value)]:
                if since <= moment and (until is None or moment < until):
                    found[value, moment] = name
        return found

    def _valid(self) -> QuerySet:
        """Return the version that holds of an outer row, a KPI's."""
        key: Any = OuterRef(self.keyed_by)
        if self.is_of_numbers:
            key = Cast(key, CharField(max_length=LONGEST_KEY))
        start = OuterRef("interval_start_timestamp")
        versions = ReferenceVersion.objects.filter(reference__name=self.reference.name, key=key, valid_from__lte=start)
        return versions.filter(Q(valid_to__isnull=True) | Q(valid_to__gt=start)).order_by()


def name_columns(kpi: KPI) -> list[NameColumn]:
    """Return the columns of names that a KPI's rows have, one for each dimension that a reference has names for.

    A column is named as its dimension, with ``_name`` in place of ``_id``, or after it if a row has that column.
    """
    found: list[NameColumn] = []
    taken = {*EVERY_ROW, *PARAMETERS, *kpi.columns, *(one.folded_column for one in kpi.folded)}
    for dimension in kpi.by:
        reference = reference_of(kpi, dimension)
        if reference is None or not reference.shown:
            continue
        for stem in (dimension.name.removesuffix("_id"), dimension.name):
            name = f"{stem}_name"
            if name not in taken:
                taken.add(name)
                found.append(NameColumn(kpi, name, dimension, reference))
                break
    return found


def with_names(rows: QuerySet, columns: Iterable[NameColumn]) -> QuerySet:
    """Return rows of a KPI with its columns of names."""
    for one in columns:
        rows = one.annotated(rows)
    return rows


def beside(names: Iterable[str], columns: Iterable[NameColumn]) -> list[str]:
    """Return names of columns with those of names behind their dimensions."""
    behind = {one.dimension.name: one.name for one in columns}
    return [name for one in names for name in (one, behind.get(one, "")) if name]


def names_of(kpi: KPI, groups: Iterable[tuple[Mapping[str, Any], datetime]]) -> list[dict[str, str]]:
    """Return the names of groups, each at a moment (UTC): by their dimensions, without those that have none.

    As many queries as the KPI has columns of names.
    """
    groups = list(groups)
    names: list[dict[str, str]] = [{} for _ in groups]
    for one in name_columns(kpi) if groups else ():
        found = one.names_at((group[one.dimension.name], moment) for group, moment in groups)
        for place, (group, moment) in enumerate(groups):
            if name := found.get((group[one.dimension.name], moment)):
                names[place][one.dimension.name] = name
    return names
