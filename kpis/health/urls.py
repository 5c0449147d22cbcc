"""The addresses of the health checks and metrics."""

from django.urls import path

from kpis.health.views import HealthView, MetricsView

urlpatterns = [
    path("healthz", HealthView.as_view(), name="healthz"),
    path("metrics", MetricsView.as_view(), name="metrics"),
]
