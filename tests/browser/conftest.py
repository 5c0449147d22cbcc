"""One server and one browser for all tests here; each test has a fresh profile, and is held to a clean console."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.chromium import CHROMIUM
from tests.browser.site import ANALYST, PASSWORD, Site, running_site

# No page takes so long (ms), also on a machine that has other things to do.
PATIENCE = 60_000
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="package")
def site(tmp_path_factory, django_db_blocker) -> Iterator[Site]:
    """A server with two hours of sample data of all feeds."""
    if CHROMIUM is None:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail("REQUIRE_SERVICES=1, but there is no Chromium.")
        pytest.skip("needs Chromium (Debian's package chromium)")
    with django_db_blocker.unblock(), running_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="package")
def chromium(site) -> Iterator[Browser]:
    """The browser. It starts after the site: as long as it runs, Django's ORM refuses to work in this thread."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def watched_page(chromium: Browser, site: Site, **profile) -> Iterator[Page]:
    """A page of a fresh profile; fails if anything goes to the console as an error, or to another host."""
    faults = []

    def note_request(request):
        if not request.url.startswith((site.origin, "data:", "blob:")):
            faults.append(f"a request to {request.url}")

    def note_message(message):
        if message.type in ("error", "warning"):
            faults.append(f"on the console of {page.url}: {message.text}")

    context = chromium.new_context(base_url=site.origin, timezone_id="Asia/Tokyo", **profile)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("request", note_request)
    page.on("console", note_message)
    page.on("pageerror", lambda error: faults.append(f"an error on {page.url}: {error}"))
    try:
        yield page
    finally:
        context.close()
    assert faults == []


@pytest.fixture
def page(chromium, site) -> Iterator[Page]:
    """A page of somebody without an account."""
    with watched_page(chromium, site, viewport={"width": 1440, "height": 900}) as page:
        yield page


def log_in(page: Page) -> None:
    """Logs in as the analyst, who may see everything."""
    page.goto("/login/")
    page.get_by_label("Name").fill(ANALYST)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")


@pytest.fixture
def analyst_page(page) -> Page:
    """A page of an analyst who may see everything."""
    log_in(page)
    return page


def wait_for_charts(page: Page) -> None:
    """Until every chart and part of the page is there."""
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
