"""From a figure to the query that gives it, and to the same figure again."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import wait_for_charts


def answer(site, query: str) -> list[dict]:
    """The command's answer to a query that was read from a page."""
    ended = site.place.run("query_lake", query, "--format", "json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


def plain(text: str) -> int:
    return int("".join(c for c in text if c.isdigit()))


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/kpis/2/?interval=2", "number_of_unique_users"),
        ("/map/?interval=2", "number_of_calls"),
    ],
)
def test_a_number_of_a_page_is_explained_and_computed_again_from_the_lake(page, site, address, name):
    page.goto(address)
    wait_for_charts(page)
    row = page.locator("tbody tr").first
    figure = plain(row.locator("td.number").filter(has_text="0").or_(row.locator("td.number")).nth(-2).inner_text())
    row.get_by_role("link", name="Explain").click()
    expect(page.get_by_role("heading", name="Explain this number")).to_be_visible()
    assert plain(page.locator("dd.figure").inner_text()) == figure
    (found,) = answer(site, page.locator("#sql").inner_text())
    assert found[name] == figure
    records = page.locator("#batches + p").inner_text()
    listed = [plain(text) for text in page.locator("section:has(#batches) tbody td:nth-of-type(1)").all_inner_texts()]
    assert sum(listed) == plain(records.partition(" ")[0]) > 0


def test_a_subscribers_usage_is_explained_to_an_analyst(analyst_page, site):
    page = analyst_page
    page.goto("/quotas/")
    wait_for_charts(page)
    page.locator("#hours-table").get_by_role("link", name="Explain").first.click()
    usage = plain(page.locator("dd.figure").inner_text())
    (found,) = answer(site, page.locator("#sql").inner_text())
    assert found["usage"] == usage
    assert found["usage"] > found["quota"] > 0


def test_the_query_is_copied(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/explain/?kpi=7&interval=2&start=2021-07-18T00:00Z")
    page.get_by_role("button", name="Copy the query").click()
    expect(page.locator("#announcer")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#sql").text_content()


def test_where_copying_is_not_allowed_the_text_is_selected(page):
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.goto("/explain/?kpi=7&interval=2&start=2021-07-18T00:00Z")
    page.get_by_role("button", name="Copy the command").click()
    expect(page.locator("#announcer")).to_have_text("Selected: copy it with the keyboard.")
    assert page.evaluate("getSelection().toString().trim()") == page.locator("#command").inner_text().strip()
