"""What browsers may do with the site's pages."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin


class ContentSecurityPolicyMiddleware(MiddlewareMixin):
    """Says CONTENT_SECURITY_POLICY with every response; it is the same for all of them."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response.headers["Content-Security-Policy"] = settings.CONTENT_SECURITY_POLICY
        return response
