"""The views for probes and Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from prometheus_client import exposition
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from kpis.health import state
from kpis.health.metrics import REGISTRY


class FirstRenderer(BaseContentNegotiation):
    """Content negotiation that always selects the first renderer."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, first.media_type


class HealthView(APIView):
    """The health check: 200 if all is well, else 503. Details are shown to those who may read the aggregates."""

    schema = None
    renderer_classes = [JSONRenderer]
    content_negotiation_class = FirstRenderer
    permission_classes = []
    throttle_classes = []

    def perform_authentication(self, request: Request) -> None:
        """Skip it unless an account is needed, so that a probe is answered without the database too."""

    @method_decorator(never_cache)
    def get(self, request: Request) -> Response:
        now = state.current()
        answer: dict[str, Any] = {"status": "ok" if now.ok else "failing"}
        if settings.API_PUBLIC or (now.database and request.user.is_authenticated):
            answer |= {"database": now.database, "lake": now.lake, "fresh": now.fresh, "newest_interval_age": now.ages}
        return Response(answer, 200 if now.ok else 503)


class MetricsView(APIView):
    """The metrics, in the format that the scraper prefers; open to those who may read the aggregates."""

    schema = None
    renderer_classes = [JSONRenderer]
    content_negotiation_class = FirstRenderer

    @method_decorator(never_cache)
    def get(self, request: Request) -> HttpResponse:
        encode, content_type = exposition.choose_encoder(request.headers.get("Accept", ""))
        try:
            return HttpResponse(encode(REGISTRY), content_type=content_type)
        except DatabaseError:
            connection.close()
            return HttpResponse("The database does not answer.\n", content_type="text/plain", status=503)
