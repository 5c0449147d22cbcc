"""One KPI's page: what it shows, its state in the address, its tables, its groups and its files."""

from __future__ import annotations

import csv
import re
from datetime import timedelta
from html import unescape

import pytest

from kpis.catalog.builtin.cdr import COUNTY_CALL_VOLUME, OPERATOR_CALL_VOLUME
from kpis.catalog.builtin.ipflow import CELL_UNIQUE_USERS, SERVICE_TRAFFIC_VOLUME
from kpis.catalog.intervals import FIVE_MINUTES, ONE_HOUR
from kpis.console.selection import selection
from kpis.models import IntervalSummary
from tests.answers import csv_rows, json_rows, parquet_rows
from tests.factories import MIDNIGHT, make_result, make_summary, utc

pytestmark = pytest.mark.django_db

FIVE = timedelta(minutes=5)
TEN = "&from=2021-07-18T00:00Z&to=2021-07-18T00:10Z"


def text_of(response) -> str:
    """A page's words, without its tags and with single spaces."""
    page = re.sub(r"(?s)<(head|script|style|select).*?</\1>", " ", response.content.decode())
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


def table_rows(response, name: str) -> list[list[str]]:
    """The cells of a table of the page, without the column that explains."""
    page = response.content.decode()
    table = re.search(rf'(?s)id="{name}-table".*?<tbody>(.*?)</tbody>', page)[1]
    rows = re.findall(r"(?s)<tr.*?</tr>", table)
    cells = [re.findall(r"(?s)<t[hd].*?</t[hd]>", row)[:-1] for row in rows]
    return [[" ".join(unescape(re.sub(r"<[^>]*>", " ", cell)).split()) for cell in row] for row in cells]


@pytest.fixture
def counties():
    """Two intervals of three counties, an hour before the first of them, and a longer interval."""
    for step, calls in ((-12, 50), (0, 60), (1, 90)):
        make_summary(10, MIDNIGHT + step * FIVE, total=calls, groups=3, records=calls, batches=1)
    for step, county, calls, rank in (
        (0, "Kern", 30, 1),
        (0, "Inyo", 20, 2),
        (0, "Napa", 10, 3),
        (1, "Inyo", 50, 1),
        (1, "Kern", 30, 2),
        (1, "Napa", 10, 3),
    ):
        make_result(COUNTY_CALL_VOLUME, MIDNIGHT + step * FIVE, rank, county=county, number_of_calls=calls)


def test_the_page_shows_the_newest_interval_against_an_hour_before(client, counties):
    page = text_of(client.get("/kpis/10/"))
    assert "County call volume Counties by calls and texts. KPI 10, calls, from the cdr feed." in page
    assert "All groups over time 17 Jul 2021, 23:00 to 18 Jul 2021, 00:10 (UTC), per 5 minutes" in page
    assert "18 Jul 2021, 00:05 to 00:10 5 minutes, final, revision 1" in page
    assert "All groups 90 calls an hour before no data a day before no data groups 3 records 90" in page


def test_an_interval_an_hour_after_another_is_held_against_it(client, counties):
    page = text_of(client.get("/kpis/10/?at=2021-07-18T00:00Z"))
    assert "All groups 60 calls an hour before up +20.0 % a day before no data" in page


def test_a_groups_figure_is_its_own(client, counties):
    make_result(COUNTY_CALL_VOLUME, MIDNIGHT - timedelta(days=1) + FIVE, 1, county="Kern", number_of_calls=40)
    page = text_of(client.get("/kpis/10/?county=Kern"))
    assert "Kern 30 calls an hour before no data a day before down \N{MINUS SIGN}25.0 % true total 90 calls" in page


def test_the_tables_have_the_rows_of_the_api(client, counties):
    response = client.get(f"/kpis/10/?{TEN}")
    assert table_rows(response, "groups") == [["1", "Inyo", "50"], ["2", "Kern", "30"], ["3", "Napa", "10"]]
    assert table_rows(response, "times") == [
        ["18 Jul 2021, 00:05", "90", "3", "90", "1", "1", "final"],
        ["18 Jul 2021, 00:00", "60", "3", "60", "1", "1", "final"],
    ]
    response = client.get(f"/kpis/10/?county=Inyo{TEN}")
    assert table_rows(response, "times") == [
        ["18 Jul 2021, 00:05", "50", "1"],
        ["18 Jul 2021, 00:00", "20", "2"],
    ]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("groups_sort=rank", ["Inyo", "Kern", "Napa"]),
        ("groups_sort=-rank", ["Napa", "Kern", "Inyo"]),
        ("groups_sort=-county", ["Napa", "Kern", "Inyo"]),
        ("groups_sort=number_of_calls", ["Napa", "Kern", "Inyo"]),
        ("groups_sort=-number_of_calls", ["Inyo", "Kern", "Napa"]),
    ],
)
def test_the_groups_sort_by_every_column_both_ways(client, counties, query, names):
    assert [row[1] for row in table_rows(client.get(f"/kpis/10/?{query}"), "groups")] == names


