"""The base of all pages and all charts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, cast

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.template.response import TemplateResponse
from django.views.generic import TemplateView

from kpis.console.access import Guarded, GuardedPage
from kpis.console.charts.chart import Chart
from kpis.console.pictures import PICTURES
from kpis.console.theme import LIGHT, THEMES, Theme
from kpis.query.snapshot import snapshot


class BadRequest(ValueError):
    """An address that asks for what cannot exist; the message is for the person who wrote it."""


class Page(GuardedPage, TemplateView):
    """A page of the site: ``title`` is its heading where that is fixed; ``template_name`` extends ``base.html``."""

    title: str

    def heading(self) -> str:
        """Return the page's title, which is also its heading."""
        return self.title

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return the template's context."""
        return super().get_context_data(title=self.heading(), **kwargs)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        # Rendered here, as templates query too.
        with snapshot():
            try:
                return cast(TemplateResponse, super().get(request, *args, **kwargs)).render()
            except BadRequest as error:
                context = {"title": self.heading(), "reason": str(error)}
                return TemplateResponse(request, "console/bad_request.html", context, status=400).render()


class ChartView(Guarded, ABC):
    """A chart at an address with an extension: ``json`` for pages, ``png`` and ``svg`` for download.

    ``theme`` in the query is ``light`` or ``dark``. A subclass says what is drawn.
    """

    @abstractmethod
    def chart(self, theme: Theme) -> Chart:
        """Return the chart that the request asks for; raises BadRequest, and Http404 if there is nothing to draw."""

    def get(self, request: HttpRequest, extension: str, **kwargs: Any) -> HttpResponse:
        theme = THEMES.get(request.GET.get("theme", LIGHT.name))
        if theme is None:
            return HttpResponseBadRequest(f"theme must be one of {', '.join(THEMES)}.\n", content_type="text/plain")
        if extension not in ("json", "png", "svg"):
            raise Http404
        # Imported here, since the import is slow and few processes draw.
        from altair.utils.schemapi import debug_mode

        # Without validating each part against Vega-Lite's schema; the tests do that.
        with debug_mode(False):
            try:
                with snapshot():
                    chart = self.chart(theme)
            except BadRequest as error:
                return HttpResponseBadRequest(f"{error}\n", content_type="text/plain; charset=utf-8")
            if extension == "json":
                return JsonResponse(chart.for_page())
            picture = PICTURES[extension]
            return HttpResponse(
                picture.draw(chart),
                content_type=picture.media_type,
                headers={"Content-Disposition": f'attachment; filename="{chart.name}.{extension}"'},
            )
