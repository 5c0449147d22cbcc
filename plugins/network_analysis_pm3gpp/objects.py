"""Names of measured objects: distinguished names, as 3GPP TS 32.300 has them, like ``GNBDUFunction=1,NRCellDU=7``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

# A part of a name: a class of objects, and which one of them it is. A comma within it has a backslash before it.
_PART = re.compile(r"\s*([^=,]+?)\s*=\s*((?:[^,\\]|\\.)*)")
# The classes of cells, of TS 28.541, 28.658 and 28.652.
CELL_CLASSES = frozenset(
    (
        *("NRCellDU", "NRCellCU", "EUtranCellFDD", "EUtranCellTDD", "EUtranGenericCell"),
        *("UtranCellFDD", "UtranCellTDDLcr", "UtranCellTDDHcr", "UtranGenericCell", "GsmCell"),
    )
)
# The classes of what cells' names are unique within.
_ELEMENT_CLASSES = frozenset(["SubNetwork", "MeContext", "ManagedElement"])


class Object(NamedTuple):
    """A measured object: the class ``of`` it, which is that of its name's last part, and the ``cell`` that it is.

    A cell's name is made of the values of the network's, the element's and the cell's parts, with ``/`` between:
    ``North/gnb17/7``. It is "" for other objects.
    """

    of: str
    cell: str


def object_of(element: str, name: str) -> Object:
    """Return the object of a name that is local to an element; either may be "", and the name may be whole."""
    if "\\" in name:
        of = next(reversed(parts_of(name)), "")
    else:
        kind, equals, _ = name.rpartition(",")[2].partition("=")
        of = kind.strip() if equals else ""
    return Object(of, _cell_of(element, name, of) if of in CELL_CLASSES else "")


@lru_cache(maxsize=10_000)
def parts_of(name: str) -> dict[str, str]:
    """Return the parts of an object's name by their classes."""
    return dict(_PART.findall(name))


@lru_cache(maxsize=10_000)
def _cell_of(element: str, name: str, of: str) -> str:
    parts = parts_of(name)
    above = parts_of(element) | parts
    found = [value for kind, value in above.items() if kind in _ELEMENT_CLASSES]
    if not found and element:
        # A name that is no distinguished one.
        found = [element]
    return "/".join([*found, parts[of]])
