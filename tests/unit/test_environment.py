"""Typed values are parsed from the environment; a wrong one is refused with one clear line."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from network_analysis.environment import Group

READ = {
    "seconds": lambda group: group.seconds("NAME", 1.1, minimum=0.1, help=""),
    "ratio": lambda group: group.ratio("NAME", 0.5, help=""),
    "rate": lambda group: group.rate("NAME", "600/min", help=""),
    "redis": lambda group: group.redis("NAME", help=""),
    "feeds": lambda group: group.feeds("NAME", ("antenna",), ("ipflow", "antenna"), help=""),
    "words": lambda group: group.words("NAME", ["localhost"], help=""),
}


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("seconds", "", 1.1),
        ("seconds", "0.1", 0.1),
        ("ratio", "", 0.5),
        ("ratio", "0", 0.0),
        ("ratio", "1", 1.0),
        ("rate", "Off", None),
        ("rate", "5/sec", "5/sec"),
        ("redis", "", ""),
        ("redis", "unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("feeds", "", frozenset({"antenna"})),
        ("feeds", "none", frozenset()),
        ("feeds", "ipflow, antenna", frozenset({"ipflow", "antenna"})),
        ("words", "", ["localhost"]),
        ("words", " a, ,b", ["a", "b"]),
    ],
)
def test_a_right_value_is_parsed_and_an_empty_one_gives_the_default(monkeypatch, kind, value, found):
    monkeypatch.setenv("NAME", value)
    assert READ[kind](Group("title")) == found


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        ("seconds", "0.09", "a number of seconds of at least 0.1"),
        ("seconds", "inf", "a number of seconds of at least 0.1"),
        ("ratio", "1.01", "a number from 0 to 1"),
        ("ratio", "nan", "a number from 0 to 1"),
        ("rate", "0/min", "off, or like 600/min with one of sec, min, hour, day"),
        ("redis", "127.0.0.1:6379", "like redis://127.0.0.1:6379/0, rediss:// or unix://"),
        ("feeds", "antenna,smoke", "none, or comma-separated feeds of ipflow, antenna"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_accepted(monkeypatch, kind, value, wanted):
    monkeypatch.setenv("NAME", value)
    with pytest.raises(ImproperlyConfigured) as refused:
        READ[kind](Group("title"))
    assert str(refused.value) == f"NAME must be {wanted}, not {value!r}."


def test_a_variable_is_described_as_the_reference_lists_it():
    group = Group("title")
    group.feeds("NAME", ("antenna",), ("ipflow", "antenna"), help="The feeds.")
    group.seconds("WAIT", 1.1, minimum=0.1, help="A wait.")
    described = [(one.name, one.default, one.accepts, one.help, one.unit) for one in group.variables]
    assert described == [
        ("NAME", "antenna", "none, or comma-separated feeds of ipflow, antenna", "The feeds.", ""),
        ("WAIT", "1.1", "a number of seconds of at least 0.1", "A wait.", "s"),
    ]
