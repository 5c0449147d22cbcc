"""The report of a run: as a table, as JSON, as a chart, and in the documentation."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import altair as alt
import pandas as pd

from benchmarks.bench import PROJECT, Outcome

PAGE = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "benchmarks.md"
MEGABYTE = 1_000_000
MEASURED = ("pandas", "polars", "duckdb", "chdb", "pyarrow", "numpy")


def about() -> dict[str, str]:
    """Return the time, the machine and the versions."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    versions = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in MEASURED)]
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), {memory / 2**30:.0f} GiB",
        "versions": ", ".join(versions),
    }


def table(outcomes: Mapping[str, Outcome], facts: Mapping[str, str]) -> str:
    """Return the results as text."""
    lines = [f"{name}: {fact}" for name, fact in facts.items()]
    for outcome in outcomes.values():
        runs = max(len(figures.walls) for figures in outcome.figures.values())
        lines += ["", f"{outcome.title} (medians of {runs})"]
        width = max(map(len, outcome.figures))
        head = ("wall", "least", "most", "CPU", "memory")
        lines.append(
            " ".join([f"  {'':<{width}}", *(f"{name:>9}" for name in head), "   ours / it:  wall   CPU"]).rstrip()
        )
        for name, one in outcome.figures.items():
            times = (_time(seconds) for seconds in (one.wall, min(one.walls), max(one.walls), one.cpu))
            cells = [*times, f"{one.peak / MEGABYTE:,.0f} MB"]
            lines.append(
                " ".join([f"  {name:<{width}}", *(f"{cell:>9}" for cell in cells), _ratios(outcome, name)]).rstrip()
            )
        lines += [f"  {check}" for check in outcome.checks]
    return "\n".join(lines)


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
    before, _, rest = PAGE.read_text().partition(begin)
    _, _, after = rest.partition(end)
    PAGE.write_text(f"{before}{begin}\n```\n{text}\n```\n{end}{after}")


def _ratios(outcome: Outcome, name: str) -> str:
    """Return this project's times, of those of a peer on the same files."""
    project, *of = [PROJECT, *name.partition(", ")[2:]]
    own, one = outcome.figures.get(", ".join(filter(None, [project, *of]))), outcome.figures[name]
    return "" if own is None or own is one else f"{own.wall / one.wall:>17.2f} {own.cpu / one.cpu:>5.2f}"


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{seconds * 1000:.2f} ms"
