"""The addresses of the pages."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from kpis.dashboard.views.overview import Overview
from kpis.dashboard.views.style import style

urlpatterns = [
    path("", Overview.as_view(), name="overview"),
    path("style.css", style, name="style"),
    path(
        "login/",
        LoginView.as_view(template_name="dashboard/login.html", extra_context={"title": "Log in"}),
        name="login",
    ),
    path("logout/", LogoutView.as_view(), name="logout"),
]
