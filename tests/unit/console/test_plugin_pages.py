"""Pages of plug-ins are guarded as the console's own are, and are in the menu of those who may see them."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from kpis.console import plugin_pages
from kpis.console.navigation import pages
from kpis.plugins.plugin import Page, Plugin

PAGES = (Page("Cells", "", "a.b:cells"), Page("Phones", "phones/all/", "a.b:phones", personal=True))


def shown(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"shown by {request.method}")


@pytest.fixture
def patterns(monkeypatch):
    """The URL patterns of a plug-in's two pages, by name."""
    plugin = Plugin(name="trial", description="", hooks=1, pages=PAGES)
    monkeypatch.setattr("kpis.console.plugin_pages.PLUGINS", {"trial": plugin})
    monkeypatch.setattr("kpis.console.navigation.PLUGINS", {"trial": plugin})
    monkeypatch.setattr(plugin_pages, "resolve", lambda place: shown)
    return {pattern.name: pattern for pattern in plugin_pages.plugin_patterns()}


def answer(pattern, rf, user, method="get"):
    request = getattr(rf, method)(f"/{pattern.pattern}")
    request.user = user
    return pattern.callback(request)


def test_each_page_has_an_address_and_an_entry_in_the_menu(patterns):
    assert {name: f"/{pattern.pattern}" for name, pattern in patterns.items()} == {
        "plugin-trial/": "/plugins/trial/",
        "plugin-trial/phones/all/": "/plugins/trial/phones/all/",
    }
    assert [(page.title, page.name, page.personal) for page in list(pages())[-2:]] == [
        ("Cells", "plugin-trial/", False),
        ("Phones", "plugin-trial/phones/all/", True),
    ]


@pytest.mark.django_db
@pytest.mark.sqlite_alone
def test_readers_of_aggregates_see_a_page(patterns, rf, settings):
    page = patterns["plugin-trial/"]
    found = answer(page, rf, AnonymousUser())
    assert (found.status_code, found.content) == (200, b"shown by GET")
    assert found.headers["Cache-Control"] == "private, no-cache"
    assert answer(page, rf, AnonymousUser(), "post").content == b"shown by POST"
    settings.API_PUBLIC = False
    refused = answer(page, rf, AnonymousUser())
    assert (refused.status_code, refused.url) == (302, "/login/?next=/plugins/trial/")
    assert answer(page, rf, User.objects.create_user("reader")).status_code == 200


@pytest.mark.django_db
@pytest.mark.sqlite_alone
def test_a_personal_page_needs_the_permission(patterns, rf):
    page = patterns["plugin-trial/phones/all/"]
    refused = answer(page, rf, AnonymousUser())
    assert (refused.status_code, refused.url) == (302, "/login/?next=/plugins/trial/phones/all/")
    user = User.objects.create_user("reader")
    with pytest.raises(PermissionDenied):
        answer(page, rf, user)
    user.user_permissions.add(Permission.objects.get(codename="view_personal"))
    assert answer(page, rf, User.objects.get(pk=user.pk)).content == b"shown by GET"
