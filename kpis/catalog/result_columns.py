"""The columns of a KPI's results: their types, bounds and help texts, from which its table is made."""

from __future__ import annotations

from dataclasses import dataclass


class BadEntry(ValueError):
    """An entry of the catalog that contradicts itself; the message names the ``entry``, if given, and the problem."""

    def __init__(self, problem: str, entry: str = "") -> None:
        super().__init__(f"{entry}: {problem}." if entry else problem)
        self.problem = problem


@dataclass(frozen=True)
class WholeNumber:
    """Whole numbers of 32 or 64 ``bits``, signed."""

    bits: int = 64


@dataclass(frozen=True)
class Fraction:
    """Double-precision floating-point numbers."""


@dataclass(frozen=True)
class Label:
    """Texts of at most ``longest`` characters, compared character by character."""

    longest: int


ResultType = WholeNumber | Fraction | Label


@dataclass(frozen=True)
class ResultColumn:
    """One column of a KPI's results: a dimension or a value.

    ``optional`` lets a text be empty and a number be missing (NULL). Values are greater than ``above``, not less than
    ``at_least`` and not greater than ``at_most``, each a number or the name of another column; ``check`` is the name of
    the constraint that enforces these bounds, after the table's name, if the default is not clear enough.
    """

    name: str
    type: ResultType
    help_text: str = ""
    optional: bool = False
    above: int | str | None = None
    at_least: int | str | None = None
    at_most: int | str | None = None
    check: str = ""

    @property
    def bounds(self) -> dict[str, int | str]:
        """The bounds, each by Django's name of the comparison: ``gt``, ``gte``, ``lte``."""
        bounds = {"gt": self.above, "gte": self.at_least, "lte": self.at_most}
        return {comparison: bound for comparison, bound in bounds.items() if bound is not None}

    @property
    def check_name(self) -> str:
        """The name of its bounds' constraint, without the table's: ``total_bytes_gte_0``."""
        return self.check or "_".join([self.name, *(f"{comparison}_{to}" for comparison, to in self.bounds.items())])
