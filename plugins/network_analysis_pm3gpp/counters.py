"""The lists of counters that values belong to by their positions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

_SPACE = rb"[ \t\r\n]*"
# A name that is printable ASCII without references to characters, and how an object ends.
_OPEN = _SPACE + rb'<measValue[ \t\r\n]+measObjLdn="([ !#-%\'-;=?-~]*)"' + _SPACE + rb">"
_CLOSE = _SPACE + rb"(?:<suspect>([A-Za-z0-9]*)</suspect>" + _SPACE + rb")?</measValue>"
# Numbers, and words such as NIL.
_VALUE, _PASSED = (_SPACE + rb'<r p="%s">' + one + rb"</r>" for one in (rb"([-+.0-9A-Za-z]*)", rb"[-+.0-9A-Za-z]*"))
_VALUES = _SPACE + rb"<measResults>([-+.0-9A-Za-z \t\r\n]*)</measResults>"


@dataclass(frozen=True, eq=False)
class Counters:
    """The counters of a ``measInfo`` with their positions as they are written, and the places of those kept."""

    positions: tuple[str, ...]
    names: tuple[str, ...]
    kept: tuple[int, ...]

    @cached_property
    def kept_names(self) -> tuple[str, ...]:
        """The counters whose values become rows."""
        return tuple(self.names[place] for place in self.kept)

    @cached_property
    def by_position(self) -> dict[str, list[str]]:
        """The counters at each position, which should be one."""
        found: dict[str, list[str]] = {}
        for position, name in zip(self.positions, self.names, strict=True):
            found.setdefault(position, []).append(name)
        return found

    @cached_property
    def repeated(self) -> frozenset[str]:
        """The kept counters that come more than once."""
        return frozenset(name for name, count in Counter(self.kept_names).items() if count > 1)

    @cached_property
    def are_plain(self) -> bool:
        """True if there are any, each with its own position, which is a number, and its own name."""
        positions = set(self.positions)
        are_numbers = all(one.isascii() and one.isdigit() for one in positions)
        return are_numbers and 0 < len(positions) == len(self.positions) and not self.repeated and all(self.names)

    def shared_with(self, other: Counters) -> frozenset[str]:
        """Return the counters that are kept of both lists."""
        return frozenset(self.kept_names) & frozenset(other.kept_names)

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        """What finds an object in the usual form, with each value in an ``r``.

        Its groups are the object's name, the values that are kept, and ``suspect``.
        """
        return _numbered(self.positions, frozenset(self.kept))


# The same where the values are in one ``measResults``: they are one group.
LISTED = re.compile(_OPEN + _VALUES + _CLOSE)


@lru_cache(maxsize=256)
def _numbered(positions: Sequence[str], kept: Collection[int]) -> re.Pattern[bytes]:
    values = ((_VALUE if place in kept else _PASSED) % position.encode() for place, position in enumerate(positions))
    return re.compile(_OPEN + b"".join(values) + _CLOSE)
