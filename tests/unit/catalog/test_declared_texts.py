"""Catalog files that come as texts from another process, as to executors of Spark."""

from __future__ import annotations

import pytest

from kpis.catalog import registry
from kpis.catalog.file.errors import CatalogError

NAMES = ("FEEDS", "FEED_FILES", "KPIS", "REFERENCES", "DECLARED_FEEDS", "DECLARED_KPIS")


def catalog(name: str) -> tuple[str, str]:
    return (
        f"/catalogs/{name}.toml",
        f"""
[feeds.{name}]
description = "A feed"
files = ["{name}_*.csv"]
format = {{type = "csv"}}
interval = "5m"
time = {{column = "begin"}}
[feeds.{name}.columns]
begin = {{type = "time", format = "unix_ms"}}
""",
    )


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    for name in NAMES:
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    for name in ("DEFINITIONS", "SOURCES"):
        monkeypatch.setattr(registry, name, [])


def test_texts_are_added_once_whatever_else_was_added():
    first, second = catalog("one"), catalog("other")
    registry.declare_texts([first])
    registry.declare_texts([second])
    registry.declare_texts([second])
    registry.declare_texts([first, second])
    assert registry.declared_texts() == [first, second]
    assert sorted(registry.DECLARED_FEEDS) == ["one", "other"]


def test_a_feed_of_the_same_name_with_another_text_is_refused():
    path, text = catalog("one")
    registry.declare_texts([(path, text)])
    with pytest.raises(CatalogError, match="one is the name of a built-in feed"):
        registry.declare_texts([(path, text.replace("A feed", "Another"))])
    assert registry.declared_texts() == [(path, text)]
