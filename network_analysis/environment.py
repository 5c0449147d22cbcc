"""Typed values from the environment; a wrong one raises ImproperlyConfigured with one clear line."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from django.core.exceptions import ImproperlyConfigured

from kpis import extras
from kpis.storage import Address, address

if TYPE_CHECKING:
    from kpis.spark.engine import Master


def text(name: str, default: str = "") -> str:
    """The variable's text, without surrounding spaces; the default where it is unset or empty."""
    return os.environ.get(name, "").strip() or default


def _read(name: str, default, convert: Callable, wanted: str):
    value = text(name)
    if not value:
        return default
    try:
        return convert(value)
    except (ValueError, KeyError, OSError):
        raise ImproperlyConfigured(f"{name} must be {wanted}, not {value!r}.") from None


def boolean(name: str, default: bool) -> bool:
    """1/0, true/false, yes/no or on/off."""
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    return _read(name, default, lambda value: words[value.lower()], "one of " + ", ".join(words))


def integer(name: str, default: int | None, minimum: int, maximum: int | None = None) -> int | None:
    """A whole number of at least ``minimum``, and at most ``maximum`` where there is one."""

    def convert(value: str) -> int:
        if int(value) < minimum or (maximum is not None and int(value) > maximum):
            raise ValueError
        return int(value)

    wanted = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
    return _read(name, default, convert, f"a whole number {wanted}")


def seconds(name: str, default: float, minimum: float) -> float:
    """A number of seconds, decimals allowed, of at least ``minimum``."""

    def convert(value: str) -> float:
        if not minimum <= float(value) < math.inf:
            raise ValueError
        return float(value)

    return _read(name, default, convert, f"a number of seconds of at least {minimum}")


def rate(name: str, default: str) -> str | None:
    """Requests in a time, such as ``600/min``; None for ``off``."""

    def convert(value: str) -> str | None:
        if value.lower() == "off":
            return None
        if not re.fullmatch(r"[1-9][0-9]{0,8}/(sec|min|hour|day)", value):
            raise ValueError
        return value

    return _read(name, default, convert, "off, or like 600/min with one of sec, min, hour, day")


def ratio(name: str, default: float) -> float:
    """A number from 0 to 1."""

    def convert(value: str) -> float:
        if not 0 <= float(value) <= 1:
            raise ValueError
        return float(value)

    return _read(name, default, convert, "a number from 0 to 1")


def choice(name: str, default: str, choices: tuple[str, ...]) -> str:
    """One of the choices, in any case."""
    by_lower = {one.lower(): one for one in choices}
    return _read(name, default, lambda value: by_lower[value.lower()], "one of " + ", ".join(choices))


def redis(name: str) -> str:
    """A Redis server's address; "" for none."""

    def convert(value: str) -> str:
        if not re.fullmatch(r"(rediss?|unix)://\S+", value):
            raise ValueError
        return value

    found = _read(name, "", convert, "like redis://127.0.0.1:6379/0, rediss:// or unix://")
    if found and not extras.is_installed("redis"):
        raise ImproperlyConfigured(extras.missing("redis", f"{name} needs"))
    return found


def spark(master: str, remote: str) -> Master | None:
    """Where Spark is, by a master's URL in one variable or a Spark Connect server's in the other; None for nowhere."""
    if text(master) and text(remote):
        raise ImproperlyConfigured(f"{master} and {remote} are both set: which one is Spark's?")
    if not text(master) and not text(remote):
        return None
    from kpis.spark.engine import Master

    def connect(value: str) -> Master:
        if not re.fullmatch(r"sc://\S+", value):
            raise ValueError
        return Master(value, is_remote=True)

    return _read(remote, None, connect, "like sc://host:15002") or Master(text(master))


def words(name: str) -> list[str]:
    """The comma-separated words."""
    return [word.strip() for word in text(name).split(",") if word.strip()]


def pairs(name: str, default: dict[str, str], values: tuple[str, ...]) -> dict[str, str]:
    """Comma-separated ``key=value`` pairs, each value one of ``values``."""

    def convert(value: str) -> dict[str, str]:
        found = {}
        for pair in value.split(","):
            key, equals, word = pair.strip().partition("=")
            if not (key and equals and word in values):
                raise ValueError
            found[key] = word
        return found

    return _read(name, default, convert, f"pattern=feed pairs, comma-separated, feeds being {', '.join(values)}")


def feeds(name: str, default: tuple[str, ...], known: tuple[str, ...]) -> frozenset[str]:
    """Comma-separated names of feeds; ``none`` for none."""

    def convert(value: str) -> frozenset[str]:
        found = {word.strip() for word in value.split(",")} - {"none", ""}
        if not found <= set(known):
            raise ValueError
        return frozenset(found)

    return _read(name, frozenset(default), convert, f"none, or comma-separated feeds of {', '.join(known)}")


def place(name: str, default: Path) -> Address:
    """A folder's path, a relative one starting from the working directory, or ``s3://bucket/prefix``."""
    return _read(name, default, address, "a folder or like s3://bucket/prefix")


def zone(name: str, default: str) -> str:
    """A time zone's name."""
    return _read(name, default, lambda value: ZoneInfo(value).key, "a zone's name such as UTC or Europe/Madrid")
