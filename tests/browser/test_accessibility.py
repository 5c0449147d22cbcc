"""axe-core on every page, in both themes, on a screen and on a phone."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.conftest import log_in, wait_for_charts, watched_page
from tests.browser.pages import LOOKS, SIZES, THEMES


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_no_page_has_a_serious_accessibility_fault(chromium, site, size, theme):
    axe, found = Axe(), {}
    viewport = {"width": size[0], "height": size[1]}
    with watched_page(chromium, site, viewport=viewport, color_scheme=theme) as page:
        for look in sorted(LOOKS, key=lambda look: look.personal):
            if look.personal and not page.context.cookies():
                log_in(page)
            page.goto(look.address)
            wait_for_charts(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0], f"{look.name} is too wide"
            violations = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
            serious = [one for one in violations if one["impact"] in ("serious", "critical")]
            if serious:
                found[look.name] = [
                    (one["id"], node["target"], node["failureSummary"]) for one in serious for node in one["nodes"]
                ]
    assert found == {}
