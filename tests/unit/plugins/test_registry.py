"""Plug-ins are found, loaded once, and refused with their name and the reason."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from kpis.ingest.engines import engine_names
from kpis.ingest.stream_sources import stream_sources
from kpis.plugins import registry
from kpis.plugins.plugin import BUILT_IN, HOOKS, Page, Plugin
from kpis.plugins.registry import PluginError

_numbers = count()


@pytest.fixture
def package(tmp_path, monkeypatch) -> Callable[..., str]:
    """A function that writes a plug-in's package and returns its name; the registry forgets it after the test."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.setattr(registry, "PLUGINS", dict(registry.PLUGINS))

    def write(plugin: str, **modules: str) -> str:
        name = f"tried_{next(_numbers)}"
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        text = f"from kpis.plugins.plugin import Page, Plugin\n{plugin}"
        (tmp_path / name / "plugin.py").write_text(text.replace("PACKAGE", name))
        for module, code in modules.items():
            (tmp_path / name / f"{module}.py").write_text(code)
        return name

    return write


def refusal(package: str) -> str:
    before = dict(registry.PLUGINS)
    with pytest.raises(PluginError) as refused:
        registry.load([package])
    assert before == registry.PLUGINS
    return str(refused.value).replace(package, "PACKAGE")


def plugin(**given) -> Plugin:
    return Plugin(**{"name": "tried", "description": "A trial", "hooks": HOOKS, **given})


def test_the_plug_ins_that_come_with_the_system_are_loaded():
    assert {"network_analysis_kinesis", "network_analysis_pm3gpp", "network_analysis_spark"} <= set(registry.PLUGINS)
    assert set(registry.added("sources")) == {"kinesis"}
    assert set(registry.added("engines")) == {"spark"}
    assert set(registry.added("formats")) == {"pm_xml"}
    for name in registry.PLUGINS:
        assert list(registry.problems(name)) == []


