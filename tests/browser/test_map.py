"""The map as its users work with it: the slider by keyboard, and a region that is pointed at."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import wait_for_charts

SPAN = "from=2021-07-18T00:00Z&to=2021-07-18T02:00Z"


def drawn_of(page: Page) -> str:
    """The drawn map's description for screen readers."""
    return page.locator("#map-figure [role=graphics-document]").get_attribute("aria-label")


def calls(page: Page, step: int) -> dict[str, int]:
    """The calls by county in the step's interval, from the API."""
    minutes = 5 * step
    start = f"2021-07-18T{minutes // 60:02}:{minutes % 60:02}:00Z"
    rows = page.request.get(f"/api/KPIs/10/?interval=1&interval_start_timestamp={start}").json()
    return {row["county"]: row["number_of_calls"] for row in rows}


def shown(page: Page) -> dict[str, int]:
    """The table's rows that have a figure."""
    rows = page.locator("#shown tbody tr")
    cells = [row.split("\t") for row in rows.all_inner_texts()]
    return {name.strip(): int(figure.replace(",", "")) for name, figure, *_ in cells if "no data" not in figure}


def test_the_slider_moves_by_keyboard_and_table_and_map_follow(page):
    page.goto(f"/map/?{SPAN}&at=2021-07-18T00:05Z")
    wait_for_charts(page)
    assert shown(page) == calls(page, 1) != {}
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#shown .facts dt").first).to_have_text("18 Jul 2021, 00:15 to 00:20")
    expect(page.locator("output")).to_have_text("18 Jul 2021, 00:15")
    expect(slider).to_be_focused()
    assert slider.get_attribute("aria-valuetext") == "18 Jul 2021, 00:15"
    assert shown(page) == calls(page, 3) != calls(page, 1)
    wait_for_charts(page)
    expect(page.locator("#map-figure [role=graphics-document]")).to_have_count(1)
    assert "18 Jul 2021, 00:15 to 00:20" in drawn_of(page)
    page.keyboard.press("Home")
    expect(page.locator("#shown .facts dt").first).to_have_text("18 Jul 2021, 00:00 to 00:05")
    # The address is that of what is shown.
    page.reload()
    wait_for_charts(page)
    assert page.locator("output").inner_text() == "18 Jul 2021, 00:00"
    assert "18 Jul 2021, 00:00 to 00:05" in drawn_of(page)


def test_a_region_says_its_number_when_it_is_pointed_at_and_is_outlined_with_its_row(page):
    page.goto(f"/map/?{SPAN}&at=2021-07-18T00:05Z")
    wait_for_charts(page)
    wanted = calls(page, 1)["Los Angeles"]
    outlines = page.locator("#map-figure .mark-shape path[stroke-width='2.5']")
    expect(outlines).to_have_count(0)
    page.get_by_role("link", name="Los Angeles", exact=True).focus()
    expect(outlines).to_have_count(1)
    outlines.scroll_into_view_if_needed()
    box = outlines.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3, steps=20)
    page.mouse.move(box["x"] + box["width"] / 2 + 3, box["y"] + box["height"] / 3)
    tooltip = page.locator("#vg-tooltip-element")
    expect(tooltip).to_contain_text("Los Angeles")
    expect(tooltip).to_contain_text(f"{wanted:,} calls")


def test_a_region_is_chosen_for_the_signal(page):
    page.goto("/map/?layer=signal&interval=2")
    wait_for_charts(page)
    page.get_by_label("Region").select_option("Los Angeles")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", name="Signal by place: Los Angeles")).to_be_visible()
    wait_for_charts(page)
    cells = page.request.get("/api/KPIs/12/?interval=2&interval_start_timestamp=2021-07-18T01:00:00Z").json()
    averages = {row["grid_cell"].replace(",", ", "): row["average_signal"] for row in cells}
    rows = [row.split("\t") for row in page.locator("#shown tbody tr").all_inner_texts()]
    assert rows
    for name, average, *_ in rows:
        assert f"{averages[name.strip()]:.2f}" == average.strip()
