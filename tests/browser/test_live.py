"""The live page: figures that come each second, what it says of its connection, and what it shows of gaps."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.site import running_server, running_stream

# Notes the charts' Vega views, which are not accessible otherwise.
NOTE_VIEWS = """
window.views = {};
document.addEventListener("drawn", function (event) {
  views[event.target.closest("[data-live]").dataset.live] = event.detail;
});
"""
NEWEST = 1_732_537_712  # 2024-11-25T12:28:32Z
SECONDS = 900
# Nothing takes so long (seconds), also on a machine that has other things to do.
PATIENCE = 60
KERN, LOS_ANGELES = "06029", "06037"
NONE, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
NOTHING = {"rate": 0, "lag": None, "delay": None, "consumers": 0}
CALLS = {"rate": 6003.2, "lag": 1200, "delay": 0.9, "consumers": 2}


def series(**counts: int | None) -> list[int | None]:
    """A group's window: what it has in seconds that are so many before the newest (``s3`` is three); else None."""
    return [counts.get(f"s{SECONDS - 1 - index}") for index in range(SECONDS)]


def window(counts: dict | None = None, newest: int | None = NEWEST, scores: tuple = (), **feeds: dict) -> dict:
    counts = {"county": {}, "operator": {}, "app": {}} | (counts or {})
    feeds = {"cdr": NOTHING, "antenna": NOTHING} | feeds
    return {
        "type": "window", "newest": newest, "seconds": SECONDS, "feeds": feeds, "counts": counts, "scores": list(scores)
    }  # fmt: skip


def frame(counts: dict, newest: int = NEWEST) -> dict:
    return {"type": "frame", "newest": newest, "feeds": {"cdr": CALLS, "antenna": NOTHING}, "counts": counts}


def score(county: str, z: float | None, count: int, mean: float) -> dict:
    return {"county": county, "score": z, "count": count, "mean": mean, "deviation": 12.2, "minutes": 60}


@pytest.fixture
def live_page(page) -> Page:
    """A page that notes the charts' views."""
    page.add_init_script(NOTE_VIEWS)
    return page


def talk(page: Page, *messages: dict) -> list[WebSocketRoute]:
    """Opens the page on a server that sends these messages to each client; gives all connections, as they come."""
    lines: list[WebSocketRoute] = []

    def answer(line: WebSocketRoute) -> None:
        lines.append(line)
        for message in messages:
            line.send(json.dumps(message))

    page.route_web_socket("**/ws/live/", answer)
    page.goto("/live/")
    return lines


def points(page: Page, chart: str, data: str = "points") -> list[dict]:
    """The rows that a chart is drawn of."""
    return page.evaluate(
        "([chart, data]) => views[chart] ? views[chart].data(data).map((row) => ({...row})) : []", [chart, data]
    )


def until(page: Page, look: Callable[[], object]) -> None:
    """Waits until what is looked at is there, and gives the browser its time meanwhile."""
    ends = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < ends
        page.wait_for_function("() => new Promise((done) => requestAnimationFrame(() => done(true)))")


def rows(page: Page, table: str) -> list[list[str]]:
    return [row.split("\t") for row in page.locator(f"{table} tr").all_inner_texts()]


