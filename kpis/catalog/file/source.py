"""The TOML of a catalog file: its values, and the lines of its keys."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kpis.catalog.file.errors import CatalogError, Keys

if TYPE_CHECKING:
    from tree_sitter import Node

LARGEST_BYTES = 2**20
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True)
class Source:
    """A catalog file at ``path``: its text and, in ``values``, what tomllib makes of it."""

    path: Path
    text: str
    values: dict[str, Any]

    def error(self, keys: Keys, problem: str) -> CatalogError:
        """Return the error of a value, or of a table that lacks one."""
        return CatalogError(self.path, self.line_of(keys), keys, problem)

    def line_of(self, keys: Keys) -> int:
        """Return the line (from 1) of a key, or of the innermost table around it that the file has."""
        return next((self._lines[keys[:end]] for end in range(len(keys), 0, -1) if keys[:end] in self._lines), 1)

    @cached_property
    def _lines(self) -> dict[Keys, int]:
        # Slower to import than tomllib, and needed only for an error.
        import tree_sitter_toml
        from tree_sitter import Language, Parser

        tree = Parser(Language(tree_sitter_toml.language())).parse(self.text.encode())
        lines: dict[Keys, int] = {}
        for keys, line in _places(tree.root_node):
            lines.setdefault(keys, line)
        return lines


def read(path: Path) -> Source:
    """Read a catalog file; raises CatalogError if it cannot be read, or is not TOML."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CatalogError(path, 1, (), f"cannot be read: {error.strerror}") from error
    if len(content) > LARGEST_BYTES:
        raise CatalogError(path, 1, (), f"is longer than {LARGEST_BYTES:,} bytes: split it, and name each in CATALOG")
    return parse(content, path)


def parse(content: bytes, path: Path) -> Source:
    """Parse the content of the catalog file at a path; raises CatalogError."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CatalogError(path, line, (), "is not valid UTF-8: save the file as UTF-8") from None
    try:
        return Source(path, text, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        place = _PLACE.search(f"{error}")
        line = int(place[1]) if place and place[1] else text.count("\n") + 1
        problem = _PLACE.sub("", f"{error}")
        raise CatalogError(path, line, (), f"is not TOML: {problem[:1].lower()}{problem[1:]}") from None
    except RecursionError:
        raise CatalogError(path, 1, (), "is nested too deeply") from None


def _places(document: Node) -> Iterator[tuple[Keys, int]]:
    """Yield the keys of each value in a document, with its line."""
    # By an array of tables: the index of its last one.
    last: dict[Keys, int] = {}
    for node in document.named_children:
        if node.type == "pair":
            yield from _pair(node, ())
            continue
        if node.type not in ("table", "table_array_element"):
            continue
        at: Keys = ()
        header, *pairs = node.named_children
        names = _key(header)
        for name in names[:-1]:
            at = _inside((*at, name), last)
            yield at, _line(node)
        at = (*at, names[-1])
        if node.type == "table_array_element":
            yield at, _line(node)
            last[at] = last.get(at, -1) + 1
        at = _inside(at, last)
        yield at, _line(node)
        for pair in pairs:
            if pair.type == "pair":
                yield from _pair(pair, at)


def _inside(keys: Keys, last: dict[Keys, int]) -> Keys:
    return (*keys, last[keys]) if keys in last else keys


def _pair(pair: Node, at: Keys) -> Iterator[tuple[Keys, int]]:
    key, *values = (child for child in pair.named_children if child.type != "comment")
    for name in _key(key):
        at = (*at, name)
        yield at, _line(pair)
    for value in values:
        yield from _value(value, at)


def _value(node: Node, at: Keys) -> Iterator[tuple[Keys, int]]:
    children = [child for child in node.named_children if child.type != "comment"]
    if node.type == "inline_table":
        for pair in children:
            yield from _pair(pair, at)
    elif node.type == "array":
        for index, child in enumerate(children):
            yield (*at, index), _line(child)
            yield from _value(child, (*at, index))


def _key(node: Node) -> tuple[str, ...]:
    """Return the names of a key, which may be dotted and quoted."""
    names = []
    inner: Any = tomllib.loads(f"{(node.text or b'').decode()} = 0")
    while isinstance(inner, dict):
        (name, inner), *_ = inner.items()
        names.append(name)
    return tuple(names)


def _line(node: Node) -> int:
    return node.start_point[0] + 1
