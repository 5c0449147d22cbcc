"""The error of an expression that cannot be used."""

from __future__ import annotations


class ExpressionError(ValueError):
    """An expression that is wrong at ``position``, counted in characters from 1; ``reason`` says why and what to do."""

    def __init__(self, position: int, reason: str):
        super().__init__(position, reason)
        self.position, self.reason = position, reason

    def __str__(self) -> str:
        return f"character {self.position}: {self.reason}"
