"""Conditional requests: 304 for those who have the answer, and who may keep it."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from contextlib import suppress

import pytest
from django.core.management import call_command
from django.test import Client
from rest_framework.authtoken.models import Token

from kpis.catalog.registry import KPIS
from kpis.models import IntervalSummary
from tests.factories import MIDNIGHT, make_batch, make_reject, make_result, make_run, make_summary, make_user
from tests.twin import Flow, file_text, moment
from tests.unit.api.test_api_pages import links

START = 1626566400  # 2021-07-18T00:00:00Z
LISTS = [
    "/api/KPIs/1/",
    "/api/KPIs/1/?interval=2",
    "/api/KPIs/1/?page_size=2",
    "/api/KPIs/1/?service_id=1",
    f"/api/KPIs/2/?interval_start_timestamp__gte={moment(START + 1800)}&rank__lte=2",
    f"/api/v1/services-kpis/?end_timestamp={(START + 3600) * 1000}",
    "/api/intervals/?kpi=1",
    "/api/batches/",
]


def get(client: Client, address: str, *known: str):
    return client.get(address, headers={"If-None-Match": ", ".join(known)} if known else {})


def pages(client: Client, address: str) -> Iterator[tuple[str, str, tuple[bytes, str]]]:
    """The address, the tag and the answer of each page of a list."""
    while address:
        response = get(client, address)
        assert response.status_code == 200
        yield address, response["ETag"], (response.content, response["Link"])
        address = links(response).get("next", "")


class Answers:
    """All that was ever answered: a tag must always have meant the same answer, and an answer have had the same tag."""

    def __init__(self, client: Client):
        self.client = client
        self.by_tag: dict[tuple[str, str], tuple[bytes, str]] = {}
        self.tags: dict[tuple[str, tuple[bytes, str]], str] = {}

    def ask(self) -> dict[str, str]:
        """Asks for every page of every list, knowing all former answers; gives the tags by address."""
        now = {}
        for one in LISTS:
            for address, tag, answer in pages(self.client, one):
                assert self.by_tag.setdefault((address, tag), answer) == answer
                assert self.tags.setdefault((address, answer), tag) == tag
                former = [known for of, known in self.by_tag if of == address and known != tag]
                assert get(self.client, address, '"another"', *former).status_code == 200
                unchanged = get(self.client, address, *former, f"W/{tag}")
                assert (unchanged.status_code, unchanged.content, unchanged["ETag"]) == (304, b"", tag)
                now[address] = tag
        return now


def random_flows(chance: random.Random) -> list[Flow]:
    """Records of a few of two hours' intervals, so that files meet, outlast and leave one another."""
    starts = chance.sample(range(START, START + 7200, 300), chance.randrange(4))
    return [
        Flow(start, chance.randrange(1, 4), chance.randrange(3), 0, service=service, cell=chance.randrange(3))
        for start in starts
        for service in range(chance.randrange(1, 4))
    ]


