"""Responses to requests that fail as a whole: without internals, and as JSON in the API."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views import defaults
from rest_framework import exceptions

_API = "/api/"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return the response to a malformed request."""
    answer = exceptions.bad_request if request.path.startswith(_API) else defaults.bad_request
    return answer(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Return the response to an internal error; the traceback is in the log."""
    answer = exceptions.server_error if request.path.startswith(_API) else defaults.server_error
    return answer(request)
