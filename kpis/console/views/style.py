"""The themes' colours as a stylesheet, from the same source as those of the charts."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from kpis.console.theme import DARK, FONT, LIGHT, Theme


def _block(selector: str, theme: Theme) -> str:
    properties = "".join(f"{name}:{colour};" for name, colour in theme.properties.items())
    return f"{selector}{{color-scheme:{theme.name};{properties}}}"


STYLE = "\n".join(
    (
        f":root{{--font:{FONT};}}",
        # The second is for the admin, which has another accent.
        _block(":root,:root[data-theme=light]", LIGHT),
        f"@media (prefers-color-scheme:dark){{{_block(':root:not([data-theme=light])', DARK)}}}",
        _block(":root[data-theme=dark]", DARK),
    )
)


@require_safe
@cache_control(public=True, max_age=60)
def style(request: HttpRequest) -> HttpResponse:
    """Return the stylesheet. Needs no permission, as the login page has colours too."""
    return HttpResponse(STYLE, content_type="text/css; charset=utf-8")
