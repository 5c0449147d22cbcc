"""The pages' URL patterns."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from kpis.console.plugin_pages import plugin_patterns
from kpis.console.views.explain import Explain
from kpis.console.views.kpi import GroupList, KPIPage, RowsFile, SeriesChart, TopChart
from kpis.console.views.live import LiveChart, LivePage
from kpis.console.views.map import MapChart, MapPage
from kpis.console.views.operators import OperatorChart, OperatorsPage
from kpis.console.views.overview import Overview, StandoutList
from kpis.console.views.quality import Quality
from kpis.console.views.quotas import QuotaChart, QuotasPage
from kpis.console.views.style import style

urlpatterns = [
    path("", Overview.as_view(), name="overview"),
    path("standouts/", StandoutList.as_view(), name="standouts"),
    path("style.css", style, name="style"),
    path(
        "login/",
        LoginView.as_view(template_name="console/login.html", extra_context={"title": "Log in"}),
        name="login",
    ),
    path("kpis/<int:kpi_id>/", KPIPage.as_view(), name="kpi"),
    path("kpis/<int:kpi_id>/series.<str:extension>", SeriesChart.as_view(), name="kpi-series"),
    path("kpis/<int:kpi_id>/top.<str:extension>", TopChart.as_view(), name="kpi-top"),
    path("kpis/<int:kpi_id>/rows.<str:extension>", RowsFile.as_view(), name="kpi-rows"),
    path("kpis/<int:kpi_id>/groups/", GroupList.as_view(), name="kpi-groups"),
    path("live/", LivePage.as_view(), name="live"),
    path("live/<str:name>.json", LiveChart.as_view(), {"extension": "json"}, name="live-chart"),
    path("operators/", OperatorsPage.as_view(), name="operators"),
    path("operators/<int:kpi_id>/<str:kind>.<str:extension>", OperatorChart.as_view(), name="operator-chart"),
    path("explain/", Explain.as_view(), name="explain"),
    path("map/", MapPage.as_view(), name="map"),
    path("map/<str:layer>.<str:extension>", MapChart.as_view(), name="map-chart"),
    path("quality/", Quality.as_view(), name="quality"),
    path("quotas/", QuotasPage.as_view(), name="quotas"),
    path("quotas/hours.<str:extension>", QuotaChart.as_view(), name="quota-chart"),
    path("logout/", LogoutView.as_view(), name="logout"),
    *plugin_patterns(),
]
