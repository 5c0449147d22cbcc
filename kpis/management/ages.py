"""Ages as commands take them."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import timedelta


def age(text: str) -> timedelta:
    """The age that a text such as ``90d`` or ``36h`` tells; raises ArgumentTypeError for any other text."""
    found = re.fullmatch(r"([0-9]{1,5})([dh])", text)
    if not found:
        raise ArgumentTypeError(f"{text!r} is no age such as 90d or 36h")
    return timedelta(days=int(found[1])) if found[2] == "d" else timedelta(hours=int(found[1]))
