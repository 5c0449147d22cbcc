"""Altair, imported when the first chart is drawn: that takes longer than most commands do, and few processes draw.

The modules of charts use this module as ``alt``. Importing them, as the URL patterns do, imports neither Altair nor
pandas.
"""

from __future__ import annotations

from typing import Any


def load() -> None:
    """Import what draws. A server calls it before its threads start, so that no request waits for it."""
    # First, and completely: Altair uses pandas as soon as it is in sys.modules, also half imported by another thread.
    # An import waits for a thread that is at the same one.
    import pandas  # noqa: F401, I001

    import altair  # noqa: F401


def __getattr__(name: str) -> Any:
    """Return what Altair has under this name."""
    load()
    import altair

    # Found in this module from now on.
    found = globals()[name] = getattr(altair, name)
    return found
