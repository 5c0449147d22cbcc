"""The error of a catalog file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

# Where a value is in a file: keys of tables, and indexes of lists from 0.
Keys = tuple[str | int, ...]


class CatalogError(ValueError):
    """A catalog file that cannot be used; the message has the file, the line, the key, and what is wrong with it."""

    def __init__(self, path: Path, line: int, keys: Keys, problem: str):
        where = f"{shown(keys)} " if keys else ""
        super().__init__(f"{path}:{line}: {where}{problem}")
        self.path, self.line, self.keys, self.problem = path, line, keys, problem


def shown(keys: Sequence[str | int]) -> str:
    """Return keys as they are written in TOML, entries of lists by their number, from 1: ``checks[2].reason``."""
    text = ""
    for key in keys:
        text += f"[{key + 1}]" if isinstance(key, int) else f".{key}" if text else f"{key}"
    return text
