"""Whatever a query parameter holds, a list answers with rows or says what is wrong.

``FUZZ_VALUES=1000`` tries so many values of every parameter of every list, which takes minutes.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import timedelta

import pytest

from kpis.catalog.registry import KPIS
from tests.effort import times
from tests.factories import (
    MIDNIGHT,
    make_batch,
    make_batch_interval,
    make_reject,
    make_result,
    make_run,
    make_summary,
    make_user,
)

pytestmark = pytest.mark.sqlite_alone

VALUES = times("FUZZ_VALUES", 3, 1000)

HOSTILE = (
    "",
    " ",
    "\0",
    "1\0",
    "\x1b[2J",
    "'",
    '"',
    "' OR 1=1 --",
    "1; DROP TABLE kpis_batch",
    "1) UNION SELECT password FROM auth_user --",
    "%",
    "_",
    "\\",
    "%00",
    "%s",
    "{}",
    "[]",
    "null",
    "None",
    "NaN",
    "Infinity",
    "-0",
    "+1",
    "1.0",
    "1e3",
    "0x10",
    "1_000",
    "1,2",
    "\u0661\u0662",  # digits, but not ours
    "\U0001f4a9",
    "\ud800",
    "\u202e",
    "A\u030a",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "=HYPERLINK(1)",
    "true",
    "0000-00-00",
    "2021-02-30T00:00:00Z",
    "2021-07-18T25:00:00Z",
    "2021-07-18T00:00:60Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "10000-01-01",
    "2021-W29-7",
    "a" * 5000,
    "9" * 5000,
)


def whole_number(chance: random.Random) -> str:
    return str(chance.choice((-1, 1)) * (2 ** chance.randrange(130) + chance.randrange(-1, 2)))


def moment(chance: random.Random) -> str:
    text = (MIDNIGHT + timedelta(seconds=chance.randrange(-(10**10), 10**10))).isoformat()
    zone = chance.choice(("Z", "+02:00", "-0330", " 01:00", "+99:99", "", "Europe/Madrid"))
    return text.replace("+00:00", zone)[chance.randrange(2) * chance.randrange(30) :]


def characters(chance: random.Random) -> str:
    return "".join(chr(chance.randrange(0x110000)) for _ in range(chance.randrange(1, 12)))


def value(chance: random.Random) -> str:
    make = chance.choice((whole_number, moment, characters, lambda chance: chance.choice(HOSTILE)))
    return make(chance)


@pytest.fixture
def lists(client) -> dict[str, list[str]]:
    """Every list of the API, over tables that have rows, with the names of its query parameters."""
    client.force_login(make_user("view_personal"))
    batch = make_batch(make_run(), "ipflow_data.1.csv")
    make_batch_interval(batch, MIDNIGHT)
    make_reject(batch, 2)
    make_summary(1, MIDNIGHT)
    for kpi in KPIS.values():
        make_result(kpi, MIDNIGHT, 1)
    paths = client.get("/api/schema/?format=json").json()["paths"]
    return {
        path.format(id=batch.pk, batch_id=batch.pk): [
            parameter["name"] for parameter in methods["get"]["parameters"] if parameter["in"] == "query"
        ]
        for path, methods in paths.items()
    }


def ask(client, address: str, parameters: dict[str, str]) -> tuple[int, str]:
    # A lone surrogate has no UTF-8: it goes out as the bytes that a careless client would send.
    text = "&".join(f"{name}={quoted(text)}" for name, text in parameters.items())
    response = client.get(address, QUERY_STRING=text)
    body = response.getvalue() if response.streaming else response.content
    return response.status_code, body.decode()


def quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


@pytest.mark.django_db
def test_random_values_of_every_parameter_give_rows_or_a_reason(client, lists):
    chance = random.Random(20210718)  # noqa: S311
    asked = [(address, name) for address, names in lists.items() for name in names] * VALUES
    assert len(asked) > 1000
    statuses: Counter[int] = Counter()
    for address, name in asked:
        # Some come in company.
        company = chance.sample(lists[address], k=min(chance.choice((0, 0, 1, 3)), len(lists[address])))
        parameters = {one: value(chance) for one in (*company, name)}
        status, body = ask(client, address, parameters)
        statuses[status] += 1
        assert status in (200, 400), (address, parameters, body[:500])
        assert status == 200 or body, (address, parameters)
    assert min(statuses[200], statuses[400]) > len(asked) // 20, statuses


@pytest.mark.django_db
def test_every_hostile_text_in_every_parameter_gives_rows_or_a_reason(client, lists):
    address = "/api/batches/"
    for name in lists[address]:
        for text in HOSTILE:
            status, body = ask(client, address, {name: text})
            assert status in (200, 400), (name, text, body[:500])
