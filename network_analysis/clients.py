"""Who asks: a client's address, the same for throttling and for logins."""

from __future__ import annotations

from django.http import HttpRequest
from rest_framework.throttling import BaseThrottle


def address(request: HttpRequest) -> str:
    """The client's address; behind PROXIES proxies the one that the outermost of them saw."""
    return BaseThrottle().get_ident(request)
