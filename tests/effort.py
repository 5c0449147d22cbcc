"""How often tests that repeat themselves do so: a short form by default, the long one with ``LONG=1``.

A variable of its own, such as ``KILLS``, sets each number whatever ``LONG`` says.
"""

from __future__ import annotations

import os

LONG = os.environ.get("LONG") == "1"


def times(variable: str, short: int, long: int) -> int:
    """How often to do what the environment variable counts."""
    return int(os.environ.get(variable) or (long if LONG else short))
