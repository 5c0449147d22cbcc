"""Typed values from the environment; a wrong one raises ImproperlyConfigured with one clear line."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, overload
from zoneinfo import ZoneInfo

from django.core.exceptions import ImproperlyConfigured

from kpis import extras
from kpis.catalog import registry
from kpis.catalog.file.errors import CatalogError
from kpis.plugins import registry as plugin_registry
from kpis.plugins.registry import PluginError
from kpis.storage import Address, address

Default = TypeVar("Default")
Value = TypeVar("Value")

BOOLEANS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class Variable:
    """A variable of the environment, as the settings' reference lists it.

    ``accepts`` describes the values that it takes, ``unit`` what a number counts ("" for none).
    """

    name: str
    default: str
    accepts: str
    help: str
    unit: str = ""


@dataclass
class Group:
    """Variables that belong together. Each method reads one, and adds its description to ``variables``.

    ``help`` describes in Markdown what the variable sets; ``shown`` is the default for the reference, if it is not the
    value itself. An unset or empty variable gives the default.
    """

    title: str
    variables: list[Variable] = field(default_factory=list)

    def text(self, name: str, default: str = "", *, help: str, accepts: str = "", shown: str | None = None) -> str:
        """Return the variable's text, without surrounding spaces."""
        self._note(name, default, accepts, help, "", shown)
        return _value(name) or default

    def mention(self, name: str, *, help: str) -> None:
        """Describe a variable that a library reads."""
        self._note(name, "", "", help, "", None)

    def boolean(self, name: str, default: bool, *, help: str) -> bool:
        """Parse 1/0, true/false, yes/no or on/off."""
        self._note(name, default, "on or off", help, "", "on" if default else "off")
        return _read(name, default, lambda value: BOOLEANS[value.lower()], "one of " + ", ".join(BOOLEANS))

    @overload
    def integer(
        self, name: str, default: int, minimum: int, maximum: int | None = None, *, help: str, unit: str = ""
    ) -> int: ...

    @overload
    def integer(
        self, name: str, default: None, minimum: int, maximum: int | None = None, *, help: str, unit: str = ""
    ) -> int | None: ...

    def integer(
        self, name: str, default: int | None, minimum: int, maximum: int | None = None, *, help: str, unit: str = ""
    ) -> int | None:
        """Parse a whole number of at least ``minimum``, and at most ``maximum`` if given."""

        def convert(value: str) -> int:
            if int(value) < minimum or (maximum is not None and int(value) > maximum):
                raise ValueError
            return int(value)

        wanted = "a whole number " + (f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}")
        return self.value(name, default, convert, wanted, help, unit)

    def seconds(self, name: str, default: float, minimum: float, *, help: str) -> float:
        """Parse a number of seconds, decimals allowed, of at least ``minimum``."""

        def convert(value: str) -> float:
            if not minimum <= float(value) < math.inf:
                raise ValueError
            return float(value)

        return self.value(name, default, convert, f"a number of seconds of at least {minimum}", help, "s")

    def rate(self, name: str, default: str, *, help: str) -> str | None:
        """Parse requests per time, such as ``600/min``; ``off`` gives None."""

        def convert(value: str) -> str | None:
            if value.lower() == "off":
                return None
            if not re.fullmatch(r"[1-9][0-9]{0,8}/(sec|min|hour|day)", value):
                raise ValueError
            return value

        return self.value(name, default, convert, "off, or like 600/min with one of sec, min, hour, day", help)

    def ratio(self, name: str, default: float, *, help: str) -> float:
        """Parse a number from 0 to 1."""

        def convert(value: str) -> float:
            if not 0 <= float(value) <= 1:
                raise ValueError
            return float(value)

        return self.value(name, default, convert, "a number from 0 to 1", help)

    def choice(self, name: str, default: str, choices: tuple[str, ...], *, help: str, shown: str | None = None) -> str:
        """Parse one of the choices, in any case."""
        by_lower = {one.lower(): one for one in choices}
        wanted = "one of " + ", ".join(choices)
        return self.value(name, default, lambda value: by_lower[value.lower()], wanted, help, shown=shown)

    def redis(self, name: str, *, help: str) -> str:
        """Parse a Redis server's address; "" for none."""

        def convert(value: str) -> str:
            if not re.fullmatch(r"(rediss?|unix)://\S+", value):
                raise ValueError
            return value

        wanted = "like redis://127.0.0.1:6379/0, rediss:// or unix://"
        found = self.value(name, "", convert, wanted, help)
        if found and not extras.is_installed("redis"):
            raise ImproperlyConfigured(extras.missing("redis", f"{name} needs"))
        return found

    def words(self, name: str, default: list[str], *, help: str, accepts: str = "comma-separated names") -> list[str]:
        """Parse comma-separated words."""
        self._note(name, ",".join(default), accepts, help, "", None)
        return [word.strip() for word in _value(name).split(",") if word.strip()] or default

    def pairs(
        self, name: str, default: dict[str, str], values: tuple[str, ...], *, help: str, shown: str
    ) -> dict[str, str]:
        """Parse comma-separated ``key=value`` pairs, each value one of ``values``."""

        def convert(value: str) -> dict[str, str]:
            found = {}
            for pair in value.split(","):
                key, equals, word = pair.strip().partition("=")
                if not (key and equals and word in values):
                    raise ValueError
                found[key] = word
            return found

        wanted = f"pattern=feed pairs, comma-separated, feeds being {', '.join(values)}"
        return self.value(name, default, convert, wanted, help, shown=shown)

    def feeds(
        self, name: str, default: tuple[str, ...], known: tuple[str, ...], *, help: str, shown: str | None = None
    ) -> frozenset[str]:
        """Parse comma-separated names of feeds; ``none`` for none."""

        def convert(value: str) -> frozenset[str]:
            found = {word.strip() for word in value.split(",")} - {"none", ""}
            if not found <= set(known):
                raise ValueError
            return frozenset(found)

        wanted = f"none, or comma-separated feeds of {', '.join(known)}"
        return self.value(name, frozenset(default), convert, wanted, help, shown=shown or ",".join(default))

    def plugins(self, name: str, folder: Path | None, *, help: str) -> list[str]:
        """Parse comma-separated packages, and load these plug-ins, those in a folder and those that are installed."""
        named = self.words(name, [], help=help, accepts="packages, comma-separated")
        try:
            found = plugin_registry.find(folder, named)
            plugin_registry.load(found)
        except PluginError as error:
            raise ImproperlyConfigured(f"{error}") from None
        return found

    def catalog(self, name: str, *, help: str) -> list[Path]:
        """Parse comma-separated paths of catalog files, and add what they and the plug-ins' declare to the registry.

        Returns the paths that the variable names.
        """
        self._note(name, "", "paths of files, comma-separated", help, "", None)
        paths = [Path(path.strip()).absolute() for path in _value(name).split(",") if path.strip()]
        try:
            registry.declare([*plugin_registry.catalog_files(), *paths])
        except (CatalogError, PluginError) as error:
            raise ImproperlyConfigured(f"{error}") from None
        return paths

    def folder(self, name: str, default: Path | None, *, help: str, shown: str) -> Path | None:
        """Parse a folder's path, relative to the working directory."""
        return self.value(name, default, lambda value: Path(value).absolute(), "a folder", help, shown=shown)

    def place(self, name: str, default: Path, *, help: str, shown: str) -> Address:
        """Parse a folder's path, relative to the working directory, or ``s3://bucket/prefix``."""
        return self.value(name, default, address, "a folder or like s3://bucket/prefix", help, shown=shown)

    def zone(self, name: str, default: str, *, help: str) -> str:
        """Parse a time zone's name."""
        wanted = "a zone's name such as UTC or Europe/Madrid"
        return self.value(name, default, lambda value: ZoneInfo(value).key, wanted, help)

    def value(
        self,
        name: str,
        default: Default,
        convert: Callable[[str], Value],
        wanted: str,
        help: str,
        unit: str = "",
        shown: str | None = None,
    ) -> Default | Value:
        """Parse a value by ``convert``, which raises ValueError, KeyError or OSError for one that is not ``wanted``."""
        self._note(name, default, wanted, help, unit, shown)
        return _read(name, default, convert, wanted)

    def _note(self, name: str, default: object, accepts: str, help: str, unit: str, shown: str | None) -> None:
        text = shown if shown is not None else "" if default is None else f"{default}"
        self.variables.append(Variable(name, text, accepts, help, unit))


def _value(name: str) -> str:
    return os.environ.get(name, "").strip()


def _read(name: str, default: Default, convert: Callable[[str], Value], wanted: str) -> Default | Value:
    value = _value(name)
    if not value:
        return default
    try:
        return convert(value)
    except (ValueError, KeyError, OSError):
        raise ImproperlyConfigured(f"{name} must be {wanted}, not {value!r}.") from None
