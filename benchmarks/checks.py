"""The checks of a run, each with its limit, the measured value, and whether it passes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """A check: ``measured`` may be at most ``bar``, or with ``least`` at least; ``number`` is the promise's."""

    number: str
    what: str
    measured: float
    bar: float
    least: bool = False

    @property
    def passed(self) -> bool:
        return self.measured >= self.bar if self.least else self.measured <= self.bar

    def __str__(self) -> str:
        sign = ">=" if self.least else "<="
        verdict = "pass" if self.passed else "FAIL"
        return f"{verdict}  {self.number:<3} {self.what}: {self.measured:.3g} (bar: {sign} {self.bar:g})"
