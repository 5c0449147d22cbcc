"""The report of a run: as a table, as JSON, as a chart, and in the documentation."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import altair as alt
import pandas as pd

from benchmarks.bench import PROJECT, Outcome, named
from benchmarks.contest import ContestError

PAGE = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "benchmarks.md"
MEGABYTE = 1_000_000
MEASURED = ("pandas", "polars", "duckdb", "chdb", "pyarrow", "numpy")


def about() -> dict[str, str]:
    """Return the time, the machine and the versions."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    versions = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in MEASURED)]
    return {
        "command": f'make bench ARGS="{" ".join(sys.argv[1:])}"',
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), {memory / 2**30:.0f} GiB",
        "versions": ", ".join(versions),
    }


def facts_text(facts: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {fact}" for name, fact in facts.items())


def table(outcome: Outcome) -> str:
    """Return a benchmark's results, as of today, as text that is not wider than a page."""
    runs = max(len(figures.walls) for figures in outcome.figures.values())
    width = max(map(len, outcome.figures))
    peers = any(_ratios(outcome, name) for name in outcome.figures)
    lines = [f"{outcome.title} (medians of {runs}, {datetime.now(UTC):%Y-%m-%d})"]
    lines.append(
        _line(width, "", ["wall", "least", "most", "CPU", "memory", *(["ours: wall", "CPU"] if peers else [])])
    )
    for name, one in outcome.figures.items():
        times = [_time(seconds) for seconds in (one.wall, min(one.walls), max(one.walls), one.cpu)]
        lines.append(_line(width, name, [*times, f"{one.peak / MEGABYTE:,.0f} MB", *_ratios(outcome, name)]))
    return "\n".join([*lines, *(f"  {check}" for check in outcome.checks)])


def document(outcomes: Mapping[str, Outcome], facts: Mapping[str, str]) -> str:
    """Return the results as JSON: every wall time in seconds, every peak in bytes, and the checks."""
    found = {
        name: {
            "title": outcome.title,
            "figures": {label: asdict(figures) for label, figures in outcome.figures.items()},
            "checks": [asdict(check) | {"passed": check.passed} for check in outcome.checks],
        }
        for name, outcome in outcomes.items()
    }
    return json.dumps({**facts, "benchmarks": found}, indent=2)


def chart(outcomes: Mapping[str, Outcome], path: Path) -> None:
    """Draw wall times and peaks of memory, a row per benchmark, as SVG."""
    rows = [
        {"benchmark": outcome.title, "name": name, "wall (s)": one.wall, "peak memory (MB)": one.peak / MEGABYTE}
        for outcome in outcomes.values()
        for name, one in outcome.figures.items()
    ]
    frame = pd.DataFrame(rows)
    charts = []
    for title, of_one in frame.groupby("benchmark", sort=False):
        bars = alt.Chart(of_one).mark_bar().encode(y=alt.Y("name:N", sort=None, title=None))
        own = alt.condition("indexof(datum.name, 'this project') >= 0", alt.value("#c2410c"), alt.value("#64748b"))
        pair = [bars.encode(x=f"{measure}:Q", color=own).properties(width=300) for measure in of_one.columns[2:]]
        charts.append(alt.hconcat(*pair, title=title))
    alt.vconcat(*charts).save(path, format="svg")


def write_into_page(section: str, text: str) -> None:
    """Put a text between the two marks of a section of the page."""
    begin, end = f"<!-- {section} -->", f"<!-- end of {section} -->"
    before, found, rest = PAGE.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise ContestError(f"{PAGE} has no marks for {section}")
    PAGE.write_text(f"{before}{begin}\n```\n{text}\n```\n{end}{after}")


def _line(width: int, name: str, cells: list[str]) -> str:
    widths = (9, 8, 8, 8, 8, 10, 5)
    return f"  {name:<{width}}" + " ".join(f"{cell:>{of}}" for cell, of in zip(cells, widths, strict=False))


def _ratios(outcome: Outcome, name: str) -> list[str]:
    """Return this project's wall and CPU time, each of those of a peer on the same files."""
    own, one = outcome.figures.get(named(PROJECT, name.partition(", ")[2])), outcome.figures[name]
    return [] if own is None or own is one else [f"{own.wall / one.wall:.2f}", f"{own.cpu / one.cpu:.2f}"]


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{seconds * 1000:.2f} ms"
