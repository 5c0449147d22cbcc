"""The limits of requests per client; the rates are settings, and None is no limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.throttling import AnonRateThrottle, UserRateThrottle

if TYPE_CHECKING:
    # The settings import this module by name, and the views after that.
    from rest_framework.request import Request
    from rest_framework.views import APIView


class AnonymousThrottle(AnonRateThrottle):
    """ANONYMOUS_RATE for each address, for requests without an account."""

    def get_rate(self) -> str | None:
        return settings.ANONYMOUS_RATE


class AccountThrottle(UserRateThrottle):
    """USER_RATE for each account."""

    def get_rate(self) -> str | None:
        return settings.USER_RATE

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        return super().get_cache_key(request, view) if request.user.is_authenticated else None
