"""The menu, with an entry for every page and every KPI."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.urls import reverse
from django.utils.text import capfirst

from kpis.catalog.kpis import KPI
from kpis.catalog.registry import KPIS
from kpis.plugins.plugin import Page, Plugin
from kpis.plugins.registry import PLUGINS
from kpis.query.access import may_view_personal

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User


@dataclass(frozen=True)
class Entry:
    """A page in the menu: its title, and the name of its address; ``personal`` pages need a permission."""

    title: str
    name: str
    personal: bool = False


PAGES = (
    Entry("Overview", "overview"),
    Entry("Live", "live"),
    Entry("Operators", "operators"),
    Entry("Map", "map"),
    Entry("Quotas", "quotas", personal=True),
    Entry("Data quality", "quality"),
)


@dataclass(frozen=True)
class Link:
    """An entry of a user's menu; ``current`` on its own page."""

    title: str
    address: str
    current: bool


def plugin_page_name(plugin: Plugin, page: Page) -> str:
    """Return the name of the address of a plug-in's page: ``plugin-kinesis/shards/``."""
    return f"plugin-{plugin.name}/{page.path}"


def pages() -> Iterator[Entry]:
    """Yield the pages, the console's own and then those of plug-ins."""
    yield from PAGES
    for plugin in PLUGINS.values():
        for page in plugin.pages:
            yield Entry(page.title, plugin_page_name(plugin, page), page.personal)


def menu(user: User | AnonymousUser, path: str) -> dict[str, list[Link]]:
    """Return the links of a user's menu, by section; ``path`` is the present page's."""
    cleared = may_view_personal(user)

    def link(title: str, address: str) -> Link:
        return Link(title, address, current=address == path)

    return {
        "Pages": [link(page.title, reverse(page.name)) for page in pages() if cleared or not page.personal],
        "KPIs": [
            link(title_of(kpi), reverse("kpi", args=[kpi.id])) for kpi in KPIS.values() if cleared or not kpi.personal
        ],
    }


def title_of(kpi: KPI) -> str:
    """Return a KPI's name in words, as a title: ``OperatorGPSPrecision`` is "Operator GPS precision"."""
    return capfirst(kpi.words)
