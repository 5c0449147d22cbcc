"""The settings that plug-ins add."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from kpis.plugins.registry import PLUGINS
from network_analysis.environment import Group


def settings_of_plugins(known: Collection[str]) -> tuple[list[Group], dict[str, Any]]:
    """Return the plug-ins' groups of settings, and the settings' values by name.

    Raises ImproperlyConfigured for a wrong value, if a plug-in's module of settings cannot be imported, and if it has a
    setting of a ``known`` name.
    """
    groups: list[Group] = []
    values: dict[str, Any] = {}
    for package, plugin in PLUGINS.items():
        if not plugin.settings:
            continue
        try:
            module = import_module(plugin.settings)
        except ImproperlyConfigured:
            raise
        # Whatever the plug-in's code raises: the message must name the plug-in.
        except Exception as error:
            reason = " ".join(f"{error}".split()).rstrip(".")
            raise ImproperlyConfigured(
                f"The plug-in {package} cannot be loaded: {type(error).__name__}: {reason}."
            ) from error
        groups += [value for value in vars(module).values() if isinstance(value, Group)]
        for name, value in vars(module).items():
            # What both import from elsewhere, such as a constant, is no setting of either.
            if not name.isupper() or value is values.get(name):
                continue
            if name in known or name in values:
                raise ImproperlyConfigured(f"The plug-in {package} has the setting {name}, which there is already.")
            values[name] = value
    return groups, values
