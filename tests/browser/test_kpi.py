"""One KPI as a user looks at it: zooming, choosing a group, turning the table's pages, and taking the rows away."""

from __future__ import annotations

import csv
import re

import duckdb
from playwright.sync_api import Page, expect

from kpis.console.theme import DARK, LIGHT
from tests.browser.conftest import wait_for_charts


def api_rows(page: Page, address: str) -> list[dict]:
    """All rows of a call of the API, page by page."""
    rows = []
    while address:
        response = page.request.get(address)
        rows += response.json()
        following = re.search(r'<([^>]+)>; rel="next"', response.headers.get("link", ""))
        address = following[1] if following else ""
    return rows


def plot_box(page: Page) -> dict:
    """Where the first chart's plot is on the screen, without its axes."""
    return page.locator(
        "[data-zooms] svg .mark-rect.role-mark.layer_0_marks, [data-zooms] svg .background"
    ).first.bounding_box()


def test_a_kpi_is_picked_from_the_menu(page):
    page.goto("/")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="County call volume").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("County call volume")
    wait_for_charts(page)
    expect(page.locator("[data-zooms] svg")).to_be_visible()
    expect(page.get_by_text("18 Jul 2021, 00:00 to 02:05 (UTC), per 5 minutes")).to_be_visible()


def test_a_brushed_span_becomes_the_span_of_everything(page):
    page.goto("/kpis/10/")
    wait_for_charts(page)
    box = plot_box(page)
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.25, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, middle, steps=5)
    page.mouse.up()
    page.wait_for_url("**/kpis/10/?*from=2021-07-18T00%3A3*")
    wait_for_charts(page)
    note = page.locator("#over-time + .note")
    expect(note).to_have_text(re.compile(r"18 Jul 2021, 00:3[0-5] to 01:0[05] \(UTC\), per 5 minutes"))
    # The figures are those of the API for the new span.
    address = page.get_by_role("link", name="The API call behind this").get_attribute("href")
    starts = {row["interval_start_timestamp"] for row in api_rows(page, address)}
    table = page.locator("#times-table tbody tr")
    expect(table).to_have_count(len(starts))
    # The same address gives the same picture, and the way back leads back.
    shown = note.inner_text()
    page.reload()
    expect(note).to_have_text(shown)
    page.go_back()
    expect(note).to_have_text("18 Jul 2021, 00:00 to 02:05 (UTC), per 5 minutes")


def test_a_chart_that_comes_after_another_was_asked_for_is_not_drawn(page):
    """Drawn into a place that is gone it would have no size, of which the charts' library complains."""
    held = []
    page.route("**/top.json?*", lambda route: held.append(route), times=1)
    with page.expect_request("**/top.json?*"):
        page.goto("/kpis/10/")
    page.locator("#groups-table tbody th a").first.click()
    expect(page.locator("#over-time")).to_contain_text(" over time")
    address = page.url
    with page.expect_response(held[0].request.url):
        held[0].continue_()
    # By the time that others are drawn, that one would be too.
    page.locator("#groups-table tbody th a").nth(1).click()
    expect(page).not_to_have_url(address)
    wait_for_charts(page)


def test_a_click_on_the_chart_lists_that_interval(page):
    page.goto("/kpis/10/?from=2021-07-18T00:00Z&to=2021-07-18T01:00Z")
    wait_for_charts(page)
    box = plot_box(page)
    # The fourth of twelve intervals.
    page.mouse.click(box["x"] + box["width"] * 3.5 / 12, box["y"] + box["height"] / 2)
    expect(page.locator("#in-interval")).to_have_text("18 Jul 2021, 00:15 to 00:20")
    assert "at=2021-07-18T00%3A15" in page.url


def test_a_group_is_found_and_shown(page):
    page.goto("/kpis/10/")
    page.locator("#picker-summary").click()
    page.get_by_label("Search").fill("sant")
    found = page.locator("#found li")
    expect(found.first).to_have_text("Santa Clara")
    expect(page.locator("#found")).to_contain_text("found")
    assert all("Sant" in name for name in found.all_inner_texts())
    found.first.get_by_role("link").click()
    expect(page.locator("#over-time")).to_have_text("Santa Clara over time")
    assert "county=Santa+Clara" in page.url
    wait_for_charts(page)
    expect(page.locator(".chosen th").first).to_have_text("Santa Clara")
    expect(page.locator("#announcer")).to_contain_text("Santa Clara")


