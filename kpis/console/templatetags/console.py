"""The template tags and filters of the pages."""

from __future__ import annotations

from typing import Any

from django import template

from kpis.console import figures, moments
from kpis.console.addresses import explain
from kpis.console.groups import NO_TEXT
from kpis.console.navigation import Link, menu, title_of
from kpis.console.selection import Selection
from kpis.console.table import Column
from kpis.console.vega import BUNDLE

register = template.Library()

register.filter("short", figures.short)
register.filter("exact", figures.exact)
register.filter("plain", figures.plain)
register.filter("percent", figures.percent)
register.filter("signed", figures.signed)
register.filter("age", figures.age)
register.filter("clock", moments.clock)
register.filter("time_of_day", moments.time_of_day)
register.filter("iso", moments.iso)
register.filter("for_input", moments.for_input)
register.filter("input_type", moments.input_type)
register.filter("title_of", title_of)
register.simple_tag(explain, name="explain")
register.simple_tag(moments.span, name="span")
register.simple_tag(moments.zone_name, name="zone")


@register.filter
def words(name: str) -> str:
    """Return a column's name in words: ``average_signal`` is "Average signal"."""
    return name.replace("_", " ").capitalize()


@register.filter
def whole(value: float) -> str:
    """Format a whole number that is stored as a fraction."""
    return figures.plain(int(value))


@register.filter
def digits(value: float | None) -> str:
    """Format a number with all its digits, as in the API."""
    return f"{value!r}" if isinstance(value, float) else figures.plain(value)


@register.filter
def cell(row: object, column: Column) -> str:
    """Format a row's value in a column."""
    value = getattr(row, column.name)
    if isinstance(value, str):
        return value or NO_TEXT
    return figures.plain(value) if column.number or value is None else str(value)


@register.simple_tag
def at(selection: Selection, name: str, **kwargs: int | str) -> str:
    """Return another address of the selection's KPI, with the same selection."""
    return selection.address(name, **kwargs)


@register.simple_tag
def choose(selection: Selection, **changes: Any) -> str:
    """Return the page's address with the selection changed."""
    return selection.with_(**changes).address()


@register.simple_tag
def vega_bundle() -> str:
    """Return the static file's name of the script that draws charts."""
    return BUNDLE


@register.simple_tag(takes_context=True)
def navigation(context: template.Context) -> dict[str, list[Link]]:
    """Return the menu of the request's user."""
    request = context["request"]
    return menu(request.user, request.path)


@register.inclusion_tag("console/chart.html")
def chart(address: str, title: str, height: int = 280, downloads: bool = False, zooms: str = "") -> dict:
    """Render the place of a chart on a page.

    ``address`` is a ChartView's with the extension ``json``, and its query; ``title`` its heading; ``height`` the
    height of the place, in CSS pixels, before it is drawn. With ``downloads`` there are links to PNG and SVG below.
    ``zooms`` is the id of the form that gets the span which is brushed on the chart as ``from`` and ``to``, and the
    interval that is clicked on as ``at``.
    """
    path, _, query = address.partition("?")
    addresses = {extension: f"{path.removesuffix('json')}{extension}?{query}" for extension in ("png", "svg")}
    return {
        "address": address,
        "title": title,
        "height": height,
        "addresses": addresses,
        "downloads": downloads,
        "zooms": zooms,
    }
