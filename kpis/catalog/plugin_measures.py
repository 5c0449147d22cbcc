"""Measures of plug-ins, by the kind that catalog files name.

A plug-in's are added before catalog files are read: in each process that reads them, Spark's executors too.
``docs/reference/measures.md`` describes what a measure promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from kpis.catalog.measures import Measure
from kpis.catalog.result_columns import BadEntry


class MakeMeasure(Protocol):
    """Makes a measure of what a catalog file says of it, such as a measure's class."""

    def __call__(self, value: str, /, columns: tuple[str, ...], options: Mapping[str, Any]) -> Measure:
        """Return the measure whose value has a name, over columns that the feed has; raises BadEntry."""


PLUGIN_MEASURES: dict[str, MakeMeasure] = {}


def add_measure(kind: str, make: MakeMeasure) -> None:
    """Let catalog files name a plug-in's measure; raises ValueError if another has the kind."""
    if PLUGIN_MEASURES.setdefault(kind, make) is not make:
        raise ValueError(
            f"There are two measures of the kind {kind}: of two plug-ins, or of one that was loaded twice."
        )


def plugin_measure(kind: str, value: str, columns: tuple[str, ...], options: Mapping[str, Any]) -> Measure:
    """Return a measure of one of the kinds; raises BadEntry, also for whatever else its plug-in raises."""
    try:
        made = PLUGIN_MEASURES[kind](value, columns=columns, options=options)
        if not isinstance(made, Measure):
            raise TypeError(f"it made {type(made).__name__}, which is no Measure")
        hash(made)
    except BadEntry:
        raise
    except Exception as error:
        raise BadEntry(f"the measure {kind} of a plug-in failed: {type(error).__name__}: {error}") from error
    return made
