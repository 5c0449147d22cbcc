"""The address of a client, the same for throttling and for logins."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.http import HttpRequest
from rest_framework.throttling import BaseThrottle

if TYPE_CHECKING:
    from rest_framework.request import Request


def address(request: HttpRequest) -> str:
    """Return the client's address; behind PROXIES proxies, the one that the outermost of them saw."""
    # Only META is read, which Django's requests have as well as REST framework's.
    return BaseThrottle().get_ident(cast("Request", request))
