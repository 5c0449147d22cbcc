"""Spark's address. Settings have it in every process, so nothing else is imported with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Master:
    """Spark's address: a master's URL such as ``local[2]``, or that of a Spark Connect server (``is_remote``)."""

    url: str
    is_remote: bool = False
