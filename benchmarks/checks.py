"""The checks of a run, each with its limit, the measured value, and whether it passes.

``BARS`` has those of ``make bench`` and ``make bench-scale``.
"""

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


@dataclass(frozen=True)
class Bar:
    """A promise: the limit of what is measured, the most of it, or with ``least`` the least."""

    number: str
    what: str
    limit: float
    least: bool = False

    def check(self, of: str, measured: float) -> Check:
        return Check(self.number, f"{of}: {self.what}", measured, self.limit, self.least)


# 1: beside the peers; 2: memory; 3: many files and intervals; 4: start-up; 5: rejects; 6: the API.
BARS = {
    "hour wall": Bar("1", "wall time, of the fastest peer's", 0.5),
    "hour CPU": Bar("1", "CPU time, of the least of the peers'", 0.5),
    "feed wall": Bar("1", "wall time, of the fastest peer's", 0.8),
    "feed CPU": Bar("1", "CPU time, of the least of the peers'", 0.8),
    "scan": Bar("1", "how many times as fast as Polars's plan", 3, least=True),
    "scan ipflow": Bar("1", "MB that a core scans in a second", 500, least=True),
    "scan antenna": Bar("1", "MB that a core scans in a second", 250, least=True),
    "scan coverage": Bar("1", "MB that a core scans in a second", 200, least=True),
    "scan cdr": Bar("1", "MB that a core scans in a second", 200, least=True),
    "memory": Bar("2", "peak memory, of the least of the peers'", 0.6),
    "day memory": Bar("2", "peak memory, of one hour's", 1.2),
    "day wall": Bar("3", "wall time, of one hour's", 26),
    "users wall": Bar("3", "wall time, of fewer users'", 2),
    "split wall": Bar("3", "wall time, of one file's", 1.6),
    "split CPU": Bar("3", "CPU time, of one file's", 1.6),
    "many wall": Bar("3", "seconds", 20),
    "many memory": Bar("3", "peak memory in MB", 300),
    "scattered wall": Bar("3", "wall time, of one interval's", 10),
    "scattered CPU": Bar("3", "CPU time, of one interval's", 10),
    "nothing new": Bar("4", "seconds more than Django's set-up", 0.25),
    # 0.6 s where Django's set-up takes 0.35 s.
    "tick": Bar("4", "wall time, of Django's set-up", 0.6 / 0.35),
    "tick of many": Bar("4", "wall time, of the tick's", 1.1),
    "spark": Bar("1", "wall time, of the plain script's", 0.5),
    "rejects wall": Bar("5", "wall time, of the fastest peer's", 1),
    "rejects kept": Bar("5", "rejects kept, of all", 1, least=True),
    "page": Bar("6", "milliseconds in the process", 3),
    "last page": Bar("6", "time, of the first page's", 1.1),
}
