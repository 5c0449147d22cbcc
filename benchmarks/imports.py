"""The time that the imports of ``manage.py update_network_stats`` take, by package."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

from benchmarks.place import Place

LINE = re.compile(r"import time:\s*(\d+) \|\s*\d+ \|\s*([\w.]+)")
SHOWN = 15


def profile(place: Place, file: Path) -> str:
    """Return a text with the packages that take the longest to import when a file is ingested.

    Measuring makes every import slower.
    """
    command = place.command("update_network_stats", file)
    python, *arguments = command.arguments
    ended = subprocess.run(
        [python, "-X", "importtime", *arguments],
        env=dict(command.environment),
        capture_output=True,
        text=True,
        check=True,
    )
    times, modules = Counter[str](), Counter[str]()
    for microseconds, module in LINE.findall(ended.stderr):
        package = module.partition(".")[0]
        times[package] += int(microseconds)
        modules[package] += 1
    lines = [f"{'all':<24}{times.total() / 1000:>8.1f} ms{modules.total():>8,} modules"]
    lines += [f"{name:<24}{time / 1000:>8.1f} ms{modules[name]:>8,}" for name, time in times.most_common(SHOWN)]
    return "\n".join(lines)