def test_the_map_moves_and_the_page_comes_back_after_a_restart_with_the_gap_marked(chromium, site):
    with running_stream(site.place), running_server(site.place) as server:
        port = int(server.origin.rpartition(":")[2])
        context = chromium.new_context(base_url=server.origin, viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.add_init_script(NOTE_VIEWS)
        page.goto("/live/")
        state = page.locator("#live-state")
        expect(state).to_have_text("Live", timeout=PATIENCE * 1000)
        seen: list[str] = []

        def changed() -> bool:
            values = json.dumps([row["value"] for row in points(page, "map", "values")])
            if values not in seen[-1:]:
                seen.append(values)
            return len(seen) > 4

        # The first is the empty map.
        until(page, changed)
        pictures = page.locator("[data-live=map] svg").inner_html()
        until(page, lambda: page.locator("[data-live=map] svg").inner_html() != pictures)
        page.evaluate("window.here = true")
        server.process.kill()
        server.process.wait()
        expect(state).to_contain_text("Reconnecting…, last frame ", timeout=PATIENCE * 1000)
        # The axis goes on meanwhile.
        until(page, lambda: points(page, "operator", "cuts"))
        (before,) = points(page, "operator", "cuts")
        until(page, lambda: points(page, "operator", "cuts")[0]["end"] >= before["start"] + 3)
        last = max(point["at"] for point in points(page, "operator"))
        assert last < points(page, "operator", "cuts")[0]["end"] - 1
        with running_server(site.place, port):
            expect(state).to_have_text("Live", timeout=PATIENCE * 1000)
            (cut,) = points(page, "operator", "cuts")
            # What came in meanwhile is there now, and the moments without a connection stay marked.
            until(page, lambda: {second + 0.5 for second in range(cut["start"], cut["end"])} <= drawn_seconds(page))
            (kept,) = points(page, "operator", "cuts")
            assert kept["start"] == before["start"]
            assert page.evaluate("window.here")
        context.close()


def drawn_seconds(page: Page) -> set[float]:
    return {point["at"] for point in points(page, "operator")}


def test_figures_are_what_the_server_sent(live_page):
    page = live_page
    counts = {
        "county": {
            "Los Angeles": series(s70=99, s4=30, s3=12, s0=0),
            "KERN": series(s70=0, s4=0, s3=7, s0=0),
            "LAX": series(s70=0, s4=0, s3=2, s0=0),
        },
        "operator": {
            "Bear": series(s70=99, s4=20, s3=9, s0=2),
            "Poppy": series(s70=0, s4=9, s3=1, s0=0),
            "POPPY": series(s70=0, s4=0, s3=11, s0=0),
        },
    }
    scores = (score("Kern", -4.26, 1, 52.7), score("Los Angeles", 2.9, 47, 40.2), score("Mono", None, 3, 2.0))
    talk(page, window(counts, scores=scores, cdr=CALLS))
    expect(page.locator("#live-state")).to_have_text("Live")
    facts = page.locator("[data-feed=cdr] dl dd")
    assert facts.all_inner_texts() == ["6,003", "1,200", "0.9 s", "2"]
    page.get_by_text("The regions as a table").click()
    expect(page.locator(f"tr[data-code='{LOS_ANGELES}'] td").first).to_have_text("42")
    table = {name: figures for name, *figures in rows(page, "#live-regions tbody")}
    assert table["Los Angeles"] == ["42", "47", "40 ± 13", "+2.9"]
    assert table["Kern"] == ["7", "1", "53 ± 13", f"▼ {MINUS}4.3"]
    assert table["Mono"] == ["0", "3", "2 ± 13", "▲ all before equal"]
    assert table["Alpine"] == ["0", NONE, NONE, NONE]
    assert table["LAX not on the map"][0] == "2"
    assert rows(page, "#live-outlier-rows") == [
        ["▼ Kern", "1", "53 ± 13", f"{MINUS}4.3"],
        ["▲ Mono", "3", "2 ± 13", "all before equal"],
    ]
    expect(page.locator("#live-verdict")).to_have_text("2 of 3 regions.")
    # The charts follow a moment later.
    until(page, lambda: points(page, "map", "values") and points(page, "operator"))
    values = {row["code"]: row for row in points(page, "map", "values")}
    assert (values[LOS_ANGELES]["value"], values[LOS_ANGELES]["figure"], values[LOS_ANGELES]["sign"]) == (
        42,
        "42 calls",
        "",
    )
    assert (values[KERN]["figure"], values[KERN]["sign"]) == ("7 calls", "▼")
    # An operator is one whatever the letter case, and spelled as most records have it.
    drawn = [{name: point[name] for name in ("at", "group", "low", "high")} for point in points(page, "operator")]
    assert [point for point in drawn if point["at"] < NEWEST - 2] == [
        {"at": NEWEST - 69.5, "group": 0, "low": 0, "high": 99},
        {"at": NEWEST - 69.5, "group": 1, "low": 99, "high": 99},
        {"at": NEWEST - 3.5, "group": 0, "low": 0, "high": 20},
        {"at": NEWEST - 3.5, "group": 1, "low": 20, "high": 29},
        {"at": NEWEST - 2.5, "group": 0, "low": 0, "high": 9},
        {"at": NEWEST - 2.5, "group": 1, "low": 9, "high": 21},
    ]
    operators = page.locator(".live-operator tbody th")
    assert operators.all_inner_texts() == ["Bear", "POPPY"]
    # Only what streams is shown.
    expect(page.locator(".live-app")).to_be_hidden()


def test_a_frame_changes_its_seconds_and_a_gap_is_no_zero(live_page):
    page = live_page
    counts = {"county": {"Kern": series(s9=4, s6=0, s5=3)}, "operator": {"Bear": series(s9=4, s6=0, s5=3)}}
    lines = talk(page, window(counts, cdr=CALLS))
    expect(page.locator("#live-state")).to_have_text("Live")
    until(page, lambda: points(page, "operator"))
    shown = {point["at"] - 0.5 - NEWEST: (point["high"], point["run"] - NEWEST) for point in points(page, "operator")}
    # Between the second of nothing and that before it there is a gap, over which no area reaches.
    assert {at: high for at, (high, _) in shown.items()} == {-9: 4, -6: 0, -5: 3}
    assert shown[-9][1] != shown[-6][1] == shown[-5][1]
    lines[0].send(json.dumps(frame({"county": {"Kern": [[NEWEST - 5, 8]]}, "operator": {"Bear": [[NEWEST - 5, 8]]}})))
    until(page, lambda: sorted(point["high"] for point in points(page, "operator")) == [0, 4, 8])
    until(page, lambda: [row["value"] for row in points(page, "map", "values") if row["code"] == KERN] == [12])


def test_a_refused_reader_sees_one_message_and_a_link_to_the_login(page):
    lines: list[WebSocketRoute] = []

    def refuse(line: WebSocketRoute) -> None:
        lines.append(line)
        line.close(code=4403)

    page.clock.install()
    page.route_web_socket("**/ws/live/", refuse)
    page.goto("/live/")
    expect(page.locator("#live-state")).to_have_text("Not allowed")
    page.clock.fast_forward("10:00")
    expect(page.locator("#live-refused").get_by_role("link", name="Log in")).to_have_attribute(
        "href", "/login/?next=/live/"
    )
    assert len(lines) == 1


def test_without_a_stream_it_says_how_to_start_one(page):
    talk(page, window(newest=None))
    expect(page.get_by_text("make stream-demo")).to_be_visible()
    expect(page.get_by_text("manage.py consume_stream")).to_be_visible()
    expect(page.locator("#live-shown")).to_be_hidden()


def test_paused_it_stands_still_and_goes_on_with_all_that_came(live_page):
    page = live_page
    counts = {"county": {"Kern": series(s3=7)}, "operator": {"Bear": series(s3=7)}}
    lines = talk(page, window(counts, cdr=CALLS))
    until(page, lambda: points(page, "operator"))
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#live-state")).to_contain_text("Paused at ")
    lines[0].send(json.dumps(frame({"operator": {"Bear": [[NEWEST - 2, 9]]}, "county": {"Kern": [[NEWEST - 2, 9]]}})))
    lines[0].send(json.dumps(frame({})))
    # The page heard both when it has answered this; what is drawn again during the pause is drawn as it was.
    page.evaluate("() => new Promise((done) => setTimeout(() => done(true), 0))")
    page.locator("#live-regions summary").click()
    until(page, lambda: rows(page, "#live-regions"))
    expect(page.locator("#live-regions tr", has_text="Kern")).to_have_text("Kern7" + 3 * "\N{EN DASH}")
    assert {point["high"] for point in points(page, "operator")} == {7}
    page.get_by_role("button", name="Pause").click()
    until(page, lambda: {point["high"] for point in points(page, "operator")} == {7, 9})
    expect(page.locator("#live-state")).to_have_text("Live")


def test_attempts_to_come_back_grow_rarer(page):
    lines: list[WebSocketRoute] = []

    def drop(line: WebSocketRoute) -> None:
        lines.append(line)
        line.close(code=1012)

    page.clock.install()
    page.route_web_socket("**/ws/live/", drop)
    page.goto("/live/")
    expect(page.locator("#live-state")).to_have_text("No connection yet, trying again…")
    for _ in range(120):
        page.clock.run_for(1000)
        page.evaluate("1")
    # Waits of half a second, doubled up to 30 s, each by chance up to a half shorter.
    assert 7 <= len(lines) <= 14
