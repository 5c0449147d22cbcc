"""Keys that come twice and numbers that JSON does not know are rejects with the true reason, in bulk and singly."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress

import duckdb
import pytest
from django.core.management import call_command
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kpis import pipeline
from kpis.catalog.builtin.antenna import ANTENNA
from kpis.catalog.feeds import BadRow
from kpis.engine.reader import Reader
from kpis.formats.json_rows import JSONRows
from kpis.formats.judge import judge
from kpis.formats.lines import Line
from kpis.models import Batch, Reject
from kpis.sources.spool import Spool
from kpis.stages.prepare import prepare
from kpis.store.ledger import DatabaseLedger
from tests.factories import make_run

DEVICE, ANTENNA_ID = (f"{digit * 8}-{digit * 4}-{digit * 4}-{digit * 4}-{digit * 12}" for digit in "01")


def message(size: str = "1", more: str = "", second: str = "1699999200") -> str:
    ids = f'"id": "{DEVICE}", "antenna_id": "{ANTENNA_ID}"'
    return f'{{"timestamp": {second}, {ids}, "bytes": {size}, "app": "x"{more}}}'


TWICE, ZEROS = message("100", ', "bytes": 9'), message("00010", second="1699999201")
LINES = [TWICE, ZEROS]
REASONS = [("bytes", "comes twice"), ("", "is not JSON: a number begins with 0 at character 137")]


def judged(text: str) -> dict | tuple[str, str]:
    try:
        return judge(JSONRows(ANTENNA, b"", {}), Line(1, text.encode()))
    except BadRow as bad:
        return bad.column, bad.reason


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("00010", "is not JSON: a number begins with 0 at character 137"),
        ("-01", "is not JSON: a number begins with 0 at character 138"),
        ("+1", "is not JSON: a number begins with + at character 136"),
        ("1.", "is not JSON: a number has no digit before or after its point at character 137"),
        (".5", "is not JSON: a number has no digit before or after its point at character 136"),
        ("0x1F", "is not JSON: a number is written as JSON does not know it at character 137"),
        ("1_000", "is not JSON: a number is written as JSON does not know it at character 137"),
        ("NaN", "is not JSON: NaN is no number there"),
        ("Infinity", "is not JSON: Infinity is no number there"),
        ("-Infinity", "is not JSON: -Infinity is no number there"),
        ("1 2", "is not JSON: Expecting ',' delimiter at character 138"),
    ],
)
def test_a_number_that_json_does_not_know_is_a_reject_that_says_so(number, reason):
    assert judged(message(number)) == ("", reason)


@pytest.mark.parametrize("number", ["1.5", "1e3", "1.0"])
def test_a_number_that_json_knows_is_judged_as_a_number(number):
    assert judged(message(number)) == ("bytes", "is not a whole number")


def test_a_key_that_comes_twice_is_a_reject_wherever_it_does():
    assert judged(TWICE) == ("bytes", "comes twice")
    assert judged(message(more=', "note": 1, "note": 1')) == ("note", "comes twice")
    within = ("", "has an object within in which a key comes twice")
    assert judged(message(more=', "note": {"bytes": 1, "bytes": 2}')) == within
    assert judged(message(more=', "note": [{"a": {"b": 1, "b": 1}}]')) == within
    assert isinstance(judged(message(more=', "note": {"bytes": 1}')), dict)


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect(config={"threads": 1}) as opened:
        yield opened


numbers = st.one_of(
    st.integers(0, 2**63).map(str),
    st.from_regex(r"[-+]?[0-9.]{1,4}(e[0-9])?", fullmatch=True),
    st.sampled_from(["NaN", "Infinity", "-Infinity", "0", "-0", "00", "null", '"1"', "1 ", " 1", "true", "", "1,1"]),
)
rests = st.sampled_from([""] * 6 + [', "bytes": 9', ', "more": {"a": 1, "a": 2}', ', "more": 01', "}"])


@hypothesis_settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(numbers, rests), min_size=1, max_size=8))
def test_lines_in_bulk_are_judged_as_they_are_singly(connection, tmp_path, lines):
    texts = [message(number, rest) for number, rest in lines]
    path = tmp_path / "antenna_data.1.jsonl"
    path.write_text("\n".join([*texts, ""]))
    Reader(connection).read(path, ANTENNA)
    singly = [judged(text) for text in texts]
    sizes = connection.execute("SELECT bytes FROM records").fetchall()
    assert Counter(size for (size,) in sizes) == Counter(one["bytes"] for one in singly if isinstance(one, dict))
    rejects = connection.execute('SELECT "column", reason FROM rejects ORDER BY line').fetchall()
    assert rejects == [one for one in singly if isinstance(one, tuple)]


def rejects() -> list[tuple]:
    return list(Reject.objects.order_by("line").values_list("column", "reason"))


CONTENT = "\n".join([*LINES, message(), message("7"), ""])


def check() -> None:
    assert rejects() == REASONS
    assert Batch.objects.values_list("records", "rejects").get() == (2, 2)


def update() -> None:
    with suppress(SystemExit):
        call_command("update_network_stats", verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_both_are_rejects_of_a_file(data_dir):
    (data_dir / "antenna_data.twice.jsonl").write_text(CONTENT)
    update()
    check()


@pytest.mark.django_db(transaction=True)
def test_both_are_rejects_of_a_file_in_a_bucket(bucket):
    bucket.put_object(Key="in/antenna_data.twice.jsonl", Body=CONTENT.encode())
    update()
    check()


@pytest.mark.django_db
def test_both_are_rejects_of_a_stream(tmp_path, lake_dir):
    spool = Spool(ANTENNA, tmp_path / "messages")
    lines = CONTENT.splitlines()
    spool.add(list(range(len(lines))), [line.encode() for line in lines])
    options = pipeline.Options(max_reject_ratio=1)
    messages, ledger = spool.messages("calls", 0, None), DatabaseLedger(make_run())
    with pipeline.engine(lake_dir) as engine, prepare(messages, engine, options) as one:
        list(pipeline.run_prepared([one], ledger, engine, options))
    check()


def test_what_the_tests_write_is_json_but_for_what_is_wrong():
    assert json.loads(message("12"))["bytes"] == 12
