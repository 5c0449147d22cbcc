"""Every address of the site."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

handler400 = "network_analysis.errors.bad_request"
handler500 = "network_analysis.errors.server_error"

admin.autodiscover()

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="api-root"), name="home"),
    path("admin/", admin.site.urls),
    path("api/", include("kpis.api.urls")),
    path("", include("kpis.health.urls")),
]