def test_the_picker_works_with_keys_alone(page):
    page.goto("/kpis/4/")
    page.locator("#picker-summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("details.picker")).not_to_have_attribute("open", "")
    expect(page.locator("#picker-summary")).to_be_focused()


def test_tables_sort_and_turn_their_pages_in_place(page):
    page.goto("/kpis/10/")
    wait_for_charts(page)
    rows = page.locator("#groups-table tbody tr")
    expect(rows).to_have_count(20)
    address = page.get_by_role("link", name="The API call behind this").get_attribute("href")
    newest = max(row["interval_start_timestamp"] for row in api_rows(page, address))
    groups = [row for row in api_rows(page, address) if row["interval_start_timestamp"] == newest]
    counties = [row["county"] for row in sorted(groups, key=lambda row: row["rank"])]
    assert rows.locator("th").all_inner_texts() == counties[:20]
    page.locator("#groups-next").click()
    expect(rows.first.locator("th")).to_have_text(counties[20])
    assert rows.locator("th").all_inner_texts() == counties[20:40]
    expect(page.locator("#announcer")).to_contain_text("rows 21 to 40")
    page.locator("#groups-by-county").click()
    expect(rows.first.locator("th")).to_have_text(sorted(counties)[0])
    assert "groups_sort=county" in page.url
    expect(page.locator("#groups-by-county")).to_be_focused()
    expect(page.locator("#groups-table th[aria-sort=ascending]")).to_have_text("County")


def test_csv_and_parquet_have_the_rows_of_the_api(page, tmp_path):
    page.goto("/kpis/11/?from=2021-07-18T00:00Z&to=2021-07-18T01:00Z&interval=1&operator=Poppy&call_type=CALL")
    address = page.get_by_role("link", name="The API call behind this").get_attribute("href")
    rows = api_rows(page, address)
    assert len(rows) == 12
    for name in ("CSV", "Parquet"):
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        download.value.save_as(tmp_path / name)
        assert download.value.suggested_filename == (
            f"OperatorCallVolume_Poppy--CALL_2021-07-18-0000_2021-07-18-0100_UTC.{name.lower()}"
        )
    with (tmp_path / "CSV").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{name: str(value) for name, value in row.items()} for row in rows]
    with duckdb.connect() as connection:
        taken = connection.execute(
            "SELECT id, number_of_calls, market_share FROM read_parquet(?) ORDER BY interval_start_timestamp",
            [str(tmp_path / "Parquet")],
        ).fetchall()
    assert taken == [(row["id"], row["number_of_calls"], row["market_share"]) for row in rows]


def test_pictures_are_downloaded_in_the_colours_of_the_page(page, tmp_path):
    page.emulate_media(color_scheme="dark")
    page.goto("/kpis/1/")
    wait_for_charts(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="SVG").first.click()
    download.value.save_as(tmp_path / "chart.svg")
    drawn = (tmp_path / "chart.svg").read_text()
    assert DARK.surface in drawn
    assert "(UTC)" in drawn


def test_colours_follow_the_screen_and_the_choice(page):
    def expect_accent(colour: str) -> None:
        expect(page.locator("[data-zooms] svg .mark-line path")).to_have_attribute("stroke", colour)
        expect(page.get_by_role("button", name="Show")).to_have_css("background-color", f"rgb{_rgb(colour)}")

    page.goto("/kpis/1/")
    expect_accent(LIGHT.accent)
    page.get_by_label("Colours").select_option("Dark")
    expect_accent(DARK.accent)
    page.goto("/kpis/2/")
    expect_accent(DARK.accent)
    page.get_by_label("Colours").select_option("Auto")
    expect_accent(LIGHT.accent)
    page.emulate_media(color_scheme="dark")
    expect_accent(DARK.accent)


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5))


def test_the_overview_leads_to_what_stands_out(page):
    page.goto("/")
    table = page.get_by_role("region", name="Anomalies in the newest hour")
    first = table.get_by_role("row").nth(1)
    group = first.get_by_role("rowheader").inner_text()
    first.get_by_role("rowheader").get_by_role("link").click()
    expect(page.locator("#over-time")).to_have_text(f"{group} over time")


def test_times_are_those_of_the_site_whatever_the_browsers_zone(page):
    """The browser is in Tokyo."""
    page.goto("/kpis/10/?from=2021-07-18T00:00Z&to=2021-07-18T00:10Z")
    wait_for_charts(page)
    labels = page.locator("[data-zooms] svg .role-axis-label text").all_text_contents()
    assert labels[0].startswith("00:00")
    box = plot_box(page)
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 2)
    expect(page.locator("#vg-tooltip-element")).to_contain_text("18 Jul 2021, 00:05 to 00:10")


def test_the_menu_opens_on_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/")
    link = page.get_by_role("link", name="Operators", exact=True)
    expect(link).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    link.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Operators")


def test_the_first_tab_skips_to_the_content(page):
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_an_analyst_sees_single_subscribers(analyst_page):
    analyst_page.get_by_role("link", name="User traffic volume").first.click()
    expect(analyst_page.get_by_role("heading", level=1)).to_have_text("User traffic volume")
    wait_for_charts(analyst_page)
    expect(analyst_page.locator("[data-chart] svg")).to_have_count(2)
