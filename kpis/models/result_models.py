"""The tables of results, made from the catalog's entries: one a KPI."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.utils.text import camel_case_to_spaces

from kpis.catalog.folding import LONGEST_FOLDED
from kpis.catalog.kpis import KPI
from kpis.catalog.result_columns import BadEntry, Fraction, Label, ResultColumn, WholeNumber
from kpis.models.fields import ExactCharField, FoldedCharField
from kpis.models.ledger import interval_choices

# PostgreSQL cuts longer names off; MySQL refuses those of more than 64.
LONGEST_NAME = 63


class KPIResult(models.Model):
    """The columns that the results of every KPI have. ``make_result_model`` adds a KPI's dimensions and values."""

    kpi: ClassVar[KPI]
    objects: ClassVar[models.Manager[Self]]

    interval_start_timestamp = models.DateTimeField(help_text="UTC, included")
    interval_end_timestamp = models.DateTimeField(help_text="UTC, not included")
    interval = models.PositiveSmallIntegerField(
        choices=interval_choices, help_text="the code of its length, as docs/reference/intervals.md lists them"
    )
    rank = models.PositiveIntegerField(help_text="1 is the largest; ties rank by the dimension, ascending")

    class Meta:
        abstract = True
        ordering = ["interval_start_timestamp", "interval", "rank"]
        constraints = [
            models.UniqueConstraint(
                fields=["interval_start_timestamp", "interval", "rank"], name="%(class)s_rank_once"
            ),
            models.CheckConstraint(
                condition=Q(interval_start_timestamp__lt=F("interval_end_timestamp")), name="%(class)s_start_lt_end"
            ),
            models.CheckConstraint(condition=Q(rank__gte=1), name="%(class)s_rank_gte_1"),
        ]

    def __str__(self) -> str:
        group = ", ".join(f"{name} {value}" for name, value in group_of(self).items())
        return f"{group}: {getattr(self, self.kpi.value)} {self.kpi.unit}"


def group_of(row: KPIResult) -> dict[str, int | str]:
    """Return the group that a row is about: its dimensions' values, by their names."""
    return {name: getattr(row, name) for name in row.kpi.dimensions}


# The tables, by their KPI's id.
RESULT_MODELS: dict[int, type[KPIResult]] = {}


def result_model(kpi: KPI) -> type[KPIResult]:
    """Return the table that keeps a KPI's rows; raises LookupError when none was made."""
    try:
        return RESULT_MODELS[kpi.id]
    except KeyError:
        raise LookupError(f"KPI {kpi.id} ({kpi.name}) has no table: make_result_model makes it a model") from None


def make_result_model(kpi: KPI, module: str) -> type[KPIResult]:
    """Make the table of a KPI's results, named as the KPI is, in a module of an app's models.

    Its columns are those that every KPI has, the dimensions, the values, and the folded name of each folded dimension.
    Raises BadEntry when the KPI's id is taken, or a constraint's name would be too long.
    """
    if kpi.id in RESULT_MODELS:
        raise BadEntry(f"KPI {kpi.id} ({kpi.name}): {RESULT_MODELS[kpi.id].__name__} has the same id.")
    columns: dict[str, models.Field] = {column.name: _field(column) for column in kpi.result_columns}
    for dimension in kpi.folded:
        columns[dimension.folded_column] = FoldedCharField(
            of=dimension.name,
            max_length=(columns[dimension.name].max_length or 0) * LONGEST_FOLDED,
            default="",
            editable=False,
            help_text=f"{dimension.name} without letter case, by which it is found",
        )
    made: type[KPIResult] = type(
        kpi.name,
        (KPIResult,),
        {"__doc__": f"KPI {kpi.id}: {kpi.description}.", "__module__": module, "kpi": kpi, "Meta": _meta(kpi)}
        | columns,
    )
    for constraint in made._meta.constraints:
        if len(constraint.name) > LONGEST_NAME:
            raise BadEntry(
                f"KPI {kpi.id} ({kpi.name}): the constraint {constraint.name} would have {len(constraint.name)} "
                f"characters, and names in a database have at most {LONGEST_NAME}: give the KPI, or the column, a "
                "shorter name."
            )
    RESULT_MODELS[kpi.id] = made
    return made


def _field(column: ResultColumn) -> models.Field:
    match column.type:
        case Label(longest):
            return ExactCharField(max_length=longest, blank=column.optional, help_text=column.help_text)
        case WholeNumber(bits=32):
            return models.IntegerField(null=column.optional, help_text=column.help_text)
        case WholeNumber():
            return models.BigIntegerField(null=column.optional, help_text=column.help_text)
        case Fraction():
            return models.FloatField(null=column.optional, help_text=column.help_text)


def _meta(kpi: KPI) -> type:
    # A group has one row an interval; the index also gives a group's series in the order of lists.
    group_once = models.UniqueConstraint(
        fields=[*kpi.dimensions, "interval_start_timestamp", "interval"], name="%(class)s_group_once"
    )
    checks = [_check(column) for column in kpi.result_columns if column.bounds]
    options: dict[str, Any] = {"constraints": [*KPIResult.Meta.constraints, group_once, *checks]}
    if kpi.folded:
        options["indexes"] = [_by_folded(kpi, number) for number in range(len(kpi.folded))]
    if kpi.words != camel_case_to_spaces(kpi.name):
        options["verbose_name"] = kpi.words
    if kpi.plural:
        options["verbose_name_plural"] = kpi.plural
    return type("Meta", (KPIResult.Meta,), options)


def _by_folded(kpi: KPI, number: int) -> models.Index:
    """Return the index for the series of a group by a folded dimension, in the order of lists."""
    suffix = f"_folded_{number + 1}" if number else "_folded"
    # If the name is too long for an index, Django generates one.
    fits = len(kpi.name + suffix) <= models.Index.max_name_length
    return models.Index(
        fields=[kpi.folded[number].folded_column, "interval_start_timestamp", "interval", "rank"],
        name=f"%(class)s{suffix}" if fits else None,
    )


def _check(column: ResultColumn) -> models.CheckConstraint:
    bounds = {
        f"{column.name}__{comparison}": F(bound) if isinstance(bound, str) else bound
        for comparison, bound in column.bounds.items()
    }
    return models.CheckConstraint(condition=Q(**bounds), name=f"%(class)s_{column.check_name}")
