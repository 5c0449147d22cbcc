"""The registry of plug-ins: finds, loads and checks them. Settings do it for Django, before they read a catalog."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from kpis.catalog.plugin_formats import register_format
from kpis.catalog.plugin_measures import add_measure
from kpis.plugins.plugin import Plugin

# The group of entry points by which installed distributions name their plug-ins' packages.
ENTRY_POINTS = "network_analysis.plugins"

# Those that are loaded, by package.
PLUGINS: dict[str, Plugin] = {}


class PluginError(Exception):
    """A plug-in cannot be loaded; the message has its name and the reason."""


def find(folder: Path | None, named: Iterable[str]) -> list[str]:
    """Return the packages of plug-ins: those in a folder, those of installed distributions, then those that are named.

    Packages in the folder can be imported from then on.
    """
    packages = [] if folder is None else sorted(path.parent.name for path in folder.glob("*/plugin.py"))
    in_folder = [name for name in packages if name.isidentifier()]
    if in_folder and str(folder) not in sys.path:
        sys.path.append(str(folder))
    installed = sorted(point.value for point in metadata.entry_points(group=ENTRY_POINTS))
    return list(dict.fromkeys([*in_folder, *installed, *named]))


def load(packages: Iterable[str]) -> None:
    """Load plug-ins that are not loaded yet, by their packages, with what catalog files use; raises PluginError."""
    for package in packages:
        if package not in PLUGINS:
            plugin = _loaded(package)
            for other, known in PLUGINS.items():
                if conflict := _conflict(plugin, known):
                    raise PluginError(f"The plug-in {package} has {conflict}, as {other} has: use one of them.")
            _add_to_catalog(package, plugin)
            PLUGINS[package] = plugin


def folders_of(package: str) -> list[Path]:
    """Return the folders of a package; one without ``__init__.py`` may have several."""
    return [Path(folder) for folder in import_module(package).__path__]


def catalog_files() -> list[Path]:
    """Return the paths of all plug-ins' catalog files; raises PluginError if one is missing."""
    found = []
    for package, plugin in PLUGINS.items():
        for name in plugin.catalog_files:
            paths = [folder / name for folder in folders_of(package)]
            path = next((path for path in paths if path.is_file()), None)
            if path is None:
                raise PluginError(f"The plug-in {package} cannot be loaded: it lacks its catalog file {name}.")
            found.append(path)
    return found


def added(kind: str) -> dict[str, str]:
    """Return the places of what all plug-ins add of a kind, such as ``sources``, by name."""
    return {name: place for plugin in PLUGINS.values() for name, place in getattr(plugin, kind).items()}


def resolve(place: str) -> Any:
    """Import and return what is at a place of a plug-in; raises PluginError."""
    module = place.partition(":")[0]
    return _at(next((one for one in PLUGINS if place in PLUGINS[one].places), module), place)


def problems(package: str) -> Iterator[str]:
    """Yield the reasons why something that a loaded plug-in adds cannot be used."""
    for place in PLUGINS[package].places:
        try:
            resolve(place)
        except PluginError as error:
            yield f"{error}"


def fault_in(error: Exception) -> PluginError | None:
    """Return an error as that of the plug-in whose code raised it, which cannot be loaded; None if none did."""
    trace = error.__traceback__
    found = None
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        found = next((package for package in PLUGINS if f"{module}.".startswith(f"{package}.")), found)
        trace = trace.tb_next
    return PluginError(_cannot_be_loaded(found, error)) if found else None


def _loaded(package: str) -> Plugin:
    try:
        plugin = import_module(f"{package}.plugin").PLUGIN
    # Whatever the plug-in's code raises: the message must name the plug-in.
    except Exception as error:
        raise PluginError(_cannot_be_loaded(package, error)) from error
    if not isinstance(plugin, Plugin):
        raise PluginError(f"The plug-in {package} cannot be loaded: its PLUGIN is not a kpis.plugins.plugin.Plugin.")
    try:
        flaw = next(plugin.flaws(), None)
    except Exception as error:
        raise PluginError(_cannot_be_loaded(package, error)) from error
    if flaw is not None:
        raise PluginError(f"The plug-in {package} {flaw}.")
    return plugin


def _add_to_catalog(package: str, plugin: Plugin) -> None:
    """Add the formats and measures that catalog files may name; raises PluginError."""
    try:
        for name, place in plugin.formats.items():
            register_format(name, _at(package, place))
        for kind, place in plugin.measures.items():
            add_measure(kind, _at(package, place))
    except ValueError as error:
        raise PluginError(_cannot_be_loaded(package, error)) from error


def _at(package: str, place: str) -> Any:
    """Import and return what is at a place of a plug-in's; raises PluginError."""
    module, _, name = place.partition(":")
    try:
        return getattr(import_module(module), name)
    except Exception as error:
        raise PluginError(_cannot_be_loaded(package, error)) from error


def _cannot_be_loaded(package: str, error: Exception) -> str:
    reason = " ".join(f"{error}".split()).rstrip(".")
    return f"The plug-in {package} cannot be loaded: {type(error).__name__}: {reason}."


def _conflict(one: Plugin, other: Plugin) -> str:
    """Return what two plug-ins both have: ``the name kinesis``, ``the source kinesis``; "" for nothing."""
    if one.name == other.name:
        return f"the name {one.name}"
    for kind in ("formats", "measures", "sources", "engines"):
        for name in getattr(one, kind):
            if name in getattr(other, kind):
                return f"the {kind.rstrip('s')} {name}"
    return ""
