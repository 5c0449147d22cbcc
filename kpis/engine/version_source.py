"""Where the versions of references come from that partials are joined with."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from kpis.catalog.references import ReferenceTable
from kpis.engine.table import Columns


class VersionSource(Protocol):
    """Where the versions are loaded from."""

    def reference_state(self, reference: ReferenceTable) -> object:
        """Return a value that changes whenever the reference's versions change."""

    def versions(self, reference: ReferenceTable, keys: Collection[str] | None) -> Iterable[Columns]:
        """Yield the versions of these keys, or of all with None, in columns of bounded length.

        The columns are ``key`` (as the database has it, a text), ``valid_from`` and ``valid_to`` (UTC, datetime64[us];
        masked for no end), and the reference's ``texts``, "" where there is none.
        """
