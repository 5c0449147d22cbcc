"""The pages of plug-ins, guarded as the console's own are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path

from kpis.console.access import GuardedPage
from kpis.console.navigation import plugin_page_name
from kpis.plugins.registry import PLUGINS, resolve

ShownBy = Callable[[HttpRequest], HttpResponseBase]


class PluginPage(GuardedPage):
    """A page that a plug-in's view shows."""

    # A tuple, as a function alone would become a method.
    shown_by: tuple[ShownBy, ...] = ()

    def get(self, request: HttpRequest, **_: Any) -> HttpResponseBase:
        (view,) = self.shown_by
        return view(request)

    post = get


def plugin_patterns() -> Iterator[URLPattern]:
    """Yield the URL patterns of all plug-ins' pages; raises PluginError if a view cannot be imported."""
    for plugin in PLUGINS.values():
        for page in plugin.pages:
            view = PluginPage.as_view(personal=page.personal, shown_by=(resolve(page.view),))
            yield path(f"plugins/{plugin.name}/{page.path}", view, name=plugin_page_name(plugin, page))