def test_a_table_comes_in_pages_whose_links_keep_the_state(client):
    for step in range(45):
        make_summary(10, MIDNIGHT + step * FIVE, total=1000 + step)
    response = client.get("/kpis/10/?times_sort=total&times_page=2")
    assert [row[1] for row in table_rows(response, "times")] == [f"{1000 + step:,}" for step in range(20, 40)]
    page = response.content.decode()
    assert "Rows 21 to 40 of 45" in page
    state = (
        "interval=1&amp;from=2021-07-18T00%3A00%3A00Z&amp;to=2021-07-18T03%3A45%3A00Z&amp;at=2021-07-18T03%3A40%3A00Z"
    )
    assert f'href="?{state}&amp;times_sort=total&amp;times_page=1"' in page
    assert f'href="?{state}&amp;times_sort=total&amp;times_page=3"' in page
    assert f'href="?{state}&amp;times_sort=-total"' in page
    last = client.get("/kpis/10/?times_page=99")
    assert "Rows 41 to 45 of 45" in last.content.decode()


def test_values_that_are_missing_come_last_whichever_way(client):
    for step, mean in enumerate((3.5, None, 1.5)):
        make_summary(7, MIDNIGHT + step * FIVE, total=None, mean=mean)
    for sort, means in (("mean", ["1.5000", "3.5000"]), ("-mean", ["3.5000", "1.5000"])):
        rows = table_rows(client.get(f"/kpis/7/?times_sort={sort}"), "times")
        assert [row[1] for row in rows] == [*means, "\N{EN DASH}"]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("interval=9", "interval must be one of 3 (1 minute), 1 (5 minutes), 2 (1 hour), not '9'."),
        ("from=yesterday", "'yesterday' is not a time such as 2021-07-18T02:05 or 2021-07-18T00:05Z."),
        ("from=2021-07-19T00:00Z&to=2021-07-18T00:00Z", "The time span ends before it starts."),
        ("groups_sort=color", "groups_sort must be one of rank, county, number_of_calls, with a minus for descending."),
        ("times_page=0", "times_page must be a whole number from 1."),
        ("county=%00", "county has a character that no text has."),
    ],
)
def test_an_address_that_asks_for_what_there_cannot_be_is_shown_why(client, counties, query, reason):
    response = client.get(f"/kpis/10/?{query}")
    assert response.status_code == 400
    assert reason in text_of(response)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("/kpis/1/?service_id=x", "service_id must be a whole number from -2147483648 to 2147483647, not 'x'."),
        ("/kpis/1/?service_id=99999999999", "service_id must be a whole number from -2147483648 to 2147483647"),
        ("/kpis/11/?operator=Poppy", "A group of this KPI needs operator and call_type; call_type is missing."),
    ],
)
def test_a_group_that_there_cannot_be_is_shown_why(client, address, reason):
    response = client.get(address)
    assert response.status_code == 400
    assert reason in text_of(response)
    part = client.get(address.replace("/?", "/series.json?"))
    assert part.status_code == 400
    assert reason in part.content.decode()


def test_there_is_no_page_of_a_kpi_that_there_is_not(client):
    assert client.get("/kpis/99/").status_code == 404
    assert client.get("/kpis/99/series.json").status_code == 404


def test_a_kpi_without_records_says_so(client):
    response = client.get("/kpis/1/")
    assert response.status_code == 200
    assert "No records of this KPI have been ingested yet." in text_of(response)
    assert client.get("/kpis/1/series.json").status_code == 404


def test_a_span_without_records_says_so(client, counties):
    response = client.get("/kpis/10/?from=2021-07-19T00:00Z&to=2021-07-19T01:00Z")
    assert "No records in this time span." in text_of(response)
    points = client.get("/kpis/10/series.json?from=2021-07-19T00:00Z&to=2021-07-19T01:00Z").json()["datasets"]["points"]
    assert [point["figure"] for point in points] == ["no records"] * 12


