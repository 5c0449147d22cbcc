"""The steps of a time slider: consecutive intervals, without gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from kpis.console import moments
from kpis.console.selection import BadSelection, Selection
from kpis.console.window import Window, window

# The most steps of a slider.
MOST_STEPS = 750


@dataclass(frozen=True)
class Steps:
    """The intervals of a window; the one at ``index`` is selected."""

    window: Window
    index: int

    @property
    def at(self) -> datetime:
        """The start of the selected interval."""
        return self.window.starts[self.index]

    @property
    def last(self) -> int:
        """The index of the last interval."""
        return self.window.points - 1

    @property
    def labels(self) -> list[str]:
        """The intervals' starts, in the zone."""
        return [moments.clock(start) for start in self.window.starts]


def steps(chosen: Selection, parameters: Mapping[str, str]) -> Steps:
    """Return the steps of a selection. The one at ``step``, or else at the selection's ``at``, or the last is selected.

    If the span has too many intervals, the next longer ones are the steps, or the newest. Raises BadSelection.
    """
    span = window(chosen.kpi, chosen.start, chosen.end, chosen.length, adds_up=False, most=MOST_STEPS)
    text = parameters.get("step", "")
    if text:
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) < span.points):
            raise BadSelection(f"step must be a whole number from 0 to {span.points - 1}.")
        return Steps(span, int(text))
    return Steps(span, span.step_at(chosen.at) if chosen.at else span.points - 1)
