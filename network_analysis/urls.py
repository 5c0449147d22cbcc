"""The site's URL patterns."""

from django.contrib import admin
from django.urls import include, path

handler400 = "network_analysis.errors.bad_request"
handler403 = "kpis.console.access.forbidden"
handler500 = "network_analysis.errors.server_error"

admin.autodiscover()

urlpatterns = [
    path("", include("kpis.console.urls")),
    path("admin/", admin.site.urls),
    path("api/", include("kpis.api.urls")),
    path("", include("kpis.health.urls")),
]
