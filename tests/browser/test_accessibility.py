"""axe-core on every page, in both themes, on a screen and on a phone.

``LONG=1`` tries each theme on both; else the light one is seen on a screen and the dark one on a phone.
"""

from __future__ import annotations

import itertools

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.conftest import log_in, wait_for_charts, watched_page
from tests.browser.pages import LOOKS, SIZES, THEMES
from tests.effort import LONG

PAIRS = list(itertools.product(SIZES, THEMES)) if LONG else list(zip(SIZES, THEMES, strict=True))


@pytest.mark.parametrize(("size", "theme"), PAIRS)
def test_no_page_has_a_serious_accessibility_fault(chromium, site, size, theme):
    axe, found = Axe(), {}
    width, height = SIZES[size]
    viewport = {"width": width, "height": height}
    with watched_page(chromium, site, viewport=viewport, color_scheme=theme) as page:
        for look in sorted(LOOKS, key=lambda look: look.personal):
            if look.personal and not page.context.cookies():
                log_in(page)
            page.goto(look.address)
            wait_for_charts(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{look.name} is too wide"
            violations = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
            serious = [one for one in violations if one["impact"] in ("serious", "critical")]
            if serious:
                found[look.name] = [
                    (one["id"], node["target"], node["failureSummary"]) for one in serious for node in one["nodes"]
                ]
    assert found == {}
