"""What a client is told when a request fails as a whole: nothing of the inside, and JSON where it asked the API."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views import defaults
from rest_framework import exceptions

_API = "/api/"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The answer to a request that cannot be understood."""
    answer = exceptions.bad_request if request.path.startswith(_API) else defaults.bad_request
    return answer(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """The answer where the program failed; the log has the traceback."""
    answer = exceptions.server_error if request.path.startswith(_API) else defaults.server_error
    return answer(request)
