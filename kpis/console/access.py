"""Access to the pages: the rules and request rates of the API."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.views.generic import View

from kpis.query.access import VIEW_PERSONAL, may_view_personal
from kpis.query.throttles import AccountThrottle, AnonymousThrottle


class Guarded(View):
    """A view for readers of the aggregates; with ``is_personal`` it needs ``kpis.view_personal``."""

    personal = False

    def is_personal(self) -> bool:
        """Return True if the requested data is personal."""
        return self.personal

    def missing(self) -> str:
        """Return why the requested data is not there yet; "" if it is."""
        return ""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response: HttpResponseBase = self._refusal(request) or super().dispatch(request, *args, **kwargs)
        patch_cache_control(response, private=True, no_cache=True)
        patch_vary_headers(response, ["Cookie"])
        return response

    def unknown(self, request: HttpRequest) -> HttpResponse:
        """Return the response to a request that needs a login."""
        return HttpResponse("Log in to see this.\n", content_type="text/plain; charset=utf-8", status=401)

    def unavailable(self, request: HttpRequest, reason: str) -> HttpResponse:
        """Return the response to a request of data that is not there yet."""
        return HttpResponse(f"{reason}\n", content_type="text/plain; charset=utf-8", status=503)

    def _refusal(self, request: HttpRequest) -> HttpResponse | None:
        for throttle in (AnonymousThrottle(), AccountThrottle()):
            # They count the requests of Django's views as they do those of the framework's.
            if not throttle.allow_request(cast(Any, request), cast(Any, self)):
                return _too_many(throttle.wait())
        known = request.user.is_authenticated
        personal = self.is_personal()
        if not known and (personal or not settings.API_PUBLIC):
            return self.unknown(request)
        if personal and not may_view_personal(request.user):
            raise PermissionDenied(f"This is about single subscribers, and your account lacks {VIEW_PERSONAL}.")
        if missing := self.missing():
            return self.unavailable(request, missing)
        return None


class GuardedPage(Guarded):
    """A page: an anonymous user is redirected to the login, and back after it."""

    def unknown(self, request: HttpRequest) -> HttpResponse:
        return redirect_to_login(request.get_full_path())

    def unavailable(self, request: HttpRequest, reason: str) -> HttpResponse:
        return render(request, "console/unavailable.html", {"title": "Not applied yet", "reason": reason}, status=503)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return the page for an account that lacks a permission."""
    reason = str(exception) or "Your account lacks the permission for this."
    return render(request, "console/forbidden.html", {"title": "Not for this account", "reason": reason}, status=403)


def _too_many(seconds: float | None) -> HttpResponse:
    response = HttpResponse("Too many requests.\n", content_type="text/plain; charset=utf-8", status=429)
    if seconds is not None:
        response.headers["Retry-After"] = f"{max(1, round(seconds))}"
    return response
