"""What every chart is: a Vega-Lite specification with its words, for a page or as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt

# Altair takes it as it finds it, half imported by another thread too, unless it is whole from the start.
import pandas  # noqa: F401

from kpis.console.theme import Theme

# The size of pictures, in CSS pixels.
WIDTH = 960

_STRIPES = 24


@dataclass(frozen=True)
class Chart:
    """A chart in one theme's colours.

    ``drawing`` is the Altair chart without size, title and configuration, and ``data`` the rows of the data that it
    names (``alt.NamedData``): they stay out of Altair, which would look through every row. ``title`` says what is
    shown, ``subtitle``, line by line, of which time (with the zone's name) and how it was cut down, ``description``
    what a reader who cannot see it needs to know. ``name`` is a picture's file name without its ending.
    """

    drawing: alt.Chart | alt.LayerChart | alt.FacetChart
    data: Mapping[str, list[dict]]
    title: str
    subtitle: list[str]
    description: str
    name: str
    theme: Theme
    height: int = 280

    def for_page(self) -> dict:
        """The specification for a page, which has the title itself: as wide as its place.

        It is one picture with one description; nobody wants to be read a thousand marks.
        """
        return self._specification(width="container") | {"config": {**self.theme.config, "aria": False}}

    def for_picture(self) -> dict:
        """The specification for a picture, which has to tell its title."""
        return self._specification(width=WIDTH, title={"text": self.title, "subtitle": self.subtitle})

    def _specification(self, **properties: Any) -> dict:
        drawing = self.drawing.properties(height=self.height, description=self.description, **properties)
        drawing.autosize = {"type": "fit-x", "contains": "padding"}
        # The tests hold every kind of chart to Vega-Lite's schema: it takes longer than all the rest.
        return drawing.to_dict(validate=False) | {"config": self.theme.config, "datasets": self.data}


def name_of(*parts: str) -> str:
    """A file's name of these parts, of letters, digits and hyphens."""
    return "_".join("".join(c if c.isalnum() or c in "-+" else "-" for c in part) for part in parts)


def hatched(one: str, other: str) -> dict:
    """A fill of slanting stripes in two colours: a gradient whose stops are hard, which every renderer draws."""
    stops = []
    for number in range(_STRIPES):
        colour = other if number % 2 else one
        stops += [{"offset": (number + end) / _STRIPES, "color": colour} for end in (0, 1)]
    return {"gradient": "linear", "x1": 0, "y1": 0, "x2": 1, "y2": 1, "stops": stops}
