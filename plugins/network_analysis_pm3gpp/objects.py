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
    """A measured object: its ``name`` and the ``parts`` of it by class; of a cell's class is the last one: ``of``.

    ``cell`` is the cell that it is, or "" if it is none: the values of the network's, the element's and the cell's
    parts, with ``/`` between: ``North/gnb17/7``.
    """

    name: str
    parts: dict[str, str]
    of: str
    cell: str


@lru_cache(maxsize=10_000)
def object_of(element: str, name: str) -> Object:
    """Return the object of a name that is local to an element; either may be "", and the name may be whole."""
    parts = dict(_PART.findall(name))
    of = next(reversed(parts), "")
    if of not in CELL_CLASSES:
        return Object(name, parts, of, "")
    above = dict(_PART.findall(element)) | parts
    found = [value for kind, value in above.items() if kind in _ELEMENT_CLASSES]
    if not found and element:
        # A name that is no distinguished one.
        found = [element]
    return Object(name, parts, of, "/".join([*found, parts[of]]))
