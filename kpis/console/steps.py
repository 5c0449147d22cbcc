"""The steps of a time slider: one interval after the other, none left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from kpis.console import moments
from kpis.console.selection import BadSelection, Selection
from kpis.console.window import Window, window

# A slider has no more than a hand can choose from.
MOST_STEPS = 750


@dataclass(frozen=True)
class Steps:
    """The intervals of a window, of which the one with the number ``index`` is chosen."""

    window: Window
    index: int

    @property
    def at(self) -> datetime:
        """The start of the chosen interval."""
        return self.window.start + self.index * self.window.step

    @property
    def last(self) -> int:
        """The number of the last one."""
        return self.window.points - 1

    @property
    def labels(self) -> list[str]:
        """When each starts, on the zone's clocks."""
        return [moments.clock(self.window.start + number * self.window.step) for number in range(self.window.points)]


def steps(chosen: Selection, parameters: Mapping[str, str]) -> Steps:
    """The steps of a selection: the ``step`` of that number, else the selection's ``at``, else the last.

    Of a span with too many intervals the next longer ones are the steps, or the newest. Raises BadSelection.
    """
    span = window(chosen.kpi, chosen.start, chosen.end, chosen.length, adds_up=False, most=MOST_STEPS)
    text = parameters.get("step", "")
    if text:
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) < span.points):
            raise BadSelection(f"step must be a whole number from 0 to {span.points - 1}.")
        return Steps(span, int(text))
    index = (chosen.at - span.start) // span.step if chosen.at else span.points - 1
    return Steps(span, max(0, min(index, span.points - 1)))