def test_the_same_address_gives_the_same_picture(counties):
    """Parameters that an address lacks are filled in; the full address then selects the same."""
    chosen = selection(COUNTY_CALL_VOLUME, {})
    assert (chosen.length, chosen.start, chosen.end) == (FIVE_MINUTES, MIDNIGHT - 12 * FIVE, MIDNIGHT + 2 * FIVE)
    assert (chosen.group, chosen.at) == (None, MIDNIGHT + FIVE)
    assert chosen.address() == (
        "/kpis/10/?interval=1&from=2021-07-17T23%3A00%3A00Z&to=2021-07-18T00%3A10%3A00Z&at=2021-07-18T00%3A05%3A00Z"
    )
    again = selection(COUNTY_CALL_VOLUME, {name: str(value) for name, value in chosen.parameters().items()})
    make_summary(10, MIDNIGHT + 9 * FIVE)
    assert again == chosen


def test_a_span_is_rounded_to_whole_intervals(counties):
    chosen = selection(COUNTY_CALL_VOLUME, {"from": "2021-07-17T23:58Z", "to": "2021-07-18T00:01Z"})
    assert (chosen.start, chosen.end) == (MIDNIGHT - FIVE, MIDNIGHT + FIVE)
    assert chosen.at == MIDNIGHT


def test_the_page_is_in_the_zone_and_its_form_understands_it(client, settings, counties):
    settings.TIME_ZONE = "Asia/Kolkata"
    response = client.get("/kpis/10/?from=2021-07-18T05:30&to=2021-07-18T05:40")
    page = text_of(response)
    assert "Times: Asia/Kolkata" in page
    assert "18 Jul 2021, 05:30 to 05:40 (Asia/Kolkata), per 5 minutes" in page
    assert 'name="from" value="2021-07-18T05:30"' in response.content.decode()
    assert table_rows(response, "times")[0][0] == "18 Jul 2021, 05:35"
    assert "interval_start_timestamp__gte=2021-07-18T00%3A00%3A00Z" in response.content.decode()
    chart = client.get("/kpis/10/series.json?from=2021-07-18T05:30&to=2021-07-18T05:40").json()
    assert chart["datasets"]["points"][0]["when"] == "18 Jul 2021, 05:30 to 05:35"
    assert "Time (Asia/Kolkata)" in str(chart)


def test_every_figure_leads_to_its_explanation(client, counties):
    page = client.get(f"/kpis/10/?county=Kern{TEN}").content.decode()
    start = "start=2021-07-18T00%3A05%3A00Z"
    for query in (
        f"{start}&amp;county=Kern",
        f"{start}&amp;county=Inyo",
        f"{start.replace('05%3A', '00%3A', 1)}&amp;county=Kern",
    ):
        assert f'href="/explain/?kpi=10&amp;interval=1&amp;{query}"' in page


def test_the_call_of_the_api_gives_the_rows_of_the_table(client, counties):
    response = client.get(f"/kpis/10/?county=Kern{TEN}")
    address = unescape(re.search(r'href="([^"]+)">The API call behind this', response.content.decode())[1])
    rows = client.get(address).json()
    assert [row["number_of_calls"] for row in rows] == [30, 30]
    assert len(table_rows(response, "times")) == 2


@pytest.mark.parametrize("group", ["", "&county=kern", "&county=Kern"])
def test_files_have_the_rows_of_the_api(client, counties, group):
    query = f"interval=1{TEN}{group}"
    api = client.get(
        "/api/KPIs/10/?interval=1&interval_start_timestamp__gte=2021-07-18T00:00Z"
        f"&interval_end_timestamp__lte=2021-07-18T00:10Z{group}"
    )
    file = client.get(f"/kpis/10/rows.csv?{query}")
    assert csv_rows(file) == [{name: str(value) for name, value in row.items()} for row in json_rows(api)]
    named = "_kern" if group.endswith("kern") else "_Kern" if group else ""
    name = f"CountyCallVolume{named}_2021-07-18-0000_2021-07-18-0010_UTC"
    assert file.headers["Content-Disposition"] == f'attachment; filename="{name}.csv"'
    parquet = client.get(f"/kpis/10/rows.parquet?{query}")
    assert parquet.headers["Content-Disposition"] == f'attachment; filename="{name}.parquet"'
    counts = [(row["county"], row["number_of_calls"], row["rank"]) for row in json_rows(api)]
    rows = parquet_rows(parquet)
    assert [(row["county"], row["number_of_calls"], row["rank"]) for row in rows] == counts
    assert {row["interval_start_timestamp"] for row in rows} <= {1_626_566_400_000_000, 1_626_566_700_000_000}


