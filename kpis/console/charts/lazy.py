"""Altair, imported when the first chart is drawn: that takes longer than most commands do, and few processes draw.

The modules of charts use this module as ``alt``. Importing them, as the URL patterns do, imports neither Altair nor
pandas.
"""

from __future__ import annotations

from typing import Any


def import_altair() -> None:
    """Import pandas and Altair. A server calls it before its threads start, so that no request waits for it."""
    # pandas first and completely: Altair uses pandas as soon as it is in sys.modules, even while another thread still
    # imports it.
    import pandas  # noqa: F401, I001

    import altair  # noqa: F401


def __getattr__(name: str) -> Any:
    """Return what Altair has under this name."""
    import_altair()
    import altair

    # Found in this module from now on.
    found = globals()[name] = getattr(altair, name)
    return found
