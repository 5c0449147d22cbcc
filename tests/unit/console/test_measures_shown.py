"""Pages say what the values of a measure are: the error of percentiles, the formula of a ratio, what counts."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.core.management import call_command

from kpis.console import selection
from tests.unit.pipeline.test_measures import IDS, START, measures, text_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.sqlite_alone]

RECORDS = [{"at": 60 * minute, "cell": 1, "a": 1000, "b": 2, "d": None} for minute in range(3)]
SHOWN = {
    "percentiles": ("Percentiles are within 1 % of the exact ones.", "Percentile 50 (units)", "1,003.5000"),
    "a ratio": (
        "rate = 100 * numerator / denominator; numerator = good; denominator = all; all = records; "
        "good = records where a > 0.",
        "Ratio (units)",
        "100.0000",
    ),
    "a sum where": ("Only records for which a > 5 is true add to it.", "Total (units)", "3,006"),
}


def words(page: bytes) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.decode())).split())


@pytest.mark.parametrize("name", SHOWN)
def test_pages_say_what_the_values_are(client, data_dir, settings, monkeypatch, name):
    # The API has addresses of the KPIs that there are when it is imported.
    monkeypatch.setattr(selection.Selection, "api_address", lambda self: "/api/KPIs/")
    (number,) = (number for number, one in IDS.items() if one == name)
    note, header, figure = SHOWN[name]
    with measures(settings, [number]):
        (data_dir / "probe_1.csv").write_text(text_of(RECORDS))
        call_command("update_network_stats", verbosity=0)
        page = words(client.get(f"/kpis/{number}/").content)
        explained = words(
            client.get("/explain/", {"kpi": number, "interval": 1, "start": f"{START:%Y-%m-%dT%H:%M:%SZ}"}).content
        )
    for shown in (page, explained):
        assert note in shown
        assert header in shown
        assert figure in shown
