"""The type of command arguments that are ages."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import timedelta


def age(text: str) -> timedelta:
    """Parse an age such as ``90d`` or ``36h``; raises ArgumentTypeError."""
    found = re.fullmatch(r"([0-9]{1,5})([dh])", text)
    if not found:
        raise ArgumentTypeError(f"{text!r} is not an age such as 90d or 36h")
    return timedelta(days=int(found[1])) if found[2] == "d" else timedelta(hours=int(found[1]))
