"""All pages share the login, the menu, the colours, and the script that draws charts."""

from __future__ import annotations

import re

import pytest
from django.contrib.staticfiles import finders

from kpis.catalog.builtin.coverage import OPERATOR_GPS_PRECISION
from kpis.catalog.registry import KPIS
from kpis.console.navigation import menu, title_of
from kpis.console.theme import THEMES
from kpis.console.vega import BUNDLE, COMPRESSED, bundle_folder
from tests.factories import make_user

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_alone]


def test_a_private_site_sends_people_to_the_login_and_back(client, settings):
    settings.API_PUBLIC = False
    make_user()
    response = client.get("/?x=1")
    assert (response.status_code, response.headers["Location"]) == (302, "/login/?next=/%3Fx%3D1")
    wrong = client.post("/login/", {"username": "analyst", "password": "guess", "next": "/?x=1"})
    assert "Wrong name or password." in wrong.content.decode()
    sent = client.post("/login/", {"username": "analyst", "password": "correct horse", "next": "/?x=1"})
    assert (sent.status_code, sent.headers["Location"]) == (302, "/?x=1")
    assert client.get("/?x=1").status_code == 200
    assert client.post("/logout/").headers["Location"] == "/"
    assert client.get("/").status_code == 302


def test_the_login_leads_to_no_other_site(client):
    make_user()
    sent = client.post(
        "/login/", {"username": "analyst", "password": "correct horse", "next": "https://elsewhere.example/"}
    )
    assert sent.headers["Location"] == "/"


def test_a_login_without_staff_is_enough_for_pages(client, settings):
    settings.API_PUBLIC = False
    client.force_login(make_user())
    page = client.get("/").content.decode()
    assert "analyst" in page
    assert 'href="/admin/"' not in page


def test_a_forbidden_page_names_the_missing_permission(client):
    client.force_login(make_user())
    response = client.get("/kpis/5/")
    assert response.status_code == 403
    assert "your account lacks kpis.view_personal" in response.content.decode()


@pytest.mark.parametrize("address", ["/", "/kpis/1/", "/operators/", "/standouts/", "/kpis/1/series.json"])
def test_pages_have_the_apis_rate(client, settings, address):
    settings.ANONYMOUS_RATE = "1/min"
    client.get("/api/")
    response = client.get(address)
    assert response.status_code == 429
    assert 0 < int(response.headers["Retry-After"]) <= 60


def test_no_page_is_kept_for_others(client):
    headers = client.get("/").headers
    assert headers["Cache-Control"] == "private, no-cache"
    assert "Cookie" in headers["Vary"]


def test_the_menu_has_every_kpi_and_marks_where_one_is(rf):
    links = menu(make_user(), "/kpis/8/")["KPIs"]
    assert [link.address for link in links] == [f"/kpis/{kpi.id}/" for kpi in KPIS.values() if not kpi.personal]
    assert [link.title for link in links if link.current] == ["Operator GPS precision"]


def test_a_kpis_title_is_its_name_in_words():
    assert title_of(OPERATOR_GPS_PRECISION) == "Operator GPS precision"
    assert [title_of(KPIS[number]) for number in (1, 6, 9)] == [
        "Service traffic volume",
        "User quota exceeded",
        "Postal code status",
    ]


def test_the_stylesheet_has_the_colours_of_both_themes(client, settings):
    settings.API_PUBLIC = False
    style = client.get("/style.css").content.decode()
    light, dark = THEMES["light"], THEMES["dark"]
    assert re.search(rf":root\[data-theme=light\]{{color-scheme:light;.*--accent:{light.accent};", style)
    assert re.search(rf":root\[data-theme=dark\]{{color-scheme:dark;.*--accent:{dark.accent};", style)
    assert "@media (prefers-color-scheme:dark){:root:not([data-theme=light]){" in style


def luminance(colour: str) -> float:
    """As WCAG 2.2 defines it (https://www.w3.org/TR/WCAG22/#dfn-relative-luminance)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
@pytest.mark.parametrize(
    ("text", "ground", "least"),
    [
        ("ink", "ground", 7), ("ink", "surface", 7), ("ink", "raised", 7), ("ink", "wash", 7),
        ("muted", "ground", 4.5), ("muted", "surface", 4.5), ("muted", "raised", 4.5),
        ("accent", "surface", 4.5), ("accent", "ground", 4.5), ("accent", "wash", 4.5), ("surface", "accent", 4.5),
        ("good", "raised", 4.5), ("bad", "bad_wash", 4.5), ("warn", "warn_wash", 4.5), ("bad", "surface", 4.5),
    ],
)  # fmt: skip
def test_text_stands_out_from_what_is_behind_it(theme, text, ground, least):
    assert contrast(getattr(theme, text), getattr(theme, ground)) >= least


def test_the_script_that_draws_charts_is_made_of_the_installed_package(settings, tmp_path):
    settings.BUILT_DIR = tmp_path / "built"
    bundle_folder.cache_clear()
    try:
        path = tmp_path / "built" / BUNDLE
        assert finders.find(BUNDLE) == str(path)
        assert "vegaEmbed" in path.read_text()
        assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.name}.gz"]
    finally:
        bundle_folder.cache_clear()


def test_the_script_is_sent_compressed_and_for_long(client):
    response = client.get(f"/static/{BUNDLE}", headers={"Accept-Encoding": "gzip"})
    body = b"".join(response.streaming_content)
    response.close()
    assert response.headers["Content-Encoding"] == "gzip"
    assert "immutable" in response.headers["Cache-Control"]
    assert len(body) < 350_000
    assert finders.find(COMPRESSED)


def test_a_page_loads_nothing_from_elsewhere(client):
    page = client.get("/").content.decode()
    loaded = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="([^"]+)"', page)
    assert f"/static/{BUNDLE}" in loaded
    assert [address for address in loaded if not address.startswith("/")] == []
