"""Commands that end within a test as a kill would end them, as far as an exception can."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch


class Death(BaseException):
    """Ends a command as a kill would."""


@contextmanager
def dying(owner: Any, name: str, when: str, turn: int) -> Iterator[None]:
    """Let a command die ``before`` or ``after`` a function of an owner does its work, the ``turn``-th time it comes."""
    original = getattr(owner, name)
    turns = iter(range(turn))

    def deadly(*args, **kwargs):
        is_turn = next(turns, None) is None
        if is_turn and when == "before":
            raise Death
        result = original(*args, **kwargs)
        if is_turn:
            raise Death
        return result

    with patch.object(owner, name, deadly):
        yield