def change(folder, chance: random.Random) -> dict:
    """Changes a file, or nothing; gives the options of the run that follows."""
    kind = chance.choice(["file", "file", "file", "open hours", "rebuild", "nothing"])
    if kind in ("file", "open hours"):
        flows = random_flows(chance)
        (folder / f"ipflow_data.{chance.choice('abc')}.csv").write_text(file_text(flows) if flows else "rubbish\n")
    if kind == "rebuild":
        return {"rebuild": [moment(START), moment(START + 3600)]}
    return {"rollup_open_hours": kind == "open hours"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", range(2))
def test_a_tag_stays_as_long_as_the_answer_and_no_longer(client, data_dir, seed):
    chance = random.Random(seed)  # noqa: S311
    answers = Answers(client)
    before = answers.ask()
    for _ in range(8):
        options = change(data_dir, chance)
        with suppress(SystemExit):  # where a file is rubbish
            call_command("update_network_stats", stdout=io.StringIO(), stderr=io.StringIO(), **options)
        now = answers.ask()
        call_command("update_network_stats", verbosity=0)
        assert answers.ask() == now
    assert before != now
    assert IntervalSummary.objects.filter(revision__gt=1).exists()


@pytest.mark.django_db
def test_the_last_full_page_changes_when_another_one_follows(client):
    make_result(KPIS[1], MIDNIGHT, 1)
    address = "/api/KPIs/1/?page_size=1"
    alone = get(client, address)
    make_result(KPIS[1], MIDNIGHT, 2)
    followed = get(client, address, alone["ETag"])
    assert followed.status_code == 200
    assert followed.content == alone.content
    assert "next" in links(followed)


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/api/", "/api/KPIs/", "/api/KPIs/1/anomalies/", "/api/batches/{batch}/"])
def test_other_answers_are_conditional_too(client, address):
    address = address.format(batch=make_batch(make_run(), "a.csv").pk)
    tag = get(client, address)["ETag"]
    assert get(client, address, tag).status_code == 304
    assert get(client, address, "*").status_code == 304
    assert get(client, address, '"another"').status_code == 200
    assert client.head(address, headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.django_db
def test_a_page_that_is_known_is_one_query_all_the_same(client, django_assert_num_queries):
    make_result(KPIS[1], MIDNIGHT, 1)
    tag = get(client, "/api/KPIs/1/")["ETag"]
    with django_assert_num_queries(1):
        assert get(client, "/api/KPIs/1/", tag).status_code == 304


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/api/intervals/", "/api/batches/{batch}/rejects/"])
def test_a_tag_of_one_reader_is_not_that_of_another_who_sees_more(client, address):
    batch = make_batch(make_run(), "a.csv")
    make_reject(batch, 2, text="31600000001,x")
    make_summary(5, MIDNIGHT)
    address = address.format(batch=batch.pk)
    anonymous = get(client, address)
    client.force_login(make_user("view_personal"))
    cleared = get(client, address, anonymous["ETag"])
    assert cleared.status_code == 200
    assert cleared.content != anonymous.content
    client.logout()
    assert get(client, address, cleared["ETag"]).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/api/KPIs/1/?rank__lte=x", "/api/KPIs/5/", "/api/batches/1/", "/api/nowhere/"])
def test_what_fails_has_no_tag_and_is_never_unchanged(client, address):
    response = get(client, address, "*")
    assert 400 <= response.status_code < 500
    assert "ETag" not in response


ANYONE, READER, NOBODY = "no-cache", "private, no-cache", "private, no-store"


@pytest.mark.sqlite_alone
@pytest.mark.django_db
@pytest.mark.parametrize("form", ["json", "csv"])
@pytest.mark.parametrize(
    ("address", "anonymous", "plain", "cleared"),
    [
        ("/api/KPIs/", ANYONE, READER, READER),
        ("/api/KPIs/1/", ANYONE, READER, READER),
        ("/api/KPIs/1/anomalies/", ANYONE, READER, READER),
        ("/api/KPIs/5/", "no-store", "no-store", NOBODY),
        ("/api/KPIs/6/anomalies/", "no-store", "no-store", NOBODY),
        ("/api/v1/cell-kpis/", ANYONE, READER, READER),
        ("/api/intervals/", ANYONE, READER, NOBODY),
        ("/api/batches/", ANYONE, READER, READER),
        ("/api/batches/{batch}/rejects/", ANYONE, READER, NOBODY),
    ],
)
def test_who_may_keep_an_answer(client, settings, address, anonymous, plain, cleared, form):
    address = f"{address.format(batch=make_batch(make_run(), 'a.csv').pk)}?format={form}"

    def kept(**headers) -> str:
        response = client.get(address, headers=headers)
        response.getvalue()
        assert {"Accept", "Authorization"} <= set(response["Vary"].split(", "))
        return response["Cache-Control"]

    assert kept() == anonymous
    token = Token.objects.create(user=make_user(name="program"))
    assert kept(Authorization=f"Token {token.key}") == plain
    client.force_login(make_user("view_personal"))
    assert kept() == cleared
    client.logout()
    settings.API_PUBLIC = False
    assert kept() == "no-store"
    assert kept(Authorization=f"Token {token.key}") == plain
