"""The API's URL patterns."""

from django.urls import path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.routers import DefaultRouter

from kpis.api.views import MissingView, RootView
from kpis.api.viewsets import (
    BatchViewSet,
    CatalogViewSet,
    RejectViewSet,
    SummaryViewSet,
    anomaly_viewset,
    result_viewset,
    v1_viewset,
)
from kpis.catalog.builtin.ipflow import CELL_UNIQUE_USERS, SERVICE_TRAFFIC_VOLUME
from kpis.catalog.registry import KPIS

# The names of two KPIs in version 1.
V1_NAMES = {"services-kpis": SERVICE_TRAFFIC_VOLUME, "cell-kpis": CELL_UNIQUE_USERS}


class Router(DefaultRouter):
    """A router with one address for a list, in all formats."""

    include_format_suffixes = False
    APIRootView = RootView


router = Router()
router.register("KPIs", CatalogViewSet, basename="kpi")
for kpi in KPIS.values():
    router.register(f"KPIs/{kpi.id}", result_viewset(kpi), basename=f"kpi-{kpi.id}")
    router.register(f"KPIs/{kpi.id}/anomalies", anomaly_viewset(kpi), basename=f"kpi-{kpi.id}-anomalies")
router.register("intervals", SummaryViewSet, basename="interval")
router.register("batches", BatchViewSet, basename="batch")
router.register(r"batches/(?P<batch_id>[0-9]+)/rejects", RejectViewSet, basename="batch-reject")
for name, kpi in V1_NAMES.items():
    router.register(f"v1/{name}", v1_viewset(kpi, name), basename=f"v1-{name}")

urlpatterns = [
    *router.urls,
    path("schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="api-schema"), name="api-docs"),
    # Ends in a slash, so that Django still appends one to an address that exists without it.
    re_path(r"^[\s\S]+/$", MissingView.as_view()),
]
