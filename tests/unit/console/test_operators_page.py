"""The operators' page: what it shows of whom, over which time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kpis.catalog.builtin.cdr import OPERATOR_CALL_VOLUME
from kpis.catalog.builtin.coverage import OPERATOR_GPS_PRECISION, OPERATOR_SIGNAL
from tests.factories import MIDNIGHT, make_result, make_summary
from tests.unit.console.test_kpi_page import text_of

pytestmark = pytest.mark.django_db

FIVE = timedelta(minutes=5)


@pytest.fixture
def operators():
    """Two five minutes of calls, signals and positions."""
    for step in range(2):
        for kpi_id in (7, 8, 11):
            make_summary(kpi_id, MIDNIGHT + step * FIVE)
    for step, rank, name, kind, calls in (
        (0, 1, "Poppy", "CALL", 1200),
        (0, 2, "Poppy", "TEXT", 300),
        (1, 1, "Sierra", "CALL", 500),
    ):
        start = MIDNIGHT + step * FIVE
        make_result(OPERATOR_CALL_VOLUME, start, rank, operator=name, call_type=kind, number_of_calls=calls)
    for step, name, signal, samples in ((0, "POPPY", 10.0, 1), (1, "POPPY", 20.0, 3)):
        start = MIDNIGHT + step * FIVE
        make_result(OPERATOR_SIGNAL, start, 1, operator=name, average_signal=signal, number_of_samples=samples)
    make_result(OPERATOR_GPS_PRECISION, MIDNIGHT, 1, operator="", average_precision=31.5, number_of_samples=1234)


def test_operators_stand_side_by_side_with_their_samples(client, operators):
    page = text_of(client.get("/operators/"))
    assert "18 Jul 2021, 00:00 to 00:10 (UTC)" in page
    assert (
        "Operator Number of calls Market share Average signal (ASU) Samples Average precision (m) Samples "
        "Poppy 1,500 75.0 % 17.50 4 - - "
        "Sierra 500 25.0 % - - - - "
        "(none) - - - - 31.50 1,234"
    ) in page.replace("\N{EN DASH}", "-")


def test_each_kpi_has_its_charts(client, operators):
    page = client.get("/operators/").content.decode()
    query = "interval=1&amp;from=2021-07-18T00%3A00%3A00Z&amp;to=2021-07-18T00%3A10%3A00Z"
    for chart in ("11/stacked", "11/shares", "7/average", "8/average"):
        assert f'data-chart="/operators/{chart}.json?{query}' in page


def test_a_chart_shows_the_span_that_is_asked_for(client, operators):
    found = client.get("/operators/11/stacked.json?from=2021-07-18T00:05Z&to=2021-07-18T00:10Z").json()
    assert [(point["operator"], point["high"]) for point in found["datasets"]["points"]] == [("Sierra", 500.0)]


def test_an_operator_has_one_colour_in_all_charts(client, operators):
    def colours(address: str) -> dict[str, str]:
        scale = client.get(address).json()["layer"][0]["encoding"]["color"]["scale"]
        return {name.lower(): colour for name, colour in zip(scale["domain"], scale["range"], strict=True)}

    calls, signal = colours("/operators/11/stacked.json"), colours("/operators/7/average.json")
    assert calls["poppy"] == signal["poppy"]
    assert calls["poppy"] != calls["sierra"]


@pytest.mark.parametrize(
    "address",
    ["11/average.json", "7/stacked.json", "10/stacked.json", "2/average.json", "99/stacked.json", "11/stacked.gif"],
)
def test_there_are_no_other_charts(client, operators, address):
    assert client.get(f"/operators/{address}").status_code == 404


def test_a_wrong_span_is_reported(client, operators):
    response = client.get("/operators/?from=never")
    assert response.status_code == 400
    assert "'never' is not a time" in text_of(response)
    assert client.get("/operators/11/stacked.json?from=never").status_code == 400


def test_a_span_without_records_says_so(client, operators):
    page = text_of(client.get("/operators/?from=2021-07-19T00:00Z&to=2021-07-19T01:00Z"))
    assert page.count("No records in this time span.") == 4


def test_a_site_without_operators_says_so(client):
    assert "No records of operators have been ingested yet." in text_of(client.get("/operators/"))
    assert client.get("/operators/11/stacked.json").status_code == 404
