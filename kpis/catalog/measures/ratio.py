"""Ratios of sums and counts, as the formulas of performance measurements are."""

from __future__ import annotations

from dataclasses import dataclass

from kpis.catalog.columns import Integer
from kpis.catalog.expressions import Expression, Type, expression
from kpis.catalog.feeds import Feed
from kpis.catalog.measures.measure import Measure
from kpis.catalog.measures.sums import filtered, of_records, summed
from kpis.catalog.result_columns import BadEntry, Fraction, ResultColumn, WholeNumber

NUMERATOR, DENOMINATOR = "numerator", "denominator"


@dataclass(frozen=True)
class Term:
    """A sum of whole-number columns, or without columns the number of records; of records for which ``where`` holds."""

    name: str
    columns: tuple[str, ...] = ()
    where: Expression | None = None

    @property
    def sql(self) -> str:
        """Its SQL over the records."""
        return summed(self.columns, self.where) if self.columns else f"count(*){filtered(self.where)}"

    @property
    def words(self) -> str:
        """What it is."""
        if not self.columns:
            return f"records where {self.where.text}" if self.where else "records"
        return f"sum of {' + '.join(self.columns)}{of_records(self.where)}"


@dataclass(frozen=True)
class Ratio(Measure):
    """``scale`` * numerator / denominator: formulas over sums and counts of all records, divided once, at the end.

    The formulas' ``numerator`` and ``denominator`` are whole numbers of 64 bits, computed exactly, and columns of the
    result: their quotient is the value. Where the denominator is 0, it is ``scale`` * ``zero``, or NULL without one.
    """

    terms: tuple[Term, ...]
    numerator: Expression
    denominator: Expression
    scale: int = 1
    zero: int | None = None
    adds_up = False

    @property
    def total_name(self) -> str:
        return "ratio"

    @property
    def total_words(self) -> str:
        return "in all"

    @property
    def is_fraction(self) -> bool:
        return True

    @property
    def total_of_none(self) -> float | None:
        none = {term.name: 0 for term in self.terms}
        numerator, denominator = self.numerator.of(none), self.denominator.of(none)
        return numerator * self.scale / denominator if denominator else self._of_zero

    @property
    def _of_zero(self) -> float | None:
        return None if self.zero is None else float(self.zero * self.scale)

    @property
    def measured(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(column for term in self.terms for column in term.columns))

    @property
    def conditions(self) -> tuple[Expression, ...]:
        return tuple(term.where for term in self.terms if term.where is not None)

    @property
    def note(self) -> str:
        formulas = f"{NUMERATOR} = {self.numerator.text}; {DENOMINATOR} = {self.denominator.text}"
        return f"{self._quotient}; {formulas}; {'; '.join(f'{term.name} = {term.words}' for term in self.terms)}."

    @property
    def _quotient(self) -> str:
        return f"{self.value} = {f'{self.scale} * ' if self.scale != 1 else ''}{NUMERATOR} / {DENOMINATOR}"

    @property
    def partial(self) -> dict[str, str]:
        return {term.name: term.sql for term in self.terms}

    def partial_units(self, unit: str) -> dict[str, str]:
        return {term.name: term.words for term in self.terms}

    @property
    def merge(self) -> dict[str, str]:
        return {
            self.value: self.total,
            NUMERATOR: f"CAST({self.numerator.sql_of_sums} AS BIGINT)",
            DENOMINATOR: f"CAST({self.denominator.sql_of_sums} AS BIGINT)",
        }

    def result_columns(self, feed: Feed, unit: str) -> tuple[ResultColumn, ...]:
        for term in self.terms:
            if not all(isinstance(feed.column(name).type, Integer) for name in term.columns):
                raise BadEntry(f"{term.name} is a sum of {', '.join(term.columns)}: not all of them are whole numbers")
        for name, formula in ((NUMERATOR, self.numerator), (DENOMINATOR, self.denominator)):
            if formula.type is not Type.INTEGER:
                raise BadEntry(f"the {name} {formula.text!r} is a {formula.type}, and must be a whole number")
        empty = "empty" if self._of_zero is None else f"{self._of_zero:g}"
        ratio = f"{unit}: {self._quotient}; {empty} where the {DENOMINATOR} is 0"
        return (
            ResultColumn(self.value, Fraction(), ratio, optional=True),
            ResultColumn(NUMERATOR, WholeNumber(), self.numerator.text),
            ResultColumn(DENOMINATOR, WholeNumber(), self.denominator.text),
        )

    @property
    def total(self) -> str:
        numerator, denominator = self.numerator.sql_of_sums, self.denominator.sql_of_sums
        zero = "NULL" if self._of_zero is None else f"CAST({self._of_zero} AS DOUBLE)"
        return (
            f"CASE WHEN {denominator} = 0 THEN {zero} "
            f"ELSE CAST(CAST({numerator} AS HUGEINT) * {self.scale} AS DOUBLE) / CAST({denominator} AS DOUBLE) END"
        )


def formula(text: str, terms: tuple[Term, ...], feed: Feed) -> Expression:
    """Return a formula over terms of a feed; raises ExpressionError."""
    return expression(text, {term.name: Integer(bits=64, minimum=_least(term, feed)) for term in terms})


def _least(term: Term, feed: Feed) -> int:
    types = [feed.column(name).type for name in term.columns]
    return 0 if all(isinstance(one, Integer) and one.minimum >= 0 for one in types) else -(2**63)