def test_files_name_the_zone_and_have_its_times(client, settings, counties):
    settings.TIME_ZONE = "Asia/Kolkata"
    file = client.get("/kpis/10/rows.csv?from=2021-07-18T00:00Z&to=2021-07-18T00:05Z")
    assert "CountyCallVolume_2021-07-18-0530_2021-07-18-0535_Asia-Kolkata.csv" in file.headers["Content-Disposition"]
    rows = list(csv.DictReader(file.getvalue().decode().splitlines()))
    assert rows[0]["interval_start_timestamp"] == "2021-07-18T05:30:00+05:30"
    picture = client.get("/kpis/10/series.svg?from=2021-07-18T00:00Z&to=2021-07-18T00:05Z")
    assert "05:30" in picture.content.decode()
    assert "(Asia/Kolkata)" in picture.content.decode()


def test_a_file_or_picture_of_another_kind_is_not_there(client, counties):
    for address in ("/kpis/10/rows.xml", "/kpis/10/series.gif", "/kpis/10/top.html"):
        assert client.get(address).status_code == 404
    assert client.get("/kpis/10/series.json?theme=pink").status_code == 400


def found(response) -> list[str]:
    return re.findall(r"<li><a [^>]*>([^<]*)</a>", response.content.decode())


def test_groups_are_found_by_any_part_of_their_words_the_largest_first(client, counties):
    assert found(client.get("/kpis/10/groups/")) == ["Inyo", "Kern", "Napa"]
    assert found(client.get("/kpis/10/groups/?search=N")) == ["Inyo", "Kern", "Napa"]
    assert found(client.get("/kpis/10/groups/?search=na")) == ["Napa"]
    response = client.get("/kpis/10/groups/?search=xyz")
    assert found(response) == []
    assert "Nothing found in this time span" in response.content.decode()


def test_a_value_typed_in_full_is_found_wherever_it_is(client):
    make_summary(1, MIDNIGHT)
    make_result(SERVICE_TRAFFIC_VOLUME, MIDNIGHT, 1, service_id=7)
    make_result(SERVICE_TRAFFIC_VOLUME, MIDNIGHT - timedelta(days=90), 1, service_id=4711)
    assert found(client.get("/kpis/1/groups/?search=471")) == []
    assert found(client.get("/kpis/1/groups/?search=4711")) == ["4711"]


def test_groups_of_several_dimensions_say_which_number_is_what(client):
    make_summary(9, MIDNIGHT)
    make_result(OPERATOR_CALL_VOLUME, MIDNIGHT, 1, operator="", call_type="CALL")
    make_summary(11, MIDNIGHT)
    assert found(client.get("/kpis/11/groups/")) == ["(none), CALL"]
    page = client.get("/kpis/11/?operator=&call_type=CALL")
    assert "(none), CALL over time" in text_of(page)


def test_a_chosen_group_leads_back_to_all(client, counties):
    page = client.get(f"/kpis/10/?county=Kern{TEN}").content.decode()
    every = re.search(r'<a href="([^"]+)">All groups</a>', page)[1]
    assert "county" not in every
    assert 'aria-current="true">Kern</a>' in page


def test_users_of_a_month_are_shown_by_the_hour_since_they_do_not_add_up(client):
    start = utc("2021-07-01T00:00")
    for hour in (0, 5):
        make_summary(2, start + timedelta(hours=hour), ONE_HOUR, total=70 + hour)
        make_result(CELL_UNIQUE_USERS, start + timedelta(hours=hour), 1, ONE_HOUR)
    make_summary(2, start + timedelta(days=30) - FIVE, total=9)
    query = "from=2021-07-01T00:00Z&to=2021-07-31T00:00Z"
    page = text_of(client.get(f"/kpis/2/?{query}"))
    note = "This span has too many intervals of 5 minutes to show: these are the figures per 1 hour."
    assert note in page
    chart = client.get(f"/kpis/2/series.json?{query}").json()
    assert len(chart["datasets"]["points"]) == 720
    assert [point["value"] for point in chart["datasets"]["points"] if not point["gap"]] == [70, 75]


def test_provisional_figures_are_reported(client):
    make_summary(10, MIDNIGHT, state=IntervalSummary.State.PROVISIONAL)
    page = text_of(client.get("/kpis/10/"))
    assert "5 minutes, provisional, revision 1" in page
    assert client.get("/kpis/10/series.json").json()["datasets"]["provisional"] != []


def test_the_number_of_queries_does_not_grow_with_the_rows(client, counties, django_assert_max_num_queries):
    with django_assert_max_num_queries(13):
        client.get("/kpis/10/?county=Kern")
    with django_assert_max_num_queries(7):
        client.get("/kpis/10/series.json?county=Kern")