def test_plug_ins_of_a_folder_come_first_and_each_comes_once(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("b_trial", "a_trial", "no_plugin"):
        (tmp_path / name).mkdir()
    (tmp_path / ".hidden").mkdir()
    for name in ("b_trial", "a_trial", ".hidden"):
        (tmp_path / name / "plugin.py").touch()
    found = registry.find(tmp_path, ["named", "b_trial", "named"])
    assert found[:2] == ["a_trial", "b_trial"]
    assert found[-1:] == ["named"]
    assert len(set(found)) == len(found)
    assert sys.path[-1] == str(tmp_path)


def test_a_folder_without_plug_ins_is_not_on_the_path(tmp_path):
    registry.find(tmp_path, [])
    registry.find(tmp_path / "missing", [])
    assert str(tmp_path) not in sys.path


def test_a_plug_in_is_loaded_once_and_gives_what_it_adds(package):
    name = package(
        "PLUGIN = Plugin(name='tried', description='A trial', hooks=1, sources={'carrier': 'PACKAGE.post:PIGEON'})",
        post="PIGEON = 'coo'",
    )
    registry.load([name, name])
    loaded = registry.PLUGINS[name]
    registry.load([name])
    assert registry.PLUGINS[name] is loaded
    assert registry.resolve(registry.added("sources")["carrier"]) == "coo"
    assert loaded.adds == "source carrier"


def test_what_it_adds_in_words():
    added = plugin(
        catalog_files=("a.toml", "b.toml"), measures={"median": "a.b:C"}, pages=(Page("Cells", "", "a.b:view"),)
    )
    assert added.adds == "catalog files a.toml, b.toml; measure median; page Cells"
    assert list(added.flaws()) == []


@pytest.mark.parametrize(
    ("given", "flaw"),
    [
        ({"hooks": 99}, "is written for version 99 of the hooks, and this is version 1: update network-analysis"),
        ({"hooks": 0}, "is written for version 0 of the hooks, and this is version 1: update the plug-in"),
        ({"name": "Two Words"}, "has the name 'Two Words': use lower-case letters, digits and single underscores"),
        ({"formats": {"XML": "a.b:C"}}, "adds 'XML': use lower-case letters"),
        ({"sources": {"post": "a.b.C"}}, "has 'a.b.C', which is not like package.module:name"),
        ({"sources": {"kafka": "a.b:C"}}, "adds the source kafka, which is built in: give it another name"),
        ({"engines": {"local": "a.b:C"}}, "adds the engine local, which is built in: give it another name"),
        ({"catalog_files": "a.toml"}, "has catalog_files = 'a.toml', which must be a tuple"),
        ({"catalog_files": ("../a.toml",)}, "has the catalog file '../a.toml', which is not within its package"),
        ({"catalog_files": ("/a.toml",)}, "has the catalog file '/a.toml', which is not within its package"),
        (
            {"pages": (Page("Cells", "a/", "a.b:view"), Page("Sites", "b/", "a.b:c"), Page("All", "a/", "a.b:d"))},
            "has two pages at 'a/'",
        ),
        (
            {"pages": (Page("Cells", "cells", "a.b:view"),)},
            "has a page at 'cells': use lower-case letters and digits, with a slash at the end",
        ),
    ],
)
def test_a_plug_in_that_contradicts_the_hooks_is_refused(given, flaw):
    assert list(plugin(**given).flaws()) == [flaw]


def test_a_plug_in_that_fails_to_load_is_named_with_the_reason(package):
    raises = package("raise RuntimeError('no licence\\nfound.')")
    assert refusal(raises) == "The plug-in PACKAGE cannot be loaded: RuntimeError: no licence found."
    nothing = package("OTHER = 1")
    assert refusal(nothing) == (
        "The plug-in PACKAGE cannot be loaded: AttributeError: module 'PACKAGE.plugin' has no attribute 'PLUGIN'."
    )
    wrong = package("PLUGIN = 1")
    assert refusal(wrong) == ("The plug-in PACKAGE cannot be loaded: its PLUGIN is not a kpis.plugins.plugin.Plugin.")
    assert refusal("not_there") == (
        "The plug-in not_there cannot be loaded: ModuleNotFoundError: No module named 'not_there'."
    ).replace("not_there", "PACKAGE")


@pytest.mark.parametrize("given", ["hooks='1'", "hooks=1, formats=('xml',)", "hooks=1, pages=('cells/',)"])
def test_a_plug_in_whose_values_have_other_types_is_named(package, given):
    wrong = package(f"PLUGIN = Plugin(name='tried', description='', {given})")
    assert re.fullmatch(r"The plug-in PACKAGE cannot be loaded: (Type|Attribute)Error: .+\.", refusal(wrong))


def test_the_names_that_no_plug_in_can_take_are_those_that_are_built_in():
    assert engine_names()[0] == BUILT_IN["engine"]
    assert stream_sources().keys() - registry.added("sources").keys() == {BUILT_IN["source"]}


def test_two_plug_ins_of_one_name_or_with_one_source_are_refused(package):
    first = package("PLUGIN = Plugin(name='tried', description='', hooks=1, sources={'post': 'PACKAGE.a:B'})")
    registry.load([first])
    same_name = package("PLUGIN = Plugin(name='tried', description='', hooks=1)")
    assert refusal(same_name) == f"The plug-in PACKAGE has the name tried, as {first} has: use one of them."
    same_source = package("PLUGIN = Plugin(name='other', description='', hooks=1, sources={'post': 'PACKAGE.a:B'})")
    assert refusal(same_source) == f"The plug-in PACKAGE has the source post, as {first} has: use one of them."


def test_what_cannot_be_imported_is_reported_with_the_plug_in(package):
    name = package("PLUGIN = Plugin(name='tried', description='', hooks=1, sources={'post': 'PACKAGE.post:PIGEON'})")
    registry.load([name])
    assert list(registry.problems(name)) == [
        f"The plug-in {name} cannot be loaded: ModuleNotFoundError: No module named '{name}.post'."
    ]


def test_a_catalog_file_that_is_missing_is_reported(package, tmp_path):
    name = package("PLUGIN = Plugin(name='tried', description='', hooks=1, catalog_files=('cells.toml',))")
    registry.load([name])
    with pytest.raises(PluginError) as refused:
        registry.catalog_files()
    assert str(refused.value) == f"The plug-in {name} cannot be loaded: it lacks its catalog file cells.toml."
    file: Path = tmp_path / name / "cells.toml"
    file.touch()
    assert registry.catalog_files() == [file]
