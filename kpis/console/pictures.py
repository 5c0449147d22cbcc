"""Charts as files: PNG, SVG, and a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kpis.console.charts.chart import Chart

_PIXELS_A_CSS_PIXEL = 2


def png(chart: Chart) -> bytes:
    """Return the chart as PNG, in twice the resolution of a standard screen."""
    # Imported here and below, since the import is slow and few processes draw.
    import vl_convert

    return vl_convert.vegalite_to_png(chart.for_picture(), scale=_PIXELS_A_CSS_PIXEL)


def svg(chart: Chart) -> bytes:
    """Return the chart as SVG."""
    import vl_convert

    return vl_convert.vegalite_to_svg(chart.for_picture()).encode()


def html(chart: Chart) -> bytes:
    """Return the chart as an HTML page with its scripts in it: tooltips work, and nothing is loaded from elsewhere."""
    import vl_convert

    return vl_convert.vegalite_to_html(chart.for_picture(), bundle=True).encode()


@dataclass(frozen=True)
class Picture:
    """A file format of pictures: the function that draws it, and its media type."""

    draw: Callable[[Chart], bytes]
    media_type: str


PICTURES = {
    "png": Picture(png, "image/png"),
    "svg": Picture(svg, "image/svg+xml"),
    "html": Picture(html, "text/html; charset=utf-8"),
}
