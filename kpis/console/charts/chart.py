"""The base of charts: a Vega-Lite specification with its texts, for a page or as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kpis.console.theme import Theme

if TYPE_CHECKING:
    import altair as alt

# The size of pictures, in CSS pixels.
WIDTH = 960

_STRIPES = 24


@dataclass(frozen=True)
class Chart:
    """A chart in one theme's colours.

    ``drawing`` is the Altair chart without size, title and configuration, and ``data`` the rows of the data that it
    names (``alt.NamedData``): they are added after Altair, which would validate every row. ``title`` names what is
    shown, ``subtitle`` has lines with the time span (with the zone's name) and limits, ``description`` is the text for
    readers who cannot see it. ``name`` is a picture's file name without its extension.
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
        """Return the specification for a page, which shows the title itself; the chart is as wide as its place.

        It is one picture with one description for screen readers, not a thousand marks.
        """
        return self._specification(width="container") | {"config": {**self.theme.config, "aria": False}}

    def for_picture(self) -> dict:
        """Return the specification for a picture, with the title."""
        return self._specification(width=WIDTH, title={"text": self.title, "subtitle": self.subtitle})

    def _specification(self, **properties: Any) -> dict:
        drawing = self.drawing.properties(height=self.height, description=self.description, **properties)
        drawing.autosize = {"type": "fit-x", "contains": "padding"}
        # The tests validate every kind of chart against Vega-Lite's schema; that takes longer than everything else.
        return drawing.to_dict(validate=False) | {"config": self.theme.config, "datasets": self.data}


def name_of(*parts: str) -> str:
    """Return a file name made of these parts, with letters, digits and hyphens."""
    return "_".join("".join(c if c.isalnum() or c in "-+" else "-" for c in part) for part in parts)


def hatched(one: str, other: str) -> dict:
    """Return a fill of slanting stripes in two colours: a gradient with hard stops, which every renderer supports."""
    stops = []
    for number in range(_STRIPES):
        colour = other if number % 2 else one
        stops += [{"offset": (number + end) / _STRIPES, "color": colour} for end in (0, 1)]
    return {"gradient": "linear", "x1": 0, "y1": 0, "x2": 1, "y2": 1, "stops": stops}
