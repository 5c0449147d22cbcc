"""Regular expressions of catalog files for file names: RE2's, whose searches take time in proportion to the name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kpis.catalog.result_columns import BadEntry


@dataclass(frozen=True)
class NamePattern:
    """A regular expression that is searched for in file names. Raises BadEntry if RE2 does not support it.

    Python's own engine tries every way in which a pattern such as ``(a+)+b`` can match, which for a name of 50 letters
    takes years.
    """

    pattern: str

    def __post_init__(self) -> None:
        """Compile the pattern."""
        _ = self._compiled

    @property
    def groups(self) -> frozenset[str]:
        """The names of its groups."""
        return frozenset(self._compiled.groupindex)

    def search(self, name: str) -> Mapping[str, Any] | None:
        """Return the named groups of the first match in a name, None for a group without one; None if none matches."""
        # A name's bytes that are not UTF-8 match no letter.
        found = self._compiled.search(name.encode("utf-8", "replace").decode())
        return None if found is None else found.groupdict()

    @cached_property
    def _compiled(self) -> Any:
        # Only catalogs with such a key need the library.
        import re2

        options = re2.Options()
        options.log_errors = False
        try:
            return re2.compile(self.pattern, options=options)
        except re2.error as error:
            reason = error.args[0]
            raise BadEntry(reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)) from None
